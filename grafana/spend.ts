/**
 * What was spent, by whom, on what, and what the month will cost. Money of past days is SQL: exact, corrections
 * included.
 */
import { dashboard } from './layout.ts';
import { series, stat, table } from './panels.ts';
import { MODEL, modelIs, prom, sqlSeries, sqlTable, TEAM, teamIs } from './queries.ts';

/** Days of the dashboard's time, of the chosen teams and models. A day is UTC's. */
const DAYS = `
from usage_days d join teams t on t.id = d.team_id
where d.day >= date_trunc('day', $__timeFrom()::timestamptz, 'UTC') and d.day < $__timeTo()::timestamptz
  and ${teamIs('t.name')} and ${modelIs('d.model')}`;

/**
 * Days since the begin of this month, or of today, whatever the dashboard's time. In a subquery: asked once, not a row.
 */
const since = (unit: 'month' | 'day') => `
from usage_days d join teams t on t.id = d.team_id
where d.day >= (select date_trunc('${unit}', tollgate_now(), 'UTC')) and ${teamIs('t.name')} and ${modelIs('d.model')}`;
const MONTH = since('month');

/** The ten that cost most get a colour of their own. */
function byDay(what: string): string {
  return `
with spent as (select d.day, ${what} as what, sum(d.cost_usd) as cost_usd ${DAYS} group by 1, 2),
first_ten as (select what from spent group by what order by sum(cost_usd) desc limit 10)
select s.day as time, coalesce(f.what, 'others') as metric, sum(s.cost_usd)::float8 as value
from spent s left join first_ten f on f.what = s.what
group by 1, 2 order by 1, 2`;
}

const perDay = (title: string, what: string, description: string) =>
  series({
    title,
    description,
    unit: 'usd',
    from: 'postgres',
    look: 'bars',
    queries: [sqlSeries(byDay(what))],
  });

export const spend = dashboard({
  uid: 'tollgate-spend',
  title: 'Tollgate / Spend',
  description: 'What was spent, by whom, on what, and what the month will cost.',
  from: 'now/M',
  refresh: '1m',
  rows: [
    {
      heading: 'This month',
      height: 4,
      panels: [
        stat({
          title: 'Spent this month',
          description: 'Since the first of the month in UTC, corrections included.',
          unit: 'usd',
          from: 'postgres',
          queries: [sqlTable(`select coalesce(sum(d.cost_usd), 0)::float8 as spent ${MONTH}`)],
        }),
        stat({
          title: 'Forecast for the month',
          description: 'If the rest of the month costs as much a day as the last seven days did.',
          unit: 'usd',
          from: 'postgres',
          queries: [
            sqlTable(`
with utc as (select tollgate_now() at time zone 'UTC' as now),
day as (
  select date_trunc('month', now) at time zone 'UTC' as month,
    (date_trunc('day', now) - interval '6 days') at time zone 'UTC' as week,
    (date_trunc('month', now) + interval '1 month') at time zone 'UTC' as next_month
  from utc),
age as (
  select least(7, greatest(extract(epoch from tollgate_now() - coalesce(min(created_at), tollgate_now())) / 86400, 1)) as days
  from teams),
spent as (
  select coalesce(sum(d.cost_usd) filter (where d.day >= month), 0) as month_usd,
    coalesce(sum(d.cost_usd) filter (where d.day >= week), 0) as week_usd
  from day cross join usage_days d join teams t on t.id = d.team_id
  where d.day >= (select least(month, week) from day) and ${teamIs('t.name')} and ${modelIs('d.model')})
select (month_usd + week_usd / days
  * extract(epoch from next_month - tollgate_now()) / 86400)::float8 as forecast
from spent cross join age cross join day`),
          ],
        }),
        stat({
          title: 'Spent today',
          description: 'Since midnight in UTC.',
          unit: 'usd',
          from: 'postgres',
          queries: [sqlTable(`select coalesce(sum(d.cost_usd), 0)::float8 as spent ${since('day')}`)],
        }),
        stat({
          title: 'Cached share of input',
          description: 'Input tokens that the upstream read from its cache, at a lower price.',
          unit: 'share',
          from: 'postgres',
          queries: [
            sqlTable(`
select coalesce(sum(d.cached_input_tokens)::float8 / nullif(sum(d.input_tokens), 0), 0) as share ${MONTH}`),
          ],
        }),
        stat({
          title: 'Cost of a call',
          description: 'On average, this month.',
          unit: 'usd',
          from: 'postgres',
          queries: [
            sqlTable(
              `select coalesce(sum(d.cost_usd) / nullif(sum(d.calls), 0), 0)::float8 as cost ${MONTH}`,
            ),
          ],
        }),
        stat({
          title: 'Charged for unknown outcomes',
          description:
            'Part of this month’s cost that no answer of the upstream vouches for; evidence lowers it.',
          unit: 'usd',
          from: 'postgres',
          queries: [sqlTable(`select coalesce(sum(d.unknown_usd), 0)::float8 as unknown ${MONTH}`)],
        }),
      ],
    },
    {
      heading: 'By day',
      height: 9,
      panels: [
        perDay('Spend by team', 't.name', 'A bar a day in UTC; the ten teams that cost most.'),
        perDay('Spend by model', 'd.model', 'The models that calls asked for; the ten that cost most.'),
      ],
    },
    {
      heading: 'By operation, and now',
      height: 8,
      panels: [
        perDay('Spend by operation', 'd.operation', 'Chat completions, responses, embeddings and so on.'),
        series({
          title: 'Spend per hour, by team',
          description: 'As the instances count it now.',
          unit: 'usdPerHour',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom(
              `sum by (team) (rate(tollgate_cost_usd_total{${TEAM}}[$__rate_interval])) * 3600`,
              '{{team}}',
            ),
          ],
        }),
        series({
          title: 'Spend per hour, by model',
          description: 'As the instances count it now; models of the price list.',
          unit: 'usdPerHour',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom(
              `sum by (model) (rate(tollgate_model_cost_usd_total{${MODEL}}[$__rate_interval])) * 3600`,
              '{{model}}',
            ),
          ],
        }),
      ],
    },
    {
      heading: 'Beside tokens of text',
      height: 8,
      panels: [
        table({
          title: 'Tools, storage and media',
          description:
            'What was used of other meters in the dashboard’s time: calls of tools, sessions of containers, storage by the day, audio, images. In units of each meter; what they cost stands with their operation.',
          unit: 'count',
          from: 'postgres',
          columns: { team: 'text', operation: 'text', meter: 'text' },
          queries: [
            sqlTable(`
select t.name as team, q.operation, q.meter, sum(q.amount)::float8 as amount
from usage_quantities q join teams t on t.id = q.team_id
where q.bucket_start >= date_trunc('day', $__timeFrom()::timestamptz, 'UTC') and q.bucket_start < $__timeTo()::timestamptz
  and ${teamIs('t.name')} and ${modelIs('q.model')}
group by 1, 2, 3 order by 4 desc limit 100`),
          ],
        }),
      ],
    },
    {
      heading: "The upstream's bill",
      height: 8,
      panels: [
        series({
          title: 'Differences by cause',
          description:
            'What the upstream billed of a day less what was charged, by cause; calls over midnight left out.',
          unit: 'usd',
          from: 'postgres',
          look: 'bars',
          queries: [
            sqlSeries(`
select r.day::timestamp at time zone 'UTC' as time, d.kind as metric, sum(d.amount)::float8 as value
from reconciliations r cross join lateral jsonb_to_recordset(r.differences) as d(kind text, amount numeric)
where r.day >= ($__timeFrom()::timestamptz at time zone 'UTC')::date and r.day < $__timeTo()::timestamptz
  and d.kind not in ('late_batch', 'day_boundary')
group by 1, 2 order by 1, 2`),
          ],
        }),
        table({
          title: 'Days of the bill',
          description: 'By day and upstream: billed, charged, and what no number explains.',
          unit: 'count',
          from: 'postgres',
          columns: {
            day: 'text',
            upstream: 'text',
            billed: 'usd',
            charged: 'usd',
            unexplained: 'usd',
            state: 'text',
          },
          queries: [
            sqlTable(`
select r.day::text as day, r.upstream, r.billed_usd::float8 as billed,
  (r.charged_usd + r.corrected_usd)::float8 as charged, r.unexplained_usd::float8 as unexplained,
  case when r.is_final then 'final' else 'moving' end as state
from reconciliations r
where r.day >= ($__timeFrom()::timestamptz at time zone 'UTC')::date and r.day < $__timeTo()::timestamptz
order by 1 desc, 2 limit 100`),
          ],
        }),
      ],
    },
    {
      heading: 'Who',
      height: 10,
      panels: [
        table({
          title: 'Top callers',
          description: 'The keys that cost most in the dashboard’s time.',
          unit: 'count',
          from: 'postgres',
          columns: { team: 'text', key: 'text', cost: 'usd', 'cached share': 'share' },
          queries: [
            sqlTable(`
with spent as (
  select d.team_id, d.key_id, sum(d.cost_usd)::float8 as cost, sum(d.calls)::float8 as calls,
    sum(d.input_tokens)::float8 as input, sum(d.cached_input_tokens)::float8 as cached,
    sum(d.output_tokens)::float8 as output
  ${DAYS} group by 1, 2 order by 3 desc limit 50)
select t.name as team, coalesce(k.name, '?') as key, cost, calls, input as "input tokens", output as "output tokens",
  cached / nullif(input, 0) as "cached share"
from spent s join teams t on t.id = s.team_id left join keys k on k.id = s.key_id
order by cost desc`),
          ],
        }),
        table({
          title: 'Models',
          description: 'What each model cost, and what a call of it costs.',
          unit: 'count',
          from: 'postgres',
          columns: { model: 'text', cost: 'usd', 'cost of a call': 'usd', 'cached share': 'share' },
          queries: [
            sqlTable(`
select d.model, sum(d.cost_usd)::float8 as cost, sum(d.calls)::float8 as calls,
  (sum(d.cost_usd) / nullif(sum(d.calls), 0))::float8 as "cost of a call",
  sum(d.input_tokens + d.output_tokens)::float8 as tokens,
  sum(d.cached_input_tokens)::float8 / nullif(sum(d.input_tokens), 0) as "cached share"
${DAYS} group by 1 order by 2 desc limit 50`),
          ],
        }),
      ],
    },
  ],
});
