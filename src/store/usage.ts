/** Usage: sums of the rollups, by any of their dimensions and any calendar interval. Never reads events, and few quarters. */

import type { TimeRange } from '../domain/window.ts';
import type { Database, Fragment, Sql } from './database.ts';
import { planUsage, type UsageInterval, type UsagePlan } from './usage-plan.ts';
import {
  addedUp,
  allCalls,
  columnsOf,
  fromDays,
  joinTop,
  momentOf,
  noonOf,
  ofOwner,
  partsOf,
  rowsOf,
  type Source,
  startOf,
  sumsOf,
  type UsageOwner,
  usageRange,
} from './usage-sums.ts';

export type { UsageInterval } from './usage-plan.ts';

const COLUMNS = {
  team: 'team_id',
  key: 'key_id',
  model: 'model',
  operation: 'operation',
  /** The one of the call's team, which is the first of those that it bears. */
  department: 'departments',
} as const;
export type UsageDimension = keyof typeof COLUMNS;
const DIMENSIONS = Object.keys(COLUMNS) as UsageDimension[];

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
 * By department, the sums by departments come on top, and the same is taken away from what has none. Of the calls in one
 * department their sums are all that is read.
 */
export async function readUsage({ readSql: sql }: Database, question: UsageQuestion): Promise<UsageRow[]> {
  const range = await usageRange(sql, question);
  if (range === null) return [];
  const isOfDepartment = question.departmentId !== undefined;
  const isByDepartment = isOfDepartment || question.groupBy.includes('department');
  const plan = planUsage(question.interval, question.timeZone, range);
  const source = { dimensions: DIMENSIONS, ...allCalls(sql, question), sum: summing(sql, question) };
  const rest = sql`select starts_at, team, key, model, operation, null, ${columnsOf(sql, 'less')} from grouped`;
  const rows = await sql<Omit<UsageRow, 'quantities'>[]>`
    with ${isOfDepartment ? sql`` : sql`${partsOf(sql, 'whole', question, plan, source)},`}
    ${isByDepartment ? sql`${groupedOf(sql, question, plan)},` : sql``}
    parts as (
      ${isOfDepartment ? sql`` : sql`select * from whole`}
      ${isOfDepartment || !isByDepartment ? sql`` : sql`union all ${rest} union all`}
      ${isByDepartment ? sql`select * from grouped` : sql``})
    ${addedUp(sql, { ...question, dimensions: DIMENSIONS, top: question.top })}`;
  const quantities = isByDepartment ? new Map() : await readQuantities(sql, question, range, rows);
  return rows.map((row) => ({ ...row, quantities: quantities.get(groupOf(row)) ?? {} }));
}

/**
 * The expression `grouped`: what calls in departments used, put together like the sums of all calls. A day of a team of which
 * the sums by day differ from those of all its calls is read by quarters: its team was in no department for a while, or a
 * release without such sums wrote some of them.
 */
function groupedOf(sql: Sql, question: UsageQuestion, plan: UsagePlan): Fragment {
  const { departmentId, interval, timeZone } = question;
  const below = departmentId === undefined ? sql`` : sql`and ${departmentId}::uuid = any(u.departments)`;
  const inDays = (table: string) => sql`${fromDays(sql, table, plan.days)} ${ofOwner(sql, question)}`;
  const ofDays = inDays('usage_department_days');
  const sum = summing(sql, question, 'usage_departments');
  const source = {
    dimensions: DIMENSIONS,
    days: () => sql`${ofDays} ${below} and (u.team_id, u.day) not in (select team_id, day from checked)`,
    quarters: (ranges: readonly TimeRange[]) => rowsOf(sql, 'usage_departments', question, ranges),
    sum,
  };
  const rest = sql`
    from checked c join usage_departments u on u.team_id = c.team_id and u.bucket_start >= c.day
      and u.bucket_start < c.day + interval '1 day'
    where true ${ofOwner(sql, question)} ${below}`;
  return sql`
    checked as (
      select team_id, day from (
        select u.team_id, u.day, u.calls, u.unknown_calls, u.cost_usd ${inDays('usage_days')}
        union all
        select u.team_id, u.day, -u.calls, -u.unknown_calls, -u.cost_usd ${ofDays}) u
      group by 1, 2 having sum(calls) <> 0 or sum(unknown_calls) <> 0 or sum(cost_usd) <> 0),
    ${partsOf(sql, 'known', question, plan, source)},
    rest as (${sum(momentOf(sql, 'bucket_start', interval), rest)}),
    grouped as (
      select * from known
      union all select ${startOf(sql, noonOf(sql), interval, timeZone)}, team, key, model, operation, department, ${columnsOf(sql)}
      from rest)`;
}

/** Adds up rows `u` by their moment and the dimensions. */
function summing(sql: Sql, question: UsageQuestion, table?: 'usage_departments'): Source['sum'] {
  const dimensions = dimensionsOf(sql, question, table);
  return (moment, rows) =>
    sql`select ${moment} ${dimensions} ${sumsOf(sql)} ${rows} group by 1, 2, 3, 4, 5, 6`;
}

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
  return DIMENSIONS.map((name) => {
    if (!groupBy.includes(name)) return sql`null as ${sql(name)}, `;
    if (name !== 'department') return sql`u.${sql(COLUMNS[name])} as ${sql(name)}, `;
    return table === undefined ? sql`null as department, ` : sql`u.departments[1]::text as department, `;
  });
}
