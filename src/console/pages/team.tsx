/** A team's page: its budgets, keys, last calls, and calls of unknown outcome. */
import { useMemo, useState } from 'preact/hooks';
import { remove, urlOf } from '../api/client.ts';
import type { Balance, Event, Key, Page as PageOf, Team } from '../api/types.ts';
import { type Loaded, useApi } from '../api/use.ts';
import { isZero } from '../money.ts';
import { announce } from '../parts/announce.tsx';
import { FormDialog } from '../parts/dialog.tsx';
import { Money, moneyText } from '../parts/money.tsx';
import { Page, Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { type Permission, useMay, useSession } from '../shell/session.ts';
import { CallTable } from './call-table.tsx';
import { monthNow } from './dates.ts';
import { GrantsPanel } from './grants.tsx';
import { TeamKeysPanel } from './keys.tsx';
import { TeamLimitsPanel } from './limits.tsx';
import { Figure } from './overview-figures.tsx';
import { type Range, rangeOf, SpendPanel } from './overview-spend.tsx';
import { TeamChangeDialog } from './team-change.tsx';
import { Badges } from './teams.tsx';
import { UnknownPanel } from './unknown.tsx';

const POLL_MS = 5_000;
const CALLS_SHOWN = 10;
const KEYS_MAX = 1_000;

export function TeamPage({ id }: { id: string }) {
  const t = useMessages();
  const isTeam = useSession().role === 'team';
  const may = useMay();
  const [dialog, setDialog] = useState<'change' | 'delete' | null>(null);
  const [range, setRange] = useState<Range>('30d');
  const firstMs = rangeOf(range, Date.now())[0];
  const from = useMemo(() => new Date(firstMs).toISOString(), [firstMs]);
  const team = useApi<Team>(`/teams/${id}`);
  const balance = useApi<Balance>(`/teams/${id}/balance`, {}, POLL_MS);
  const keys = useApi<PageOf<Key>>('/keys', { team_id: id, limit: KEYS_MAX });
  const calls = useApi<PageOf<Event>>('/events', { team_id: id, order: 'desc', limit: CALLS_SHOWN }, POLL_MS);
  const isThere = team.data !== null && team.data.deleted_at === null;
  const canChange = (permission: Permission) => isThere && may(permission, id);
  return (
    <Page
      title={team.data?.name ?? t.common.team}
      back={!isTeam ? { href: `${BASE}/teams`, text: t.nav.teams } : undefined}
      lead={<Badges team={team.data ?? undefined} />}
      actions={
        <>
          <a class="button" href={urlOf(`/teams/${id}/statement`, { month: monthNow() })}>
            {t.team.statement}
          </a>
          {canChange('teams:write') && (
            <>
              <button type="button" class="button" onClick={() => setDialog('change')}>
                {t.common.change}
              </button>
              <button type="button" class="button" onClick={() => setDialog('delete')}>
                {t.common.remove}
              </button>
            </>
          )}
        </>
      }
    >
      <Load of={balance} lines={3}>
        {(data) => <TeamFigures balance={data} team={team} />}
      </Load>
      <TeamLimitsPanel
        teamId={id}
        balance={balance}
        keys={keys.data?.data ?? []}
        canChange={canChange('budgets:write')}
      />
      <GrantsPanel teamId={id} balance={balance} canChange={canChange('budgets:write')} />
      <SpendPanel range={range} onRange={setRange} from={from} pollMs={POLL_MS} teamId={id} />
      <TeamKeysPanel teamId={id} keys={keys} canChange={canChange('keys:write')} />
      {balance.data && !isZero(balance.data.unknown_usd) && (
        <UnknownPanel teamId={id} canChange={may('calls:correct', id)} onReleased={balance.reload} />
      )}
      <Panel
        title={t.team.recentCalls}
        actions={<a href={`${BASE}/calls${isTeam ? '' : `?team_id=${id}`}`}>{t.team.allCalls}</a>}
      >
        <Load of={calls}>
          {({ data }) =>
            data.length === 0 ? (
              <Empty title={t.team.noCalls} />
            ) : (
              <CallTable calls={data.slice(0, CALLS_SHOWN)} withTeam={false} />
            )
          }
        </Load>
      </Panel>
      {dialog === 'change' && team.data && (
        <TeamChangeDialog team={team.data} onClose={() => setDialog(null)} onChanged={team.reload} />
      )}
      {dialog === 'delete' && team.data && (
        <FormDialog
          title={t.teams.deleteTitle(team.data.name)}
          text={t.teams.deleteText}
          submit={t.common.remove}
          danger
          onClose={() => setDialog(null)}
          send={async () => {
            const { name } = await remove<Team>(`/teams/${id}`);
            announce(t.teams.deleted(name));
            setDialog(null);
            team.reload();
            keys.reload();
          }}
        />
      )}
    </Page>
  );
}

function TeamFigures({ balance, team }: { balance: Balance; team: Loaded<Team> }) {
  const t = useMessages();
  const isBound = balance.grants.length > 0 || balance.limits.length > 0 || balance.remaining_usd !== null;
  return (
    <>
      {team.data && !team.data.unlimited && team.data.deleted_at === null && !isBound && (
        <p class="notice apart">{t.team.unbounded}</p>
      )}
      <dl class="figures">
        <Figure label={t.team.settled} notes={[]}>
          <Money usd={balance.settled_usd} />
        </Figure>
        <Figure label={t.team.held} notes={[]}>
          <Money usd={balance.held_usd} />
        </Figure>
        <Figure
          label={t.team.remaining}
          notes={[
            balance.remaining_usd === null ? t.team.noCredit : t.grants.of(moneyText(balance.granted_usd)),
          ]}
        >
          {balance.remaining_usd === null ? '—' : <Money usd={balance.remaining_usd} />}
        </Figure>
        <Figure
          label={t.team.unknown}
          warns={!isZero(balance.unknown_usd)}
          notes={[isZero(balance.unknown_usd) ? t.overview.nothingUnknown : t.overview.unknownNote]}
        >
          <Money usd={balance.unknown_usd} />
        </Figure>
      </dl>
    </>
  );
}
