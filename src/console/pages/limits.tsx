/** Limits: the list of all, and a team's own. */
import { useState } from 'preact/hooks';
import type { Balance, Key, Limit } from '../api/types.ts';
import { type Loaded, usePages } from '../api/use.ts';
import { SelectField } from '../parts/field.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { useWords } from '../shell/language.ts';
import { setQuery, usePlace } from '../shell/router.ts';
import { useSession } from '../shell/session.ts';
import { type LimitAsked, LimitDialogs } from './limit-dialogs.tsx';
import { type LimitRow, LimitTable } from './limit-table.tsx';
import { quantityText } from './limit-words.ts';
import { nameIn, useKeyOptions, useTeamOptions } from './names.ts';

export function LimitsPage() {
  const t = useWords();
  const isAdmin = useSession().role === 'admin';
  const teamId = usePlace().query.get('team_id');
  const teams = useTeamOptions();
  const keys = useKeyOptions(teamId);
  const [asked, setAsked] = useState<LimitAsked | null>(null);
  const pages = usePages<Limit>('/limits', { team_id: teamId, state: true });
  return (
    <Page
      title={t.nav.limits}
      lead={t.limits.lead}
      actions={
        isAdmin && (
          <button type="button" class="button primary" onClick={() => setAsked({ what: 'make' })}>
            {t.limits.new}
          </button>
        )
      }
    >
      <Panel
        plain
        title={t.nav.limits}
        actions={
          isAdmin && (
            <div class="inline">
              <SelectField
                label={t.common.team}
                param="team_id"
                value={teamId ?? ''}
                onValue={(id) => setQuery({ team_id: id })}
                options={[{ value: '', text: t.common.allTeams }, ...teams]}
              />
            </div>
          )
        }
      >
        <Paged pages={pages} empty={<Empty title={t.limits.empty} text={t.limits.emptyText} />}>
          {(limits) => (
            <LimitTable
              limits={limits.map(({ state, ...limit }) => ({ ...limit, ...state }))}
              teams={isAdmin ? teams : null}
              keyName={(id) => nameIn(keys, id)}
              actions={isAdmin ? (limit) => <LimitActions limit={limit} onAsk={setAsked} /> : undefined}
            />
          )}
        </Paged>
      </Panel>
      <LimitDialogs asked={asked} teamId={teamId} onClose={() => setAsked(null)} onDone={pages.reload} />
    </Page>
  );
}

interface TeamLimitsProps {
  teamId: string;
  balance: Loaded<Balance>;
  keys: Key[];
  canChange: boolean;
}

export function TeamLimitsPanel({ teamId, balance, keys, canChange }: TeamLimitsProps) {
  const t = useWords();
  const [asked, setAsked] = useState<LimitAsked | null>(null);
  const keyName = (id: string) => keys.find((key) => key.id === id)?.name ?? id.slice(0, 8);
  return (
    <Panel
      title={t.nav.limits}
      actions={
        canChange && (
          <button type="button" class="button" onClick={() => setAsked({ what: 'make' })}>
            {t.limits.new}
          </button>
        )
      }
    >
      <Load of={balance}>
        {({ limits }) =>
          limits.length === 0 ? (
            <Empty title={t.limits.empty} />
          ) : (
            <LimitTable
              limits={limits}
              teams={null}
              keyName={keyName}
              actions={canChange ? (limit) => <LimitActions limit={limit} onAsk={setAsked} /> : undefined}
            />
          )
        }
      </Load>
      <LimitDialogs asked={asked} teamId={teamId} onClose={() => setAsked(null)} onDone={balance.reload} />
    </Panel>
  );
}

function LimitActions({ limit, onAsk }: { limit: LimitRow; onAsk: (asked: LimitAsked) => void }) {
  const t = useWords();
  const which = <span class="hidden"> {quantityText(t, limit.meter, limit.amount)}</span>;
  return (
    <>
      <button type="button" class="button small" onClick={() => onAsk({ what: 'change', limit })}>
        {t.common.change}
        {which}
      </button>
      <button type="button" class="button small" onClick={() => onAsk({ what: 'delete', limit })}>
        {t.common.remove}
        {which}
      </button>
    </>
  );
}
