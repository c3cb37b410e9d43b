/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events, and few quarters. */

import type { TimeRange } from '../domain/window.ts';
import type { Database, Fragment, Sql } from './database.ts';
import { planUsage, type UsageInterval, type UsagePlan } from './usage-plan.ts';
import {
  addedUp,
  at,
  columnsOf,
  joinTop,
  momentOf,
  movedMoment,
  noonOf,
  ofOwner,
  rowsOf,
  startOf,
  sumsOf,
  type UsageOwner,
  usageRange,
} from './usage-sums.ts';

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

export interface UsageQuestion extends UsageOwner {
  groupBy: readonly UsageDimension[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  /** Only so many groups, those that cost most in the whole range, and the others together; undefined: all groups. */
  top?: number | undefined;
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
  /** Of a question for the top groups: whether it is the sum of the others, whose dimensions are all null. */
  isOther?: boolean;
  /** What else was used, by meter in its unit; nothing is known of it by department. */
  quantities: Record<string, number>;
}

/**
 * Sums the rollups, oldest interval first, then by the dimensions. Intervals without usage are left out.
 *
 * Whole UTC days come from their own table. A midnight of the time zone may cut such a day in two: it counts as a whole in
 * the interval of its noon, and the quarters of the smaller piece are moved to the interval that they lie in. For Berlin
 * by day, asked from 06:00 on the 2nd, where a day in UTC begins at 01:00:
 *
 *     starts_at  calls
 *     2nd            7  edges: the quarters from 06:00 until the first whole day
 *     3rd           96  days: the 3rd in UTC, whose noon lies in Berlin's 3rd
 *     4th            4  moved: its quarters from 23:00 on lie in Berlin's 4th …
 *     3rd           -4  … and so not in Berlin's 3rd
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
  const startOfNoon = startOf(sql, noonOf(sql), interval, timeZone);
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
      select ${startOfNoon} as starts_at, * from days
      union all select ${startOfMoment}, * from edges
      union all select ${startOfMoment}, * from moved
      union all select ${startOfNoon}, moment, team, key, model, operation, department, ${columnsOf(sql, 'less')} from moved
      ${isByDepartment ? sql`union all select * from grouped` : sql``}
      ${isOfDepartment || !isByDepartment ? sql`` : sql`union all select starts_at, moment, team, key, model, operation, null, ${columnsOf(sql, 'less')} from grouped`})
    ${addedUp(sql, { ...question, dimensions: Object.keys(DIMENSIONS), top: question.top })}`;
  const quantities = isByDepartment ? new Map() : await readQuantities(sql, question, range, rows);
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
      select ${startOfNoon} as starts_at, * from grouped_days
      union all select ${startOfNoon}, * from grouped_rest
      union all select ${startOfMoment}, * from grouped_edges
      union all select ${startOfMoment}, * from grouped_moved
      union all select ${startOfNoon}, moment, team, key, model, operation, department, ${columnsOf(sql, 'less')} from grouped_moved)`;
}

/** The moment and the dimensions, which every part has first. */
const GROUPS = (sql: Sql) => sql`1, 2, 3, 4, 5, 6`;
type Group = Pick<UsageRow, 'startsAt' | UsageDimension>;

/** NUL separates: no text of Postgres has one. There are thousands of rows, so this is not JSON, which takes ten times as long. */
function groupOf({ startsAt, team, key, model, operation, department }: Group): string {
  return `${startsAt?.getTime()}\0${team}\0${key}\0${model}\0${operation}\0${department}`;
}

/**
 * Sums of what has no column, by group and meter. They are few, so all of it is read by quarters.
 * @param sums of which the top groups are those of the question
 */
async function readQuantities(
  sql: Sql,
  question: UsageQuestion,
  range: TimeRange,
  sums: readonly (Group & { isOther?: boolean })[],
) {
  const { interval, timeZone } = question;
  const isTop = question.top !== undefined && question.groupBy.length > 0;
  const names = QUANTITY_DIMENSIONS.map((name) => sql`${isTop ? sql`t` : sql`p`}.${sql(name)}, `);
  const rows = await sql<(Group & { meter: string; amount: number })[]>`
    with p as (
      select ${startOf(sql, sql`u.bucket_start`, interval, timeZone)} as starts_at, ${dimensionsOf(sql, question)}
        u.meter, u.amount
      ${rowsOf(sql, 'usage_quantities', question, [range])})
    select p.starts_at as "startsAt", ${names} null as department, p.meter, sum(p.amount)::float8 as amount
    from p ${isTop ? joinTop(sql, topOf(sql, sums), question) : sql``} group by 1, 2, 3, 4, 5, 6, 7`;
  const groups = new Map<string, Record<string, number>>();
  for (const { meter, amount, ...group } of rows) {
    const id = groupOf(group);
    groups.set(id, { ...groups.get(id), [meter]: amount });
  }
  return groups;
}

/** Nothing is known of quantities by department. */
const QUANTITY_DIMENSIONS = ['team', 'key', 'model', 'operation'] as const;

/** The top groups of sums that were read, as rows. */
function topOf(sql: Sql, sums: readonly (Group & { isOther?: boolean })[]): Fragment {
  const groups = new Map(
    sums.filter(({ isOther }) => !isOther).map((row) => [groupOf({ ...row, startsAt: null }), row]),
  );
  const values = (name: (typeof QUANTITY_DIMENSIONS)[number]) => [...groups.values()].map((row) => row[name]);
  return sql`
    select * from unnest(${values('team')}::text[]::uuid[], ${values('key')}::text[]::uuid[], ${values('model')}::text[],
      ${values('operation')}::text[]) as dearest (team, key, model, operation)`;
}

/** What is grouped by, as columns; null for what is not, and for departments where the table has none. */
function dimensionsOf(sql: Sql, { groupBy }: UsageQuestion, table?: 'usage_departments'): Fragment[] {
  return Object.entries(DIMENSIONS).map(([name, column]) => {
    if (!groupBy.includes(name as UsageDimension)) return sql`null as ${sql(name)}, `;
    if (name !== 'department') return sql`u.${sql(column)} as ${sql(name)}, `;
    return table === undefined ? sql`null as department, ` : sql`u.departments[1]::text as department, `;
  });
}
