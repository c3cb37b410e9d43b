/** The kinds of columns that the tables share. */
import { getTableName, sql } from 'drizzle-orm';
import { bigint, check, customType, numeric, type PgColumn, timestamp } from 'drizzle-orm/pg-core';
import type { z } from 'zod';

export const money = (name: string) => numeric(name, { precision: 24, scale: 12 });
export const moment = (name: string) => timestamp(name, { withTimezone: true });
export const count = (name: string) => bigint(name, { mode: 'number' });

/** A column of JSON that is parsed by a schema whenever a row is read: it throws on what no Tollgate wrote. */
export function json<Schema extends z.ZodType>(name: string, schema: Schema) {
  return customType<{ data: z.output<Schema>; driverData: unknown }>({
    dataType: () => 'jsonb',
    toDriver: (value) => JSON.stringify(value),
    fromDriver: (value) => schema.parse(value),
  })(name);
}

/** The constraint that a column holds one of a closed list of words. */
export function isOneOf(column: PgColumn, words: readonly string[]) {
  const list = words.map((word) => `'${word}'`).join(', ');
  return check(`${getTableName(column.table)}_${column.name}`, sql`${column} in (${sql.raw(list)})`);
}

/** What is summed of events, whatever the interval. */
export const sums = () => ({
  calls: count('calls').notNull(),
  voidedCalls: count('voided_calls').notNull(),
  unknownCalls: count('unknown_calls').notNull(),
  inputTokens: count('input_tokens').notNull(),
  cachedInputTokens: count('cached_input_tokens').notNull(),
  cacheWriteTokens: count('cache_write_tokens').notNull(),
  outputTokens: count('output_tokens').notNull(),
  reasoningTokens: count('reasoning_tokens').notNull(),
  costUsd: money('cost_usd').notNull(),
  unknownUsd: money('unknown_usd').notNull(),
});
