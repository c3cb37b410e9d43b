/** How many calls, how fast: so that "slow" has a number. */
import { dashboard } from './layout.ts';
import { heatmap, series, stat, table } from './panels.ts';
import { MODEL, prom, promBuckets, promNow, promTable, TEAM } from './queries.ts';

const FIRST_BYTE = `rate(tollgate_time_to_first_byte_seconds_bucket{${MODEL}}[$__rate_interval])`;
const SPEED = `rate(tollgate_output_tokens_per_second_bucket{${MODEL}}[$__rate_interval])`;

const quantile = (share: number, by: string, buckets: string) =>
  `histogram_quantile(${share}, sum by (${by}${by === '' ? '' : ', '}le) (${buckets}))`;

/** Over the whole of the dashboard's time. */
const over = (expr: string) => expr.replaceAll('$__rate_interval', '$__range');

export const traffic = dashboard({
  uid: 'tollgate-traffic',
  title: 'Tollgate / Traffic',
  description: 'How many calls, and how fast.',
  from: 'now-6h',
  refresh: '30s',
  rows: [
    {
      heading: 'Now',
      height: 4,
      panels: [
        stat({
          title: 'Requests',
          description: 'Of all outcomes, including denials and errors.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          queries: [promNow('sum(rate(tollgate_requests_total[$__rate_interval]))')],
        }),
        stat({
          title: 'Calls in flight',
          description: 'Being forwarded, or waiting for money, on all instances.',
          unit: 'calls',
          from: 'prometheus',
          queries: [promNow('sum(tollgate_in_flight_calls)')],
        }),
        stat({
          title: 'First byte, 95 of 100 within',
          description: 'From sending a call upstream to its first byte.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [promNow(quantile(0.95, '', FIRST_BYTE))],
        }),
        stat({
          title: 'Speed of streams, median',
          description: 'Output tokens over the time from first byte to last.',
          unit: 'tokensPerSecond',
          from: 'prometheus',
          queries: [promNow(quantile(0.5, '', SPEED))],
        }),
        stat({
          title: 'Tollgate’s own time, median',
          description: 'All stages of a call except the upstream’s and the wait for money.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [
            promNow(
              `sum(${quantile(0.5, 'stage', 'rate(tollgate_stage_duration_seconds_bucket{stage!~"forward|reserve|upload"}[$__rate_interval])')})`,
            ),
          ],
        }),
      ],
    },
    {
      heading: 'How much',
      height: 8,
      panels: [
        series({
          title: 'Requests by outcome',
          description:
            'Settled, voided (nothing billed), unknown, denied by a limit, or ended in an error of Tollgate.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom('sum by (outcome) (rate(tollgate_requests_total[$__rate_interval]))', '{{outcome}}'),
          ],
        }),
        series({
          title: 'Calls by team',
          description: 'Forwarded to the upstream.',
          unit: 'requestsPerSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom(`sum by (team) (rate(tollgate_calls_total{${TEAM}}[$__rate_interval]))`, '{{team}}'),
          ],
        }),
        series({
          title: 'Tokens by type',
          description: 'Input that was cached, written to the cache, or neither; output.',
          unit: 'tokensPerSecond',
          from: 'prometheus',
          look: 'areas',
          queries: [
            prom(`sum by (type) (rate(tollgate_model_tokens_total{${MODEL}}[$__rate_interval]))`, '{{type}}'),
          ],
        }),
      ],
    },
    {
      heading: 'How long',
      height: 9,
      panels: [
        heatmap({
          title: 'Whole calls',
          description: 'From the first byte of the request to the last of the response, of all operations.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [
            promBuckets('sum by (le) (increase(tollgate_call_duration_seconds_bucket[$__rate_interval]))'),
          ],
        }),
        heatmap({
          title: 'To the first byte',
          description: 'From sending the call upstream, of the chosen models.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [promBuckets(`sum by (le) (${FIRST_BYTE.replace('rate(', 'increase(')})`)],
        }),
      ],
    },
    {
      heading: 'Which model is slow',
      height: 8,
      panels: [
        series({
          title: 'First byte by model, 95 of 100 within',
          description: 'From sending the call upstream to the first byte of the response.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [prom(quantile(0.95, 'model', FIRST_BYTE), '{{model}}')],
        }),
        series({
          title: 'Tokens per second by model, median',
          description: 'Of streams, from their first byte on.',
          unit: 'tokensPerSecond',
          from: 'prometheus',
          queries: [prom(quantile(0.5, 'model', SPEED), '{{model}}')],
        }),
      ],
    },
    {
      heading: 'Models and stages over the whole time shown',
      height: 9,
      panels: [
        table({
          title: 'First byte by model',
          description: 'Median, in seconds.',
          unit: 'seconds',
          from: 'prometheus',
          columns: { model: 'text', Time: 'moment' },
          queries: [promTable(`sort_desc(${over(quantile(0.5, 'model', FIRST_BYTE))})`)],
        }),
        table({
          title: 'Speed by model',
          description: 'Median.',
          unit: 'tokensPerSecond',
          from: 'prometheus',
          columns: { model: 'text', Time: 'moment' },
          queries: [promTable(`sort(${over(quantile(0.5, 'model', SPEED))})`)],
        }),
        series({
          title: 'Stages, 95 of 100 within',
          description: 'Time of a call by stage; forward waits for the upstream, reserve may wait for money.',
          unit: 'seconds',
          from: 'prometheus',
          queries: [
            prom(
              quantile(0.95, 'stage', 'rate(tollgate_stage_duration_seconds_bucket[$__rate_interval])'),
              '{{stage}}',
            ),
          ],
        }),
      ],
    },
  ],
});
