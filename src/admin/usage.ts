/** Route: usage, as sums of quarter hours. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { fault } from '../domain/errors.ts';
import { readUsage, type UsageRow } from '../store/usage.ts';
import { Usage, UsageQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { serve } from './route.ts';

const QUARTER_HOUR_MS = 900_000;
const ROWS_MAX = 10_000;

export function serveUsage(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const summary = 'Sum usage by team, key, model or operation and by time';
  serve(
    app,
    { method: 'get', path: '/usage', summary, query: UsageQuery, answer: Usage, team: 'query' },
    async ({ query }) => {
      const from = quarterOf(query.from, Math.floor);
      const to = quarterOf(query.to, Math.ceil);
      if (from && to && from >= to) return fault('invalid_request', 'to must be after from', { param: 'to' });
      await settleNow();
      const { group_by: groupBy, interval, time_zone: timeZone, team_id: teamId } = query;
      const limit = ROWS_MAX + 1;
      const rows = await readUsage(database, { groupBy, interval, timeZone, from, to, teamId, limit });
      if (rows.length > ROWS_MAX) {
        return fault(
          'invalid_request',
          `more than ${ROWS_MAX} rows: ask for less time or a longer interval`,
          {
            param: 'interval',
          },
        );
      }
      return {
        interval,
        time_zone: timeZone,
        from: instantOf(from),
        to: instantOf(to),
        data: rows.map(toSum),
      };
    },
  );
}

/** Sums are kept by quarters of an hour, so a moment within one means all of it. */
function quarterOf(text: string | undefined, round: (quarters: number) => number): Date | null {
  if (text === undefined) return null;
  return new Date(round(Date.parse(text) / QUARTER_HOUR_MS) * QUARTER_HOUR_MS);
}

function toSum(row: UsageRow) {
  return {
    starts_at: instantOf(row.startsAt),
    ...(row.team !== null ? { team_id: row.team } : {}),
    ...(row.key !== null ? { key_id: row.key } : {}),
    ...(row.model !== null ? { model: row.model } : {}),
    ...(row.operation !== null ? { operation: row.operation } : {}),
    calls: row.calls,
    voided_calls: row.voidedCalls,
    unknown_calls: row.unknownCalls,
    input_tokens: row.inputTokens,
    cached_input_tokens: row.cachedInputTokens,
    cache_write_tokens: row.cacheWriteTokens,
    output_tokens: row.outputTokens,
    reasoning_tokens: row.reasoningTokens,
    cost_usd: moneyOf(row.costUsd),
    unknown_usd: moneyOf(row.unknownUsd),
  };
}
