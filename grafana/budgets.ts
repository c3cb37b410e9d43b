/** What every team may still spend, and for how long it lasts. */
import { dashboard } from './layout.ts';
import { gauges, series, stat, table } from './panels.ts';
import { prom, promNow, sqlTable, TEAM, teamIs } from './queries.ts';

const USED = [
  [null, 'green'],
  [0.8, 'orange'],
  [0.99, 'red'],
] as const;
const DAYS_LEFT = [
  [null, 'red'],
  [7, 'orange'],
  [30, 'green'],
] as const;

/** Each grant and limit with its present state and window. */
const EVERY_BUDGET = `
with budget as (
  select g.team_id, 'grant' as kind, g.amount_usd as amount, c.settled, c.held, c.leased, g.expires_at as ends_at
  from grants g left join counters c on c.team_id = g.team_id and c.source_id = g.id
  where g.deleted_at is null and g.starts_at <= tollgate_now() and coalesce(g.expires_at > tollgate_now(), true)
  union all
  select l.team_id, concat_ws(' ', l.subject_type, coalesce(l."window" ->> 'unit', l."window" ->> 'type'),
      case when l.models is not null then array_to_string(l.models, ', ') end),
    l.amount, c.settled, c.held, c.leased, c.ends_at
  from limits l left join counters c on c.team_id = l.team_id and c.source_id = l.id
    and c.starts_at <= tollgate_now() and coalesce(c.ends_at > tollgate_now(), true)
  where l.deleted_at is null and l.meter = 'cost_usd' and l."window" ->> 'type' in ('calendar', 'lifetime'))
select t.name as team, kind as budget, (coalesce(settled, 0) / nullif(amount, 0))::float8 as used,
  coalesce(settled, 0)::float8 as spent, (coalesce(held, 0) + coalesce(leased, 0))::float8 as lent,
  (amount - coalesce(settled, 0))::float8 as remaining, amount::float8 as amount,
  (extract(epoch from ends_at) * 1000)::float8 as ends
from budget b join teams t on t.id = b.team_id
where t.deleted_at is null and ${teamIs('t.name')}
order by used desc nulls last, team limit 500`;

export const budgets = dashboard({
  uid: 'tollgate-budgets',
  title: 'Tollgate / Budgets',
  description: 'What each team has left, and for how long.',
  from: 'now-24h',
  refresh: '30s',
  rows: [
    {
      heading: 'At a glance',
      height: 4,
      panels: [
        stat({
          title: 'Budgets above 80 %',
          description: 'Teams whose tightest budget is nearly or wholly spent.',
          unit: 'count',
          from: 'prometheus',
          steps: [
            [null, 'green'],
            [1, 'orange'],
          ],
          queries: [promNow(`count(team:tollgate_budget_used:ratio{${TEAM}} >= 0.8) or vector(0)`)],
        }),
        stat({
          title: 'Spent before they end',
          description:
            'Teams that at the pace of the last hour spend their budget before its window or grant ends.',
          unit: 'count',
          from: 'prometheus',
          steps: [
            [null, 'green'],
            [1, 'red'],
          ],
          queries: [
            promNow(
              `count(team:tollgate_exhaustion_seconds:max{${TEAM}} < max by (team) (tollgate_budget_ends_timestamp_seconds) - time()) or vector(0)`,
            ),
          ],
        }),
        stat({
          title: 'Spent beyond limits',
          description: 'By all teams together: beyond soft limits, and beyond limits that were lowered.',
          unit: 'usd',
          from: 'prometheus',
          queries: [promNow(`sum(max by (team) (tollgate_over_limit_usd{${TEAM}})) or vector(0)`)],
        }),
        stat({
          title: 'Held by calls in flight',
          description: 'The most that calls in flight can cost; most of it is released.',
          unit: 'usd',
          from: 'prometheus',
          queries: [promNow(`sum(tollgate_held_usd{${TEAM}})`)],
        }),
        stat({
          title: 'Leased',
          description: 'Lent to the instances for their next calls, held money included.',
          unit: 'usd',
          from: 'prometheus',
          queries: [promNow(`sum(tollgate_leased_usd{${TEAM}})`)],
        }),
      ],
    },
    {
      heading: 'Each team’s tightest budget',
      height: 10,
      panels: [
        gauges({
          title: 'Used',
          description: 'Share of the tightest budget that is spent.',
          unit: 'share',
          max: 1,
          from: 'prometheus',
          steps: USED,
          queries: [promNow(`sort_desc(team:tollgate_budget_used:ratio{${TEAM}})`, '{{team}}')],
        }),
        gauges({
          title: 'Days to exhaustion',
          description: 'At the rate of the last hour; a team that spends nothing is missing.',
          unit: 'days',
          max: 90,
          from: 'prometheus',
          steps: DAYS_LEFT,
          queries: [promNow(`sort(team:tollgate_exhaustion_seconds:max{${TEAM}} / 86400)`, '{{team}}')],
        }),
        gauges({
          title: 'Days until grants expire',
          description: 'Until the first grant with money left expires.',
          unit: 'days',
          max: 90,
          from: 'prometheus',
          steps: DAYS_LEFT,
          queries: [
            promNow(
              `sort((max by (team) (tollgate_grant_expiry_timestamp_seconds{${TEAM}}) - time()) / 86400)`,
              '{{team}}',
            ),
          ],
        }),
      ],
    },
    {
      heading: 'Over time',
      height: 8,
      panels: [
        series({
          title: 'Remaining',
          description: 'What the tightest budget has left, by team.',
          unit: 'usd',
          from: 'prometheus',
          queries: [prom(`team:tollgate_remaining_usd:max{${TEAM}}`, '{{team}}')],
        }),
        series({
          title: 'Held and leased',
          description: 'What all instances hold for calls in flight, and what they were lent.',
          unit: 'usd',
          from: 'prometheus',
          queries: [
            prom(`sum(tollgate_held_usd{${TEAM}})`, 'held'),
            prom(`sum(tollgate_leased_usd{${TEAM}})`, 'leased'),
          ],
        }),
      ],
    },
    {
      heading: 'Every grant and cost limit',
      height: 12,
      panels: [
        table({
          title: 'Grants and limits',
          description:
            'Each in its window of this moment; a window that nobody has used yet has no end here.',
          unit: 'usd',
          from: 'postgres',
          columns: { team: 'text', budget: 'text', used: 'share', ends: 'moment' },
          bars: ['used'],
          queries: [sqlTable(EVERY_BUDGET)],
        }),
      ],
    },
  ],
});
