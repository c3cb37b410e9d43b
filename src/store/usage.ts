/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events. */
import { and, asc, eq, gte, lt, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import type { Database } from './database.ts';
import { usageRollups } from './schema.ts';

const DIMENSIONS = {
  team: usageRollups.teamId,
  key: usageRollups.keyId,
  model: usageRollups.model,
  operation: usageRollups.operation,
};
export type UsageInterval = '15m' | 'hour' | 'day' | 'week' | 'month' | 'total';

export interface UsageQuestion {
  groupBy: readonly (keyof typeof DIMENSIONS)[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  teamId: string | undefined;
  keyId: string | undefined;
  /** At most so many rows. */
  limit: number;
}

/** One sum. What is not grouped by is null; money is decimal text. */
export interface UsageRow {
  /** Null for `total`. */
  startsAt: Date | null;
  team: string | null;
  key: string | null;
  model: string | null;
  operation: string | null;
  calls: number;
  voidedCalls: number;
  unknownCalls: number;
  inputTokens: number;
  cachedInputTokens: number;
  cacheWriteTokens: number;
  outputTokens: number;
  reasoningTokens: number;
  costUsd: string;
  unknownUsd: string;
}

const sum = (column: PgColumn) => sql<number>`sum(${column})`.mapWith(Number);
const sumMoney = (column: PgColumn) => sql<string>`sum(${column})`;

/** Sums the rollups, oldest interval first, then by the dimensions. Intervals without usage are left out. */
export function readUsage(database: Database, question: UsageQuestion): Promise<UsageRow[]> {
  const { from, to, teamId, keyId } = question;
  const by = (name: keyof typeof DIMENSIONS) =>
    question.groupBy.includes(name) ? DIMENSIONS[name] : sql<null>`null`;
  // Ordinals: the same expression with parameters twice would be two expressions to Postgres.
  const ordinals = [sql`1`, sql`2`, sql`3`, sql`4`, sql`5`];
  return database.db
    .select({
      startsAt: startOf(usageRollups.bucketStart, question),
      team: by('team'),
      key: by('key'),
      model: by('model'),
      operation: by('operation'),
      calls: sum(usageRollups.calls),
      voidedCalls: sum(usageRollups.voidedCalls),
      unknownCalls: sum(usageRollups.unknownCalls),
      inputTokens: sum(usageRollups.inputTokens),
      cachedInputTokens: sum(usageRollups.cachedInputTokens),
      cacheWriteTokens: sum(usageRollups.cacheWriteTokens),
      outputTokens: sum(usageRollups.outputTokens),
      reasoningTokens: sum(usageRollups.reasoningTokens),
      costUsd: sumMoney(usageRollups.costUsd),
      unknownUsd: sumMoney(usageRollups.unknownUsd),
    })
    .from(usageRollups)
    .where(
      and(
        teamId === undefined ? undefined : eq(usageRollups.teamId, teamId),
        keyId === undefined ? undefined : eq(usageRollups.keyId, keyId),
        from ? gte(usageRollups.bucketStart, from) : undefined,
        to ? lt(usageRollups.bucketStart, to) : undefined,
      ),
    )
    .groupBy(...ordinals)
    .orderBy(...ordinals.map((ordinal) => asc(ordinal)))
    .limit(question.limit) as Promise<UsageRow[]>;
}

/** The start of the interval in which a quarter of an hour lies. */
export function startOf(
  bucketStart: PgColumn,
  { interval, timeZone }: Pick<UsageQuestion, 'interval' | 'timeZone'>,
): SQL<Date | null> {
  if (interval === 'total') return sql<null>`null::timestamptz`;
  const start =
    interval === '15m' ? sql`${bucketStart}` : sql`date_trunc(${interval}, ${bucketStart}, ${timeZone})`;
  return start.mapWith(bucketStart) as SQL<Date | null>;
}
