/** Denials and errors: how many calls of a team ended in each code, by quarter of an hour. */

import { ERRORS, type ErrorCode, type ErrorKind } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import type { Database, Fragment, Sql } from './database.ts';
import { startOf, type UsageInterval } from './usage.ts';

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
  /** At most so many rows. */
  limit: number;
}

/** One sum. What is not grouped by is null. */
export interface ApiErrorRow {
  startsAt: Date | null;
  team: string | null;
  code: string | null;
  calls: number;
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
  return await sql<ApiErrorRow[]>`
    select ${startOf(sql, sql`r.bucket_start`, interval, timeZone)} as "startsAt", ${by('team', sql`r.team_id`)} as team,
      ${by('code', sql`r.code`)} as code, sum(r.calls)::float8 as calls
    from api_error_rollups r
    where r.kind = ${query.kind} and ${teamIds ? sql`r.team_id = any(${teamIds}::text[]::uuid[])` : sql`r.team_id in (select id from teams)`}
      ${from ? sql`and r.bucket_start >= ${from}` : sql``} ${to ? sql`and r.bucket_start < ${to}` : sql``}
    group by 1, 2, 3 order by 1, 2, 3 limit ${query.limit}`;
}
