/** Usage that the upstream reported in its responses, by the minutes in which it may report it. */

import { CLOCK_MARGIN_MS, MINUTE_MS } from '../domain/reconcile.ts';
import type { KnownUsage, MinuteRange } from '../domain/usage-report-bound.ts';
import type { Sql } from './database.ts';

interface Row {
  first_minute: number;
  last_minute: number;
  model: string;
  response_model: string | null;
  input_tokens: number;
  cached_input_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
}

/**
 * Sums the calls of all teams to an upstream (null: the only one) whose whole life lies in the span (`minutesOf` in domain/reconcile.ts, said again in SQL:
 * a busy hour has a million events). What was estimated is not known, and a call without a measured end has no life.
 */
export async function readKnownUsage(
  sql: Sql,
  upstream: string | null,
  operations: readonly string[],
  { firstMinute, lastMinute }: MinuteRange,
): Promise<KnownUsage[]> {
  const from = new Date(firstMinute * MINUTE_MS).toISOString();
  const until = new Date((lastMinute + 1) * MINUTE_MS).toISOString();
  const rows = await sql<Row[]>`
    select e.first_minute, e.last_minute, e.model, e.response_model, sum(e.input_tokens)::float8 as input_tokens,
      sum(e.cached_input_tokens)::float8 as cached_input_tokens,
      sum(e.cache_write_tokens)::float8 as cache_write_tokens, sum(e.output_tokens)::float8 as output_tokens
    from teams t cross join lateral (
      select *, floor((admitted_ms - ${CLOCK_MARGIN_MS}) / ${MINUTE_MS})::float8 as first_minute,
        floor((admitted_ms + lived_ms + ${CLOCK_MARGIN_MS}) / ${MINUTE_MS})::float8 as last_minute
      from (
        select *, extract(epoch from created_at)::float8 * 1000 as admitted_ms,
          (coalesce((stage_us->>'reserve')::float8, 0) + coalesce((stage_us->>'connect')::float8, 0)
            + (stage_us->>'forward')::float8) / 1000 as lived_ms
        from usage_events
        where team_id = t.id and created_at >= ${from} and created_at < ${until}
          and outcome = 'settled' and provenance = 'reported' and operation = any(${[...operations]})
          and upstream is not distinct from ${upstream}
      ) lives
    ) e
    where e.first_minute >= ${firstMinute} and e.last_minute <= ${lastMinute}
    group by 1, 2, 3, 4`;
  return rows.map((row) => ({
    firstMinute: row.first_minute,
    lastMinute: row.last_minute,
    model: row.model,
    responseModel: row.response_model,
    usage: {
      input_tokens: row.input_tokens,
      uncached_input_tokens: row.input_tokens - row.cached_input_tokens - row.cache_write_tokens,
      cached_input_tokens: row.cached_input_tokens,
      cache_write_tokens: row.cache_write_tokens,
      output_tokens: row.output_tokens,
    },
  }));
}
