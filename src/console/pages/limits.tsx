/** Limits: the list of all, and a team's own. */
import { useState } from 'preact/hooks';
import type { Balance, Key, Limit } from '../api/types.ts';
import { type Loaded, usePages } from '../api/use.ts';
import { ListPage, Panel } from '../parts/page.tsx';
import { Paged } from '../parts/pager.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { useMessages } from '../shell/language.ts';
import { useLocation } from '../shell/router.ts';
import { useMay, useSession } from '../shell/session.ts';
import { TeamFilter } from './filters.tsx';
import { type LimitDialogState, LimitDialogs } from './limit-dialogs.tsx';
import { type LimitRow, LimitTable } from './limit-table.tsx';
import { quantityText } from './limit-text.tsx';
import { nameIn, useDepartmentOptions, useKeyOptions, useTeamOptions } from './options.tsx';

export function LimitsPage() {
  const t = useMessages();
  const withTeam = useSession().role !== 'team';
  const may = useMay();
  const teamId = useLocation().query.get('team_id');
  const teams = useTeamOptions();
  const keys = useKeyOptions(teamId);
  const departments = useDepartmentOptions();
  const [dialog, setDialog] = useState<LimitDialogState | null>(null);
  const pages = usePages<Limit>('/limits', { team_id: teamId, state: true });
  return (
    <ListPage
      title={t.nav.limits}
      lead={t.limits.lead}
      create={
        may('budgets:write') ? { text: t.limits.new, onClick: () => setDialog({ what: 'create' }) } : null
      }
      filters={withTeam && <TeamFilter teams={teams} />}
      dialogs={
        <LimitDialogs dialog={dialog} teamId={teamId} onClose={() => setDialog(null)} onDone={pages.reload} />
      }
    >
      <Paged pages={pages} empty={<Empty title={t.limits.empty} text={t.limits.emptyText} />}>
        {(limits) => (
          <LimitTable
            limits={limits.map(({ state, ...limit }) => ({ ...limit, ...state }))}
            teams={withTeam ? teams : null}
            nameOf={(id) => nameIn([...keys, ...departments], id)}
            actions={
              may('budgets:write')
                ? (limit) =>
                    may('budgets:write', limit.team_id) && <LimitActions limit={limit} onOpen={setDialog} />
                : undefined
            }
          />
        )}
      </Paged>
    </ListPage>
  );
}

interface TeamLimitsProps {
  teamId: string;
  balance: Loaded<Balance>;
  keys: Key[];
  canChange: boolean;
}

export function TeamLimitsPanel({ teamId, balance, keys, canChange }: TeamLimitsProps) {
  const t = useMessages();
  const [dialog, setDialog] = useState<LimitDialogState | null>(null);
  const departments = useDepartmentOptions();
  const nameOf = (id: string) => keys.find((key) => key.id === id)?.name ?? nameIn(departments, id);
  return (
    <Panel
      title={t.nav.limits}
      actions={
        canChange && (
          <button type="button" class="button" onClick={() => setDialog({ what: 'create' })}>
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
              nameOf={nameOf}
              actions={canChange ? (limit) => <LimitActions limit={limit} onOpen={setDialog} /> : undefined}
            />
          )
        }
      </Load>
      <LimitDialogs dialog={dialog} teamId={teamId} onClose={() => setDialog(null)} onDone={balance.reload} />
    </Panel>
  );
}

export function LimitActions({
  limit,
  onOpen,
}: {
  limit: LimitRow;
  onOpen: (dialog: LimitDialogState) => void;
}) {
  const t = useMessages();
  const which = <span class="hidden"> {limit.name ?? quantityText(t, limit.meter, limit.amount)}</span>;
  const isBudget = limit.window.type !== 'rolling' && limit.meter !== 'concurrency';
  const button = (what: Exclude<LimitDialogState['what'], 'create'>, text: string) => (
    <button type="button" class="button small" onClick={() => onOpen({ what, limit })}>
      {text}
      {which}
    </button>
  );
  return (
    <>
      {isBudget && limit.enforcement !== 'soft' && button('raise', t.limits.raise)}
      {isBudget && button('reset', t.limits.reset)}
      {button('change', t.common.change)}
      {button('delete', t.common.remove)}
    </>
  );
}
