/** Denials and errors: how many calls of a team ended in each code, by quarter of an hour. */

import { ERRORS, type ErrorCode, type ErrorKind } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import type { Database, Fragment, Sql } from './database.ts';
import type { UsageInterval } from './usage-plan.ts';
import { joinTop, startOf } from './usage-sums.ts';

export interface ApiErrorCount {
  teamId: TeamId;
  /** Within the quarter of an hour. */
  atMs: number;
  code: ErrorCode;
  calls: number;
}

/** Adds to the counts in one statement, rows in the order of the key: replicas that add at once cannot deadlock. */
export async function addApiErrors(sql: Sql, counts: ApiErrorCount[]): Promise<void> {
  const column = (pick: (count: ApiErrorCount) => string) => counts.map(pick);
  await sql`
    insert into api_error_rollups as r (team_id, bucket_start, code, kind, calls)
    select team_id, date_bin('15 minutes', at, 'epoch'), code, kind, sum(calls)
    from unnest(${column((each) => each.teamId)}::uuid[],
      ${column((each) => new Date(each.atMs).toISOString())}::timestamptz[],
      ${column((each) => each.code)}::text[], ${column((each) => ERRORS[each.code].kind)}::text[],
      ${column((each) => String(each.calls))}::bigint[]) as u (team_id, at, code, kind, calls)
    group by 1, 2, 3, 4 order by 1, 2, 3
    on conflict (team_id, bucket_start, code) do update set calls = r.calls + excluded.calls`;
}

export interface ApiErrorQuery {
  kind: ErrorKind;
  groupBy: readonly ('team' | 'code')[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  teamIds: readonly TeamId[] | undefined;
  /** Only so many groups, the most frequent in the whole range, and the others together; undefined: all groups. */
  top?: number | undefined;
  /** At most so many rows. */
  limit: number;
}

/** One sum. What is not grouped by is null. */
export interface ApiErrorRow {
  startsAt: Date | null;
  team: string | null;
  code: string | null;
  calls: number;
  /** Of a question for the top groups: whether it is the sum of the others, which have neither team nor code. */
  isOther?: boolean;
}

/**
 * Returns the sums of one kind, oldest interval first, then by the dimensions; intervals without any are left out.
 * Reads each team by the index that begins with it, so that a short range does not read the rows of past years.
 */
export async function readApiErrors(
  { readSql: sql }: Database,
  query: ApiErrorQuery,
): Promise<ApiErrorRow[]> {
  const { groupBy, interval, timeZone, from, to, teamIds } = query;
  const by = (name: 'team' | 'code', column: Fragment) => (groupBy.includes(name) ? column : sql`null`);
  const sums = sql`
    select ${startOf(sql, sql`r.bucket_start`, interval, timeZone)} as "startsAt", ${by('team', sql`r.team_id`)} as team,
      ${by('code', sql`r.code`)} as code, sum(r.calls)::float8 as calls
    from api_error_rollups r
    where r.kind = ${query.kind} and ${teamIds ? sql`r.team_id = any(${teamIds}::text[]::uuid[])` : sql`r.team_id in (select id from teams)`}
      ${from ? sql`and r.bucket_start >= ${from}` : sql``} ${to ? sql`and r.bucket_start < ${to}` : sql``}
    group by 1, 2, 3`;
  if (query.top === undefined) return await sql<ApiErrorRow[]>`${sums} order by 1, 2, 3 limit ${query.limit}`;
  const frequent = sql`
    select team, code, true as is_top from sums group by 1, 2 order by sum(calls) desc, 1, 2 limit ${query.top}`;
  return await sql<ApiErrorRow[]>`
    with sums as (${sums})
    select "startsAt", t.team, t.code, sum(calls) as calls, t.is_top is null as "isOther"
    from sums p ${joinTop(sql, frequent, query)}
    group by 1, 2, 3, t.is_top order by 1, t.is_top, 2, 3 limit ${query.limit}`;
}
