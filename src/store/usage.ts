/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events, and few quarters. */

import type { KeyId, TeamId } from '../domain/ids.ts';
import { DAY_MS, type TimeRange } from '../domain/window.ts';
import type { Database, Fragment, Sql } from './database.ts';
import { planUsage, type UsageInterval } from './usage-plan.ts';

export type { UsageInterval } from './usage-plan.ts';

const DIMENSIONS = { team: 'team_id', key: 'key_id', model: 'model', operation: 'operation' } as const;
export type UsageDimension = keyof typeof DIMENSIONS;

export interface UsageQuestion {
  groupBy: readonly UsageDimension[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  teamId: TeamId | undefined;
  keyId: KeyId | undefined;
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
  /** What else was used, by meter in its unit. */
  quantities: Record<string, number>;
}

const SUMS = {
  calls: 'calls',
  voided_calls: 'voidedCalls',
  unknown_calls: 'unknownCalls',
  input_tokens: 'inputTokens',
  cached_input_tokens: 'cachedInputTokens',
  cache_write_tokens: 'cacheWriteTokens',
  output_tokens: 'outputTokens',
  reasoning_tokens: 'reasoningTokens',
} as const;

const COLUMNS = [...Object.keys(SUMS), 'cost_usd', 'unknown_usd'];

/**
 * Sums the rollups, oldest interval first, then by the dimensions. Intervals without usage are left out.
 *
 * Whole UTC days come from their own table. A midnight of the time zone may cut such a day in two: it counts as a whole in
 * the interval of its noon, and the quarters of the smaller piece are moved to the interval that they lie in. For Berlin
 * by day, asked from 06:00 on the 2nd, where a day in UTC begins at 01:00:
 *
 *     starts_at  sign  calls
 *     2nd        1     7      edges: the quarters from 06:00 until the first whole day
 *     3rd        1     96     days: the 3rd in UTC, whose noon lies in Berlin's 3rd
 *     4th        1     4      moved: its quarters from 23:00 on lie in Berlin's 4th …
 *     3rd        -1    4      … and so not in Berlin's 3rd
 *
 * Each part is summed by its own moments first: to find the interval of a moment takes longer than to add a row.
 */
export async function readUsage({ readSql: sql }: Database, question: UsageQuestion): Promise<UsageRow[]> {
  const range = await rangeOf(sql, question);
  if (range === null) return [];
  const { interval, timeZone } = question;
  const { edges, days, moved } = planUsage(interval, timeZone, range);
  const startOfMoment = startOf(sql, sql`moment`, interval, timeZone);
  const startOfNoon = startOf(
    sql,
    sql`date_trunc('day', moment, 'UTC') + interval '12 hours'`,
    interval,
    timeZone,
  );
  const rows = await sql<Omit<UsageRow, 'quantities'>[]>`
    with days as (
      select u.day as moment, ${dimensionsOf(sql, question)} ${sumsOf(sql)} from usage_days u
      where u.day >= ${at(days.startMs)} and u.day < ${at(days.endMs)} ${ofOwner(sql, question)}
      group by 1, 2, 3, 4, 5),
    edges as (
      select u.bucket_start as moment, ${dimensionsOf(sql, question)} ${sumsOf(sql)}
      ${rowsOf(sql, 'usage_rollups', question, edges)} group by 1, 2, 3, 4, 5),
    moved as (
      select u.bucket_start as moment, ${dimensionsOf(sql, question)} ${sumsOf(sql)}
      ${rowsOf(sql, 'usage_rollups', question, moved)} group by 1, 2, 3, 4, 5),
    parts as (
      select ${startOfNoon} as starts_at, 1 as sign, * from days
      union all select ${startOfMoment}, 1, * from edges
      union all select ${startOfMoment}, 1, * from moved
      union all select ${startOfNoon}, -1, * from moved)
    select starts_at as "startsAt", team, key, model, operation, ${countsOf(sql)}
      sum(sign * cost_usd)::text as "costUsd", sum(sign * unknown_usd)::text as "unknownUsd"
    from parts
    group by 1, 2, 3, 4, 5 having sum(sign * calls) <> 0
    order by 1, 2, 3, 4, 5 limit ${question.limit}`;
  const quantities = await readQuantities(sql, question, range);
  return rows.map((row) => ({ ...row, quantities: quantities.get(groupOf(row)) ?? {} }));
}

/** Sums of a table of rollups, by the names of its columns. */
function sumsOf(sql: Sql): Fragment[] {
  return COLUMNS.map((name, place) => sql`${place > 0 ? sql`, ` : sql``}sum(${sql(name)}) as ${sql(name)}`);
}

/** The counts of all parts of an interval, as a row of the answer names them. */
function countsOf(sql: Sql): Fragment[] {
  return Object.entries(SUMS).map(
    ([column, name]) => sql`sum(sign * ${sql(column)})::float8 as ${sql(name)}, `,
  );
}

type Group = Pick<UsageRow, 'startsAt' | UsageDimension>;

function groupOf({ startsAt, team, key, model, operation }: Group): string {
  return JSON.stringify([startsAt, team, key, model, operation]);
}

/** Sums of what has no column, by group and meter. They are few, so all of it is read by quarters. */
async function readQuantities(sql: Sql, question: UsageQuestion, range: TimeRange) {
  const { interval, timeZone } = question;
  const rows = await sql<(Group & { meter: string; amount: number })[]>`
    select ${startOf(sql, sql`u.bucket_start`, interval, timeZone)} as "startsAt", ${dimensionsOf(sql, question)}
      u.meter, sum(u.amount)::float8 as amount
    ${rowsOf(sql, 'usage_quantities', question, [range])} group by 1, 2, 3, 4, 5, 6`;
  const groups = new Map<string, Record<string, number>>();
  for (const { meter, amount, ...group } of rows) {
    const id = groupOf(group);
    groups.set(id, { ...groups.get(id), [meter]: amount });
  }
  return groups;
}

/** What is grouped by, as columns; null for what is not. */
function dimensionsOf(sql: Sql, { groupBy }: UsageQuestion): Fragment[] {
  return Object.entries(DIMENSIONS).map(([name, column]) =>
    groupBy.includes(name as UsageDimension)
      ? sql`u.${sql(column)} as ${sql(name)}, `
      : sql`null as ${sql(name)}, `,
  );
}

/** The condition that a row is one of the team and key that are asked for, where any is. */
function ofOwner(sql: Sql, { teamId, keyId }: UsageQuestion): Fragment {
  return sql`${teamId ? sql`and u.team_id = ${teamId}` : sql``} ${keyId ? sql`and u.key_id = ${keyId}` : sql``}`;
}

/**
 * The rows `u` of some ranges of quarters. Of all teams by their ids, so that the index that begins with the team serves:
 * without, all quarters that there ever were would be read.
 */
function rowsOf(
  sql: Sql,
  table: 'usage_rollups' | 'usage_quantities',
  question: UsageQuestion,
  ranges: readonly TimeRange[],
): Fragment {
  const ofAll = question.teamId ? sql`` : sql`and u.team_id in (select id from teams)`;
  return sql`from unnest(${ranges.map((each) => at(each.startMs))}::timestamptz[],
      ${ranges.map((each) => at(each.endMs))}::timestamptz[]) as s (from_at, to_at)
    join ${sql(table)} u on u.bucket_start >= s.from_at and u.bucket_start < s.to_at
    where true ${ofAll} ${ofOwner(sql, question)}`;
}

/** The time range that is asked for, as far as there is any usage; null: there is none. */
async function rangeOf(sql: Sql, { from, to, teamId }: UsageQuestion): Promise<TimeRange | null> {
  const [row] = await sql<{ first: Date | null; last: Date | null }[]>`
    select min(day) as first, max(day) as last from usage_days ${teamId ? sql`where team_id = ${teamId}` : sql``}`;
  if (!row?.first || !row.last) return null;
  const startMs = Math.max(row.first.getTime(), from?.getTime() ?? 0);
  const endMs = Math.min(row.last.getTime() + DAY_MS, to?.getTime() ?? Number.POSITIVE_INFINITY);
  return startMs < endMs ? { startMs, endMs } : null;
}

function at(ms: number): string {
  return new Date(ms).toISOString();
}

/** The start of the interval in which a moment lies; null for a total. */
export function startOf(sql: Sql, moment: Fragment, interval: UsageInterval, timeZone: string): Fragment {
  if (interval === 'total') return sql`null::timestamptz`;
  return interval === '15m' ? moment : sql`date_trunc(${interval}, ${moment}, ${timeZone})`;
}
