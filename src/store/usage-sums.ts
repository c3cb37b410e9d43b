/**
 * What every sum of rollups is made of, in SQL: the columns, which rows, and to which interval they belong; how the rows of a plan
 * become parts of intervals; and the last step, which adds up the parts and, where asked, keeps the dearest groups apart alone.
 */
import type { DepartmentId, KeyId, TeamId } from '../domain/ids.ts';
import { DAY_MS, QUARTER_HOUR_MS, type TimeRange } from '../domain/window.ts';
import type { Fragment, Sql } from './database.ts';
import type { UsageInterval, UsagePlan } from './usage-plan.ts';

/** Whose calls are summed. */
export interface UsageOwner {
  /** Undefined: of all teams. */
  teamIds: readonly TeamId[] | undefined;
  keyId?: KeyId | undefined;
  /** Only calls admitted in it or below it. */
  departmentId?: DepartmentId | undefined;
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

/** The columns of sums by their names; `less`: to take them away from others. */
export function columnsOf(sql: Sql, sign: 'more' | 'less' = 'more'): Fragment[] {
  return COLUMNS.map(
    (name, place) => sql`${comma(sql, place)}${sign === 'less' ? sql`-` : sql``}${sql(name)}`,
  );
}

function comma(sql: Sql, place: number): Fragment {
  return place > 0 ? sql`, ` : sql``;
}

/**
 * Sums of a table of rollups, by the names of its columns. Counts are added as floats, which are exact up to 2^53: a sum of
 * whole numbers of eight bytes is a decimal, which takes many times as long, and hundreds of bytes for each group.
 */
export function sumsOf(sql: Sql): Fragment[] {
  return COLUMNS.map((name, place) => {
    const sum = name in SUMS ? sql`sum(${sql(name)}::float8)` : sql`sum(${sql(name)})`;
    return sql`${comma(sql, place)}${sum} as ${sql(name)}`;
  });
}

/** Which sums of the parts are wanted. */
export interface SumsWanted {
  /** The columns of the parts between their moment and their sums. */
  dimensions: readonly string[];
  /** Those of them that are grouped by; the others are null. */
  groupBy: readonly string[];
  /** Only so many groups, of all intervals together those that cost most, and the sum of the others; undefined: all groups. */
  top: number | undefined;
  /** At most so many rows. */
  limit: number;
}

/**
 * Adds up the rows of the expression `parts`: `starts_at`, the dimensions and the sums, whatever else. Follows `parts`, which is
 * read twice for the top groups, and so made once. Between groups of one cost their ids decide.
 */
export function addedUp(sql: Sql, wanted: SumsWanted): Fragment {
  const { dimensions, groupBy, top, limit } = wanted;
  const counts = Object.entries(SUMS).map(([column, name]) => sql`sum(${sql(column)}) as ${sql(name)}, `);
  const sums = sql`${counts} sum(cost_usd)::text as "costUsd", sum(unknown_usd)::text as "unknownUsd"`;
  // To sort and compare by what is always null takes time.
  const groups = dimensions.filter((name) => groupBy.includes(name));
  const shown = (from: Fragment) =>
    dimensions.map((name) =>
      groups.includes(name) ? sql`${from}${sql(name)}, ` : sql`null as ${sql(name)}, `,
    );
  const by = (from: Fragment) => [sql``, ...groups.map((name) => sql`, ${from}${sql(name)}`)];
  if (top === undefined || groups.length === 0) {
    return sql`
      select starts_at as "startsAt", ${shown(sql``)} ${sums} from parts
      group by starts_at ${by(sql``)} having sum(calls) <> 0 order by starts_at ${by(sql``)} limit ${limit}`;
  }
  const names = groups.map((name, place) => sql`${comma(sql, place)}${sql(name)}`);
  const dearest = sql`
    select ${names}, true as is_top from parts group by ${names} having sum(calls) <> 0
    order by sum(cost_usd) desc, ${names} limit ${top}`;
  return sql`
    select starts_at as "startsAt", ${shown(sql`t.`)} t.is_top is null as "isOther", ${sums}
    from parts p ${joinTop(sql, dearest, wanted)}
    group by starts_at, t.is_top ${by(sql`t.`)} having sum(calls) <> 0
    order by starts_at, t.is_top ${by(sql`t.`)} limit ${limit}`;
}

/** What may be null where it is grouped by: no department, no value of the tag. */
const NULLABLE: ReadonlySet<string> = new Set(['department', 'tag']);

/** The group among the top ones `t` to which a row `p` belongs, if it belongs to any. */
export function joinTop(sql: Sql, top: Fragment, { groupBy }: Pick<SumsWanted, 'groupBy'>): Fragment {
  const isSame = groupBy.map((name) => {
    const [ofTop, ofPart] = [sql`t.${sql(name)}`, sql`p.${sql(name)}`];
    // Written so that the join may hash: "is not distinct from" compares each row with each.
    if (!NULLABLE.has(name)) return sql`and ${ofTop} = ${ofPart}`;
    return sql`and coalesce(${ofTop}, '') = coalesce(${ofPart}, '') and (${ofTop} is null) = (${ofPart} is null)`;
  });
  return sql`left join (${top}) t on true ${[sql``, ...isSame]}`;
}

/** The condition that a row is one of the teams and key that are asked for, where any is. */
export function ofOwner(sql: Sql, { teamIds, keyId }: UsageOwner): Fragment {
  return sql`${teamIds ? sql`and u.team_id = any(${teamIds}::text[]::uuid[])` : sql``} ${keyId ? sql`and u.key_id = ${keyId}` : sql``}`;
}

/**
 * The rows `u` of some ranges of quarters. Of all teams by their ids, so that the index that begins with the team serves:
 * without, all quarters that there ever were would be read. Few quarters are looked up team by team, which the offset makes
 * sure of: for sums of little Postgres would have several processes read all quarters.
 */
export function rowsOf(
  sql: Sql,
  table: 'usage_rollups' | 'usage_quantities' | 'usage_departments',
  owner: UsageOwner,
  ranges: readonly TimeRange[],
): Fragment {
  const { departmentId, teamIds } = owner;
  // Nothing is asked of the others then.
  const isBelow = departmentId !== undefined && table === 'usage_departments';
  const below = isBelow ? sql`and ${departmentId}::uuid = any(u.departments)` : sql``;
  const rows = sql`${fromQuarters(sql, table, ranges)} ${below}`;
  if (namedQuarters(ranges) === null) {
    const ofAll = teamIds ? sql`` : sql`and u.team_id in (select id from teams)`;
    return sql`${rows} ${ofAll} ${ofOwner(sql, owner)}`;
  }
  const teams = teamIds ? sql`(select distinct unnest(${teamIds}::text[]::uuid[]) as id)` : sql`teams`;
  return sql`
    from ${teams} o cross join lateral (
      select u.* ${rows} and u.team_id = o.id ${ofOwner(sql, { ...owner, teamIds: undefined })} offset 0) u
    where true`;
}

/** So many quarters are named one by one: of a join with ranges Postgres knows no size, and it reads all that there ever were. */
const NAMED_QUARTERS_MAX = 10_000;
/** A range that is longer is one of many rows, whatever is read with it. */
const SHORT_RANGE_MS = 2 * DAY_MS;

/** The quarters of some ranges, by when they begin; null: too many to be named. */
function namedQuarters(ranges: readonly TimeRange[]): string[] | null {
  const quarters = ranges.reduce((sum, { startMs, endMs }) => sum + (endMs - startMs) / QUARTER_HOUR_MS, 0);
  const areShort = ranges.every(({ startMs, endMs }) => endMs - startMs <= SHORT_RANGE_MS);
  if (!areShort || quarters > NAMED_QUARTERS_MAX) return null;
  return ranges.flatMap(({ startMs, endMs }) =>
    Array.from({ length: (endMs - startMs) / QUARTER_HOUR_MS }, (_, n) => at(startMs + n * QUARTER_HOUR_MS)),
  );
}

/** The rows `u` of some ranges of quarters, with the first of the conditions. */
export function fromQuarters(sql: Sql, table: string, ranges: readonly TimeRange[]): Fragment {
  const starts = namedQuarters(ranges);
  if (starts !== null) return sql`from ${sql(table)} u where u.bucket_start = any(${starts}::timestamptz[])`;
  return sql`from unnest(${ranges.map((each) => at(each.startMs))}::timestamptz[],
      ${ranges.map((each) => at(each.endMs))}::timestamptz[]) as s (from_at, to_at)
    join ${sql(table)} u on u.bucket_start >= s.from_at and u.bucket_start < s.to_at
    where true`;
}

/** The rows `u` of a range of whole UTC days, with the first of the conditions. */
export function fromDays(sql: Sql, table: string, { startMs, endMs }: TimeRange): Fragment {
  return sql`from ${sql(table)} u where u.day >= ${at(startMs)} and u.day < ${at(endMs)}`;
}

/** The time range that is asked for, as far as there is any usage; null: there is none. */
export async function usageRange(
  sql: Sql,
  { from, to, teamIds }: { from: Date | null; to: Date | null } & Pick<UsageOwner, 'teamIds'>,
): Promise<TimeRange | null> {
  const [row] = await sql<{ first: Date | null; last: Date | null }[]>`
    select min(day) as first, max(day) as last from usage_days 
      ${teamIds ? sql`where team_id = any(${teamIds}::text[]::uuid[])` : sql``}`;
  if (!row?.first || !row.last) return null;
  const startMs = Math.max(row.first.getTime(), from?.getTime() ?? 0);
  const endMs = Math.min(row.last.getTime() + DAY_MS, to?.getTime() ?? Number.POSITIVE_INFINITY);
  return startMs < endMs ? { startMs, endMs } : null;
}

function at(ms: number): string {
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
function movedMoment(sql: Sql): Fragment {
  const day = sql`date_bin('1 day', u.bucket_start, 'epoch')`;
  return sql`${day} + case when u.bucket_start < ${day} + interval '12 hours' then interval '0' else interval '23:45' end as moment, `;
}

/** The noon, in UTC, of the UTC day in which `moment` lies. */
export function noonOf(sql: Sql): Fragment {
  return sql`date_bin('1 day', moment, 'epoch') + interval '12 hours'`;
}

/** The start of the interval in which a moment lies; null for a total. */
export function startOf(sql: Sql, moment: Fragment, interval: UsageInterval, timeZone: string): Fragment {
  if (interval === 'total') return sql`null::timestamptz`;
  return interval === '15m' ? moment : sql`date_trunc(${interval}, ${moment}, ${timeZone})`;
}

/** What of a plan is read, by days and by quarters, and how some of it is added up. */
export interface Source {
  /** The columns between the moment and the sums. */
  dimensions: readonly string[];
  days(range: TimeRange): Fragment;
  quarters(ranges: readonly TimeRange[]): Fragment;
  /** Selects the moment, the dimensions and the sums of such rows. */
  sum(moment: Fragment, rows: Fragment): Fragment;
}

/** Of all calls of the owner. */
export function allCalls(sql: Sql, owner: UsageOwner): Pick<Source, 'days' | 'quarters'> {
  return {
    days: (range) => sql`${fromDays(sql, 'usage_days', range)} ${ofOwner(sql, owner)}`,
    quarters: (ranges) => rowsOf(sql, 'usage_rollups', owner, ranges),
  };
}

/**
 * The expression `name`, with those that it needs: the sums of a plan as parts of intervals, `starts_at` first. Each piece is summed
 * by its own moments first: to find the interval of a moment takes longer than to add a row. What is moved is taken away from the
 * interval that has the noon of its day.
 */
export function partsOf(
  sql: Sql,
  name: string,
  { interval, timeZone }: { interval: UsageInterval; timeZone: string },
  plan: UsagePlan,
  { dimensions, days, quarters, sum }: Source,
): Fragment {
  const [ofDays, ofEdges, ofMoved] = [sql(`${name}_days`), sql(`${name}_edges`), sql(`${name}_moved`)];
  const ofMoment = startOf(sql, sql`moment`, interval, timeZone);
  const ofNoon = startOf(sql, noonOf(sql), interval, timeZone);
  const names = dimensions.map((each) => sql`${sql(each)}, `);
  const sums = columnsOf(sql);
  return sql`
    ${ofDays} as (${sum(momentOf(sql, 'day', interval), days(plan.days))}),
    ${ofEdges} as (${sum(momentOf(sql, 'bucket_start', interval), quarters(plan.edges))}),
    ${ofMoved} as (${sum(movedMoment(sql), quarters(plan.moved))}),
    ${sql(name)} as (
      select ${ofNoon} as starts_at, ${names} ${sums} from ${ofDays}
      union all select ${ofMoment}, ${names} ${sums} from ${ofEdges}
      union all select ${ofMoment}, ${names} ${sums} from ${ofMoved}
      union all select ${ofNoon}, ${names} ${columnsOf(sql, 'less')} from ${ofMoved})`;
}
