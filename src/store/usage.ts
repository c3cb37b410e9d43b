/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events, and few quarters. */

import type { DepartmentId, KeyId, TeamId } from '../domain/ids.ts';
import { DAY_MS, QUARTER_HOUR_MS, type TimeRange } from '../domain/window.ts';
import type { Database, Fragment, Sql } from './database.ts';
import { planUsage, type UsageInterval, type UsagePlan } from './usage-plan.ts';

export type { UsageInterval } from './usage-plan.ts';

const DIMENSIONS = {
  team: 'team_id',
  key: 'key_id',
  model: 'model',
  operation: 'operation',
  /** The one of the call's team, which is the first of those that it bears. */
  department: 'departments',
} as const;
export type UsageDimension = keyof typeof DIMENSIONS;

export interface UsageQuestion {
  groupBy: readonly UsageDimension[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  /** Undefined: of all teams. */
  teamIds: readonly TeamId[] | undefined;
  keyId: KeyId | undefined;
  /** Only calls admitted in it or below it. */
  departmentId?: DepartmentId | undefined;
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
  department: string | null;
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
  /** What else was used, by meter in its unit; nothing is known of it by department. */
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
 *
 * By department, the sums by departments come on top, and the same is taken away from what has none. Of the calls in one
 * department their sums are all that is read.
 */
export async function readUsage({ readSql: sql }: Database, question: UsageQuestion): Promise<UsageRow[]> {
  const range = await usageRange(sql, question);
  if (range === null) return [];
  const { interval, timeZone } = question;
  const isOfDepartment = question.departmentId !== undefined;
  const isByDepartment = isOfDepartment || question.groupBy.includes('department');
  const plan = planUsage(interval, timeZone, range);
  const { edges, days, moved } = isOfDepartment ? NOTHING : plan;
  const startOfMoment = startOf(sql, sql`moment`, interval, timeZone);
  const startOfNoon = startOf(
    sql,
    sql`date_trunc('day', moment, 'UTC') + interval '12 hours'`,
    interval,
    timeZone,
  );
  const rows = await sql<Omit<UsageRow, 'quantities'>[]>`
    with days as (
      select ${momentOf(sql, 'day', interval)} ${dimensionsOf(sql, question)} ${sumsOf(sql)} from usage_days u
      where u.day >= ${at(days.startMs)} and u.day < ${at(days.endMs)} ${ofOwner(sql, question)}
      group by ${GROUPS(sql)}),
    edges as (
      select ${momentOf(sql, 'bucket_start', interval)} ${dimensionsOf(sql, question)} ${sumsOf(sql)}
      ${rowsOf(sql, 'usage_rollups', question, edges)} group by ${GROUPS(sql)}),
    moved as (
      select ${movedMoment(sql)} ${dimensionsOf(sql, question)} ${sumsOf(sql)}
      ${rowsOf(sql, 'usage_rollups', question, moved)} group by ${GROUPS(sql)}),
    ${isByDepartment ? sql`${groupedOf(sql, question, plan, startOfMoment, startOfNoon)}, ` : sql``}
    parts as (
      select ${startOfNoon} as starts_at, 1 as sign, * from days
      union all select ${startOfMoment}, 1, * from edges
      union all select ${startOfMoment}, 1, * from moved
      union all select ${startOfNoon}, -1, * from moved
      ${isByDepartment ? sql`union all select * from grouped` : sql``}
      ${isOfDepartment || !isByDepartment ? sql`` : sql`union all select starts_at, -sign, moment, team, key, model, operation, null, ${COLUMNS_OF(sql)} from grouped`})
    select starts_at as "startsAt", team, key, model, operation, department, ${countsOf(sql)}
      sum(sign * cost_usd)::text as "costUsd", sum(sign * unknown_usd)::text as "unknownUsd"
    from parts
    group by ${GROUPS(sql)} having sum(sign * calls) <> 0
    order by ${GROUPS(sql)} limit ${question.limit}`;
  const quantities = isByDepartment ? new Map() : await readQuantities(sql, question, range);
  return rows.map((row) => ({ ...row, quantities: quantities.get(groupOf(row)) ?? {} }));
}

const NOTHING: UsagePlan = { edges: [], days: { startMs: 0, endMs: 0 }, moved: [] };

/**
 * The expression `grouped`: what calls in departments used, put together like the sums of all calls. A day of a team of which
 * the sums by day differ from those of all its calls is read by quarters: its team was in no department for a while, or a
 * release without such sums wrote some of them.
 */
function groupedOf(
  sql: Sql,
  question: UsageQuestion,
  { edges, days, moved }: UsagePlan,
  startOfMoment: Fragment,
  startOfNoon: Fragment,
): Fragment {
  const { departmentId } = question;
  const below = departmentId === undefined ? sql`` : sql`and ${departmentId}::uuid = any(u.departments)`;
  const by = (moment: Fragment) => sql`
    select ${moment} ${dimensionsOf(sql, question, 'usage_departments')} ${sumsOf(sql)}`;
  const of = (moment: 'day' | 'bucket_start') => by(momentOf(sql, moment, question.interval));
  const inDays = sql`u.day >= ${at(days.startMs)} and u.day < ${at(days.endMs)} ${ofOwner(sql, question)}`;
  return sql`
    checked as (
      select team_id, day from (
        select u.team_id, u.day, u.calls, u.unknown_calls, u.cost_usd from usage_days u where ${inDays}
        union all
        select u.team_id, u.day, -u.calls, -u.unknown_calls, -u.cost_usd from usage_department_days u where ${inDays}) u
      group by 1, 2 having sum(calls) <> 0 or sum(unknown_calls) <> 0 or sum(cost_usd) <> 0),
    grouped_days as (
      ${of('day')} from usage_department_days u
      where ${inDays} ${below} and (u.team_id, u.day) not in (select team_id, day from checked) group by ${GROUPS(sql)}),
    grouped_rest as (
      ${of('bucket_start')} from checked c
        join usage_departments u on u.team_id = c.team_id and u.bucket_start >= c.day
          and u.bucket_start < c.day + interval '1 day'
      where true ${ofOwner(sql, question)} ${below} group by ${GROUPS(sql)}),
    grouped_edges as (
      ${of('bucket_start')} ${rowsOf(sql, 'usage_departments', question, edges)} group by ${GROUPS(sql)}),
    grouped_moved as (
      ${by(movedMoment(sql))} ${rowsOf(sql, 'usage_departments', question, moved)} group by ${GROUPS(sql)}),
    grouped as (
      select ${startOfNoon} as starts_at, 1 as sign, * from grouped_days
      union all select ${startOfNoon}, 1, * from grouped_rest
      union all select ${startOfMoment}, 1, * from grouped_edges
      union all select ${startOfMoment}, 1, * from grouped_moved
      union all select ${startOfNoon}, -1, * from grouped_moved)`;
}

/** The moment and the dimensions, which every part has first. */
const GROUPS = (sql: Sql) => sql`1, 2, 3, 4, 5, 6`;
const COLUMNS_OF = (sql: Sql) =>
  COLUMNS.map((name, place) => sql`${place > 0 ? sql`, ` : sql``}${sql(name)}`);

/** Sums of a table of rollups, by the names of its columns. */
export function sumsOf(sql: Sql): Fragment[] {
  return COLUMNS.map((name, place) => {
    // Counts stay whole numbers of eight bytes, which are added to each other in a fraction of a decimal's time.
    const sum = name in SUMS ? sql`sum(${sql(name)})::int8` : sql`sum(${sql(name)})`;
    return sql`${place > 0 ? sql`, ` : sql``}${sum} as ${sql(name)}`;
  });
}

/** The counts of all parts of an interval, as a row of the answer names them. */
export function countsOf(sql: Sql): Fragment[] {
  return Object.entries(SUMS).map(
    ([column, name]) => sql`sum(sign * ${sql(column)})::float8 as ${sql(name)}, `,
  );
}

type Group = Pick<UsageRow, 'startsAt' | UsageDimension>;

/** NUL separates: no text of Postgres has one. There are thousands of rows, so this is not JSON, which takes ten times as long. */
function groupOf({ startsAt, team, key, model, operation, department }: Group): string {
  return `${startsAt?.getTime()}\0${team}\0${key}\0${model}\0${operation}\0${department}`;
}

/** Sums of what has no column, by group and meter. They are few, so all of it is read by quarters. */
async function readQuantities(sql: Sql, question: UsageQuestion, range: TimeRange) {
  const { interval, timeZone } = question;
  const rows = await sql<(Group & { meter: string; amount: number })[]>`
    select ${startOf(sql, sql`u.bucket_start`, interval, timeZone)} as "startsAt", ${dimensionsOf(sql, question)}
      u.meter, sum(u.amount)::float8 as amount
    ${rowsOf(sql, 'usage_quantities', question, [range])} group by ${GROUPS(sql)}, 7`;
  const groups = new Map<string, Record<string, number>>();
  for (const { meter, amount, ...group } of rows) {
    const id = groupOf(group);
    groups.set(id, { ...groups.get(id), [meter]: amount });
  }
  return groups;
}

/** What is grouped by, as columns; null for what is not, and for departments where the table has none. */
function dimensionsOf(sql: Sql, { groupBy }: UsageQuestion, table?: 'usage_departments'): Fragment[] {
  return Object.entries(DIMENSIONS).map(([name, column]) => {
    if (!groupBy.includes(name as UsageDimension)) return sql`null as ${sql(name)}, `;
    if (name !== 'department') return sql`u.${sql(column)} as ${sql(name)}, `;
    return table === undefined ? sql`null as department, ` : sql`u.departments[1]::text as department, `;
  });
}

/** The condition that a row is one of the teams and key that are asked for, where any is. */
function ofOwner(sql: Sql, { teamIds, keyId }: UsageQuestion): Fragment {
  return sql`${teamIds ? sql`and u.team_id = any(${teamIds}::text[]::uuid[])` : sql``} ${keyId ? sql`and u.key_id = ${keyId}` : sql``}`;
}

/**
 * The rows `u` of some ranges of quarters. Of all teams by their ids, so that the index that begins with the team serves:
 * without, all quarters that there ever were would be read.
 */
function rowsOf(
  sql: Sql,
  table: 'usage_rollups' | 'usage_quantities' | 'usage_departments',
  question: UsageQuestion,
  ranges: readonly TimeRange[],
): Fragment {
  const { departmentId } = question;
  // Nothing is asked of the others then.
  const isBelow = departmentId !== undefined && table === 'usage_departments';
  const below = isBelow ? sql`and ${departmentId}::uuid = any(u.departments)` : sql``;
  const ofAll = question.teamIds ? sql`` : sql`and u.team_id in (select id from teams)`;
  return sql`${fromQuarters(sql, table, ranges)} ${ofAll} ${ofOwner(sql, question)} ${below}`;
}

/** So many quarters are named one by one: of a join with ranges Postgres knows no size, and it reads all that there ever were. */
const NAMED_QUARTERS_MAX = 10_000;
/** A range that is longer is one of many rows, whatever is read with it. */
const SHORT_RANGE_MS = 2 * DAY_MS;

/** The rows `u` of some ranges of quarters, with the first of the conditions. */
export function fromQuarters(sql: Sql, table: string, ranges: readonly TimeRange[]): Fragment {
  const quarters = ranges.reduce((sum, { startMs, endMs }) => sum + (endMs - startMs) / QUARTER_HOUR_MS, 0);
  const areShort = ranges.every(({ startMs, endMs }) => endMs - startMs <= SHORT_RANGE_MS);
  if (areShort && quarters <= NAMED_QUARTERS_MAX) {
    const starts = ranges.flatMap(({ startMs, endMs }) =>
      Array.from({ length: (endMs - startMs) / QUARTER_HOUR_MS }, (_, n) =>
        at(startMs + n * QUARTER_HOUR_MS),
      ),
    );
    return sql`from ${sql(table)} u where u.bucket_start = any(${starts}::timestamptz[])`;
  }
  return sql`from unnest(${ranges.map((each) => at(each.startMs))}::timestamptz[],
      ${ranges.map((each) => at(each.endMs))}::timestamptz[]) as s (from_at, to_at)
    join ${sql(table)} u on u.bucket_start >= s.from_at and u.bucket_start < s.to_at
    where true`;
}

/** The time range that is asked for, as far as there is any usage; null: there is none. */
export async function usageRange(
  sql: Sql,
  { from, to, teamIds }: Pick<UsageQuestion, 'from' | 'to' | 'teamIds'>,
): Promise<TimeRange | null> {
  const [row] = await sql<{ first: Date | null; last: Date | null }[]>`
    select min(day) as first, max(day) as last from usage_days 
      ${teamIds ? sql`where team_id = any(${teamIds}::text[]::uuid[])` : sql``}`;
  if (!row?.first || !row.last) return null;
  const startMs = Math.max(row.first.getTime(), from?.getTime() ?? 0);
  const endMs = Math.min(row.last.getTime() + DAY_MS, to?.getTime() ?? Number.POSITIVE_INFINITY);
  return startMs < endMs ? { startMs, endMs } : null;
}

export function at(ms: number): string {
  return new Date(ms).toISOString();
}

/** The moment of a row by which its part is summed first; of a total none, so that its days are one sum each. */
export function momentOf(sql: Sql, column: 'day' | 'bucket_start', interval: UsageInterval): Fragment {
  return interval === 'total' ? sql`null::timestamptz as moment, ` : sql`u.${sql(column)} as moment, `;
}

/**
 * The moment of a row that is moved: all of one piece of a day have the same, since they move together. A piece lies in the
 * morning and has the first quarter of the day, or in the evening and has the last.
 */
export function movedMoment(sql: Sql): Fragment {
  const day = sql`date_bin('1 day', u.bucket_start, 'epoch')`;
  return sql`${day} + case when u.bucket_start < ${day} + interval '12 hours' then interval '0' else interval '23:45' end as moment, `;
}

/** The start of the interval in which a moment lies; null for a total. */
export function startOf(sql: Sql, moment: Fragment, interval: UsageInterval, timeZone: string): Fragment {
  if (interval === 'total') return sql`null::timestamptz`;
  return interval === '15m' ? moment : sql`date_trunc(${interval}, ${moment}, ${timeZone})`;
}
