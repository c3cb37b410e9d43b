/** Teams as rows: their spend, and the used share of their tightest budget. */
import type { ComponentChildren } from 'preact';
import type { OverviewTeam } from '../api/types.ts';
import { ratio, restDigits } from '../money.ts';
import { Bar } from '../parts/bar.tsx';
import { Money } from '../parts/money.tsx';
import { Empty } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { useFormat } from '../shell/format.ts';
import { useMessages } from '../shell/language.ts';
import { BASE } from '../shell/router.ts';

interface TeamTableProps {
  teams: OverviewTeam[];
  /** What all teams spent: then each row shows its share of it. */
  total?: string;
  badges?: (id: string) => ComponentChildren;
  actions?: (team: OverviewTeam) => ComponentChildren;
}

export function TeamTable({ teams, total, badges, actions }: TeamTableProps) {
  const t = useMessages();
  const format = useFormat();
  if (teams.length === 0) return <Empty title={t.overview.noTeams} />;
  const spentRest = restDigits(teams.map((team) => team.spent_month_usd));
  const leftRest = restDigits(teams.map((team) => team.remaining_usd));
  return (
    <Table
      caption={t.nav.teams}
      rows={teams}
      keyOf={(team) => team.id}
      columns={[
        {
          key: 'name',
          label: t.common.team,
          heads: true,
          cell: (team) => (
            <>
              <a href={`${BASE}/teams/${team.id}`}>{team.name}</a> {badges?.(team.id)}
            </>
          ),
        },
        {
          key: 'spent',
          label: total === undefined ? t.teams.spent : t.overview.spent,
          number: true,
          cell: (team) => <Money usd={team.spent_month_usd} reserve={spentRest} />,
        },
        total === undefined
          ? null
          : {
              key: 'share',
              label: t.overview.share,
              number: true,
              cell: (team) => format.percent(ratio(team.spent_month_usd, total)),
            },
        {
          key: 'left',
          label: t.teams.remaining,
          number: true,
          cell: (team) =>
            team.remaining_usd === null ? '—' : <Money usd={team.remaining_usd} reserve={leftRest} />,
        },
        {
          key: 'tightest',
          label: t.overview.tightest,
          cell: (team) => <Tightest team={team} isShort={total !== undefined} />,
        },
        {
          key: 'runsOut',
          label: t.overview.runsOutColumn,
          number: true,
          cell: (team) =>
            team.exhausts_at === null ? (
              '—'
            ) : (
              <time dateTime={team.exhausts_at} title={format.dateTime(team.exhausts_at)}>
                {format.relative(team.exhausts_at)}
              </time>
            ),
        },
        actions ? { key: 'actions', label: t.common.actions, quiet: true, cell: actions } : null,
      ]}
    />
  );
}

function Tightest({ team: { name, tightest }, isShort }: { team: OverviewTeam; isShort: boolean }) {
  const t = useMessages();
  const format = useFormat();
  if (!tightest) return <span class="quiet">{t.overview.noBudget}</span>;
  const used = t.overview.usedShare(format.percent(tightest.used_ratio));
  return (
    <span class="tightest">
      <Bar label={`${name}: ${used}`} used={tightest.used_ratio} />
      <span class="tightest-share">{format.percent(tightest.used_ratio)}</span>
      {tightest.resets_at && !isShort && (
        <span class="quiet">{t.overview.resets(format.relative(tightest.resets_at))}</span>
      )}
    </span>
  );
}
