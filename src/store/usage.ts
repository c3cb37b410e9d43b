/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events. */
import { and, asc, eq, gte, lt, or, type SQL, type SQLWrapper, sql } from 'drizzle-orm';
import { type PgColumn, unionAll } from 'drizzle-orm/pg-core';
import type { Database } from './database.ts';
import { usageDays, usageRollups } from './schema.ts';

export type UsageDimension = 'team' | 'key' | 'model' | 'operation';
export type UsageInterval = '15m' | 'hour' | 'day' | 'week' | 'month' | 'total';

export interface UsageQuestion {
  groupBy: readonly UsageDimension[];
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

/** Sums the rollups, oldest interval first, then by the dimensions. Intervals without usage are left out. */
export function readUsage(database: Database, question: UsageQuestion): Promise<UsageRow[]> {
  const source = rollupsOf(database, question);
  const dimensions = {
    team: source.teamId,
    key: source.keyId,
    model: source.model,
    operation: source.operation,
  };
  const by = (name: UsageDimension) => (question.groupBy.includes(name) ? dimensions[name] : sql<null>`null`);
  const sum = (column: SQLWrapper) => sql<number>`sum(${column})`.mapWith(Number);
  const sumMoney = (column: SQLWrapper) => sql<string>`sum(${column})`;
  // Ordinals: the same expression with parameters twice would be two expressions to Postgres.
  const ordinals = [sql`1`, sql`2`, sql`3`, sql`4`, sql`5`];
  return database.db
    .select({
      startsAt: startOf(source.startsAt, question),
      team: by('team'),
      key: by('key'),
      model: by('model'),
      operation: by('operation'),
      calls: sum(source.calls),
      voidedCalls: sum(source.voidedCalls),
      unknownCalls: sum(source.unknownCalls),
      inputTokens: sum(source.inputTokens),
      cachedInputTokens: sum(source.cachedInputTokens),
      cacheWriteTokens: sum(source.cacheWriteTokens),
      outputTokens: sum(source.outputTokens),
      reasoningTokens: sum(source.reasoningTokens),
      costUsd: sumMoney(source.costUsd),
      unknownUsd: sumMoney(source.unknownUsd),
    })
    .from(source)
    .groupBy(...ordinals)
    .orderBy(...ordinals.map((ordinal) => asc(ordinal)))
    .limit(question.limit) as Promise<UsageRow[]>;
}

const DAY_MS = 86_400_000;
/** In whose days, weeks and months whole UTC days lie. */
const UTC_ZONES = ['UTC', 'Etc/UTC', 'GMT', 'Etc/GMT'];

/**
 * The sums to add up: of whole UTC days where none of them lies in two intervals, and of quarters of an hour at the edges
 * or else everywhere. Days are a small part of the rows.
 */
function rollupsOf({ db }: Database, { interval, timeZone, from, to, teamId, keyId }: UsageQuestion) {
  const select = (
    table: typeof usageRollups | typeof usageDays,
    startsAt: PgColumn,
    where: (SQL | undefined)[],
  ) => {
    const { keyId: key, model, operation } = table;
    const { calls, voidedCalls, unknownCalls, inputTokens, cachedInputTokens, cacheWriteTokens } = table;
    const { outputTokens, reasoningTokens, costUsd, unknownUsd } = table;
    return db
      .select({
        startsAt: sql<Date>`${startsAt}`.as('starts_at'),
        teamId: table.teamId,
        keyId: key,
        model,
        operation,
        calls,
        voidedCalls,
        unknownCalls,
        inputTokens,
        cachedInputTokens,
        cacheWriteTokens,
        outputTokens,
        reasoningTokens,
        costUsd,
        unknownUsd,
      })
      .from(table)
      .where(
        and(
          teamId === undefined ? undefined : eq(table.teamId, teamId),
          keyId === undefined ? undefined : eq(key, keyId),
          ...where,
        ),
      );
  };
  const { bucketStart } = usageRollups;
  const inQuarters = (first: Date | null, end: Date | null) =>
    and(first ? gte(bucketStart, first) : undefined, end ? lt(bucketStart, end) : undefined);
  const inDays = interval === 'total' || (isOfDays(interval) && UTC_ZONES.includes(timeZone));
  const firstDay = from && new Date(Math.ceil(from.getTime() / DAY_MS) * DAY_MS);
  const endDay = to && new Date(Math.floor(to.getTime() / DAY_MS) * DAY_MS);
  if (!inDays || (firstDay && endDay && firstDay >= endDay)) {
    return select(usageRollups, bucketStart, [inQuarters(from, to)]).as('u');
  }
  const edges = or(from ? inQuarters(from, firstDay) : sql`false`, to ? inQuarters(endDay, to) : sql`false`);
  const { day } = usageDays;
  const days = [firstDay ? gte(day, firstDay) : undefined, endDay ? lt(day, endDay) : undefined];
  return unionAll(select(usageDays, day, days), select(usageRollups, bucketStart, [edges])).as('u');
}

function isOfDays(interval: UsageInterval): boolean {
  return interval === 'day' || interval === 'week' || interval === 'month';
}

/** The start of the interval in which a quarter of an hour lies. */
export function startOf(
  bucketStart: PgColumn | SQL.Aliased<Date>,
  { interval, timeZone }: Pick<UsageQuestion, 'interval' | 'timeZone'>,
): SQL<Date | null> {
  if (interval === 'total') return sql<null>`null::timestamptz`;
  const start =
    interval === '15m' ? sql`${bucketStart}` : sql`date_trunc(${interval}, ${bucketStart}, ${timeZone})`;
  return start.mapWith(usageRollups.bucketStart) as SQL<Date | null>;
}
