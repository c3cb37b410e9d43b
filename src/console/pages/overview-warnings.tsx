/** Warnings of budgets, the latest first, and whether their webhooks were delivered. */
import type { Page, Warning } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';
import { quantityText, subjectText } from './limit-text.tsx';
import { nameIn, useDepartmentOptions, useKeyOptions, useTeamOptions } from './options.tsx';

const SHOWN_MAX = 8;

interface WarningsProps {
  pollMs: number;
  /** Of one team only. */
  teamId?: string | undefined;
}

export function WarningsPanel({ pollMs, teamId }: WarningsProps) {
  const t = useMessages();
  const format = useFormat();
  const teams = useTeamOptions();
  const keys = useKeyOptions(teamId ?? null);
  const departments = useDepartmentOptions();
  const warnings = useApi<Page<Warning>>('/warnings', { team_id: teamId, limit: SHOWN_MAX }, pollMs);
  const budgetOf = ({ grant_id: grant, name, subject }: Warning) =>
    name ??
    (grant === null
      ? subjectText(t, subject, (id) => nameIn([...keys, ...departments], id))
      : t.grants.title);
  return (
    <Panel title={t.overview.warnings}>
      <Load of={warnings}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={t.overview.noWarnings} />
          ) : (
            <Table
              caption={t.overview.warnings}
              rows={data.slice(0, SHOWN_MAX)}
              keyOf={(warning) => warning.id}
              columns={[
                {
                  key: 'budget',
                  label: t.overview.budget,
                  heads: true,
                  cell: (warning) => (
                    <>
                      {warning.team_id !== null && teams.length > 0 && (
                        <a href={`${BASE}/teams/${warning.team_id}`}>{nameIn(teams, warning.team_id)}</a>
                      )}
                      <span class="under">
                        {budgetOf(warning)}, {quantityText(t, warning.meter, warning.amount)}
                      </span>
                    </>
                  ),
                },
                {
                  key: 'used',
                  label: t.limits.used,
                  number: true,
                  cell: (warning) => (
                    <span class={warning.threshold >= 100 ? 'badge full' : 'badge near'}>
                      {format.percent(warning.threshold / 100)}
                    </span>
                  ),
                },
                {
                  key: 'at',
                  label: t.audit.at,
                  number: true,
                  cell: (warning) => (
                    <>
                      <time dateTime={warning.raised_at}>{format.shortDateTime(warning.raised_at)}</time>
                      {warning.delivery !== 'none' && (
                        <span class="under" title={warning.problem ?? undefined}>
                          {t.overview.deliveries[warning.delivery]}
                        </span>
                      )}
                    </>
                  ),
                },
              ]}
            />
          )
        }
      </Load>
    </Panel>
  );
}
