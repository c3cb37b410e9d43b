/** Denials or errors in a range, by code and team, most frequent first and then the others together. */
import type { ApiErrors } from '../api/types.ts';
import { useApi } from '../api/use.ts';
import { Panel } from '../parts/page.tsx';
import { Empty, Load } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { useSession } from '../shell/session.ts';
import type { Range } from './overview-spend.tsx';

interface ErrorsProps {
  kind: 'denial' | 'error';
  from: string;
  range: Range;
  pollMs: number;
}

const SHOWN_MAX = 12;

export function ErrorsPanel({ kind, from, range, pollMs }: ErrorsProps) {
  const t = useMessages();
  const format = useFormat();
  const { role } = useSession();
  const query = { from, interval: 'total', group_by: role !== 'team' ? 'team,code' : 'code', top: SHOWN_MAX };
  const counts = useApi<ApiErrors>(kind === 'denial' ? '/denials' : '/errors', query, pollMs);
  const title = kind === 'denial' ? t.overview.denials : t.overview.errors;
  return (
    <Panel title={title} note={t.overview.ranges[range]}>
      <Load of={counts}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty title={kind === 'denial' ? t.overview.noDenials : t.overview.noErrors} />
          ) : (
            <Table
              caption={title}
              rows={[...data].sort(
                (a, b) => Number(a.other === true) - Number(b.other === true) || b.count - a.count,
              )}
              keyOf={(row) => `${row.team_id} ${row.code}`}
              columns={[
                role !== 'team'
                  ? {
                      key: 'team',
                      label: t.common.team,
                      heads: true,
                      cell: (row) => (row.other ? t.common.other : (row.team_name ?? '—')),
                    }
                  : null,
                {
                  key: 'code',
                  label: t.overview.reason,
                  heads: role !== 'admin',
                  cell: (row) =>
                    row.other && role === 'team' ? t.common.other : (t.reasons[row.code ?? ''] ?? row.code),
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
