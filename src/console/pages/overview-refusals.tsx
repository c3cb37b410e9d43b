/** What was refused, and why: the applications' bad day in one table. */
import type { Refusals } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useWords } from '../shell/language.ts';
import { useSession } from '../shell/session.ts';
import type { Range } from './overview-spend.tsx';

interface RefusalsProps {
  from: string;
  range: Range;
  pollMs: number;
}

const SHOWN_MAX = 12;

export function RefusalsPanel({ from, range, pollMs }: RefusalsProps) {
  const t = useWords();
  const format = useFormat();
  const { role } = useSession();
  const query = { from, interval: 'total', group_by: role === 'admin' ? 'team,reason' : 'reason' };
  const refusals = useApi<Refusals>('/refusals', query, pollMs);
  return (
    <Panel title={t.overview.refusals} note={t.overview.ranges[range]}>
      <Load of={refusals}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={t.overview.noRefusals} />
          ) : (
            <Table
              caption={t.overview.refusals}
              rows={[...data].sort((a, b) => b.count - a.count).slice(0, SHOWN_MAX)}
              keyOf={(row) => `${row.team_id} ${row.reason}`}
              columns={[
                role === 'admin'
                  ? { key: 'team', label: t.common.team, heads: true, cell: (row) => row.team_name ?? '—' }
                  : null,
                {
                  key: 'reason',
                  label: t.overview.reason,
                  heads: role !== 'admin',
                  cell: (row) => t.reasons[row.reason ?? ''] ?? row.reason,
                },
                {
                  key: 'count',
                  label: t.overview.count,
                  number: true,
                  cell: (row) => format.count(row.count),
                },
              ]}
            />
          )
        }
      </Load>
    </Panel>
  );
}
