/** Availability, denials and errors, and what lags behind. */

import { INTERNALS } from './internals.ts';
import { dashboard } from './layout.ts';
import { series, stat, table } from './panels.ts';
import { prom, promNow, sqlTable, TEAM, teamIs } from './queries.ts';

const DOWN_IS_RED = [
  [null, 'red'],
  [1, 'green'],
] as const;
const ABOVE_NOTHING = [
  [null, 'green'],
  [0.000_001, 'red'],
] as const;

export const operations = dashboard({
  uid: 'tollgate-operations',
  title: 'Tollgate / Operations',
  description: 'Availability, denials and errors, and what lags behind.',
  from: 'now-6h',
  refresh: '15s',
  rows: [
    {
      heading: 'Now',
      height: 4,
      panels: [
        stat({
          title: 'Instances up',
          description: 'Instances that respond to Prometheus.',
          unit: 'count',
          from: 'prometheus',
          steps: DOWN_IS_RED,
          queries: [promNow('sum(up{job="tollgate"})')],
        }),
        stat({
          title: 'Postgres reachable',
          description: '1: from every instance. 0: one works with its leases, for a minute at most.',
          unit: 'count',
          from: 'prometheus',
          steps: DOWN_IS_RED,
          queries: [promNow('min(tollgate_postgres_up)')],
        }),
        stat({
          title: 'Upstream errors',
          description:
            'Share of the calls of five minutes; requests that it rejects are their clients’ fault.',
          unit: 'share',
          from: 'prometheus',
          steps: [
            [null, 'green'],
            [0.01, 'orange'],
            [0.05, 'red'],
          ],
          queries: [promNow('tollgate:upstream_errors:ratio5m or vector(0)')],
        }),
        stat({
          title: 'Unresolved',
          description: 'Charged for calls whose outcome is still unknown.',
          unit: 'usd',
          from: 'prometheus',
          queries: [promNow('max(tollgate_unresolved_usd)')],
        }),
        stat({
          title: 'Overrun of the last day',
          description:
            'Billed above the hold: the price list is stale, or the upstream billed more than its prices.',
          unit: 'usd',
          from: 'prometheus',
          steps: ABOVE_NOTHING,
          queries: [promNow('sum(increase(tollgate_overrun_usd_total[1d]))')],
        }),
        stat({
          title: 'Alerts firing',
          description: 'Of the rules in grafana/prometheus/alerts.yml.',
          unit: 'count',
          from: 'prometheus',
          steps: ABOVE_NOTHING,
          queries: [promNow('count(ALERTS{alertstate="firing", alertname=~"Tollgate.+"}) or vector(0)')],
        }),
      ],
    },
    {
      heading: 'Jobs',
      height: 4,
      panels: [
        stat({
          title: 'Jobs under way',
          description: 'Training jobs, batches and background responses that have not ended.',
          unit: 'count',
          from: 'prometheus',
          queries: [promNow('sum(max by (state) (tollgate_jobs))')],
        }),
        stat({
          title: 'Held by jobs',
          description: 'What they may still cost; it comes back as they end.',
          unit: 'usd',
          from: 'prometheus',
          queries: [promNow('max(tollgate_jobs_held_usd)')],
        }),
        stat({
          title: 'Oldest job',
          description: 'Age of the oldest that has not ended.',
          unit: 'seconds',
          from: 'prometheus',
          steps: [
            [null, 'green'],
            [172_800, 'orange'],
          ],
          queries: [promNow('max(tollgate_oldest_job_seconds)')],
        }),
      ],
    },
    {
      heading: 'Denials, errors and the upstream',
      height: 8,
      panels: [
        series({
          title: 'Denials by code',
          description: 'Requests that a limit denied, by error code.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [prom('sum by (code) (rate(tollgate_denials_total[$__rate_interval])) > 0', '{{code}}')],
        }),
        series({
          title: 'Errors by code',
          description: 'Requests that ended in an error of Tollgate that is no denial, by error code.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [prom('sum by (code) (rate(tollgate_errors_total[$__rate_interval])) > 0', '{{code}}')],
        }),
        series({
          title: 'Upstream errors by kind',
          description: 'No response, one that broke off, or an error status.',
          unit: 'perSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom('sum by (kind) (rate(tollgate_upstream_errors_total[$__rate_interval]))', '{{kind}}'),
          ],
        }),
        series({
          title: 'Retries of SDKs',
          description: 'Requests that an SDK marks as a retry, by operation.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          queries: [
            prom('sum by (operation) (rate(tollgate_sdk_retries_total[$__rate_interval]))', '{{operation}}'),
          ],
        }),
      ],
    },
    {
      heading: 'Calls denied, failed, cut short; warnings',
      height: 8,
      panels: [
        series({
          title: 'Responses cut short',
          description: 'Responses that ended at the output limit that Tollgate wrote into their request.',
          unit: 'perSecond',
          from: 'prometheus',
          queries: [prom('sum(rate(tollgate_output_cut_total[$__rate_interval]))', 'cut')],
        }),
        series({
          title: 'Warnings sent',
          description: 'Attempts to send a warning to a webhook, by outcome.',
          unit: 'perSecond',
          from: 'prometheus',
          queries: [
            prom(
              'sum by (outcome) (rate(tollgate_webhook_deliveries_total[$__rate_interval]))',
              '{{outcome}}',
            ),
          ],
        }),
        table({
          title: 'Denials and errors by team',
          description:
            'In the dashboard’s time; calls without a known key belong to no team and are not here.',
          unit: 'count',
          from: 'postgres',
          columns: { team: 'text', kind: 'text', code: 'text' },
          queries: [
            sqlTable(`
select t.name as team, r.kind, r.code, sum(r.calls)::float8 as calls
from api_error_rollups r join teams t on t.id = r.team_id
where r.bucket_start >= $__timeFrom()::timestamptz - interval '15 minutes' and r.bucket_start < $__timeTo()::timestamptz
  and ${teamIs('t.name')}
group by 1, 2, 3 order by 4 desc limit 100`),
          ],
        }),
      ],
    },
    {
      heading: 'Leases and waiting calls',
      height: 8,
      panels: [
        series({
          title: 'Lease hit rate',
          description: 'Share of the calls admitted from a lease, without a query to Postgres.',
          unit: 'share',
          from: 'prometheus',
          queries: [
            prom(
              'sum(rate(tollgate_reservations_total{waited="no"}[$__rate_interval])) / (sum(rate(tollgate_reservations_total[$__rate_interval])) > 0)',
              'at once',
            ),
          ],
        }),
        series({
          title: 'Leased by team',
          description: 'Lent to all instances for their next calls.',
          unit: 'usd',
          from: 'prometheus',
          look: 'areas',
          queries: [prom(`sum by (team) (tollgate_leased_usd{${TEAM}})`, '{{team}}')],
        }),
        series({
          title: 'Waiting and in flight',
          description: 'Calls that wait for money that others hold, and calls being forwarded.',
          unit: 'calls',
          from: 'prometheus',
          queries: [
            prom('sum(tollgate_waiting_calls)', 'waiting'),
            prom('sum(tollgate_in_flight_calls)', 'in flight'),
          ],
        }),
        series({
          title: 'Open circuits',
          description:
            'Teams, and the upstream as a whole, whose calls go one at a time because the upstream fails.',
          unit: 'count',
          from: 'prometheus',
          queries: [prom('max by (scope) (tollgate_breakers_open)', '{{scope}}')],
        }),
        series({
          title: 'Connections to the upstream',
          description: 'Those that calls use, those that they may use, and calls that wait for one.',
          unit: 'calls',
          from: 'prometheus',
          queries: [
            prom('sum(tollgate_upstream_connections)', 'used'),
            prom('sum(tollgate_upstream_connections_max)', 'may be used'),
            prom('sum(tollgate_upstream_waiting_calls)', 'waiting'),
          ],
        }),
        series({
          title: 'Calls by upstream',
          description: 'Where there are several upstreams: the calls that each of them got.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom(
              'sum by (upstream) (rate(tollgate_upstream_calls_total[$__rate_interval])) or vector(0)',
              '{{upstream}}',
            ),
          ],
        }),
        series({
          title: 'Upstreams that are down',
          description: 'Of several: those whose last three calls failed, so that new ones go elsewhere.',
          unit: 'count',
          from: 'prometheus',
          queries: [prom('1 - min by (upstream) (tollgate_upstream_up) or vector(0)', '{{upstream}}')],
        }),
        series({
          title: 'Reserve, 99 of 100 within',
          description:
            'Time to reserve a call’s money; seconds mean that it waited for other calls to settle.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [
            prom(
              'histogram_quantile(0.99, sum by (le) (rate(tollgate_stage_duration_seconds_bucket{stage="reserve"}[$__rate_interval])))',
              'reserve',
            ),
          ],
        }),
      ],
    },
    ...INTERNALS,
  ],
});
