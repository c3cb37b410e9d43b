/** Refusals: how many calls of a team were refused, and why, by quarter of an hour. */
import type { Fragment, Sql } from 'postgres';
import type { Database } from './database.ts';
import { startOf, type UsageInterval } from './usage.ts';

export interface RefusalCount {
  teamId: string;
  /** Within the quarter of an hour. */
  atMs: number;
  reason: string;
  calls: number;
}

/** Adds to the counts, in one statement; rows in the order of the key, so that replicas wait for each other in a row. */
export async function addRefusals(sql: Sql, counts: RefusalCount[]): Promise<void> {
  const column = (pick: (count: RefusalCount) => string) => counts.map(pick);
  await sql`
    insert into refusal_rollups as r (team_id, bucket_start, reason, calls)
    select team_id, date_bin('15 minutes', at, 'epoch'), reason, sum(calls)
    from unnest(${column((each) => each.teamId)}::uuid[],
      ${column((each) => new Date(each.atMs).toISOString())}::timestamptz[],
      ${column((each) => each.reason)}::text[], ${column((each) => String(each.calls))}::bigint[])
      as u (team_id, at, reason, calls)
    group by 1, 2, 3 order by 1, 2, 3
    on conflict (team_id, bucket_start, reason) do update set calls = r.calls + excluded.calls`;
}

export interface RefusalQuestion {
  groupBy: readonly ('team' | 'reason')[];
  interval: UsageInterval;
  timeZone: string;
  /** Inclusive; on a quarter of an hour, as `to`. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  teamId: string | undefined;
  /** At most so many rows. */
  limit: number;
}

/** One sum. What is not grouped by is null. */
export interface RefusalRow {
  startsAt: Date | null;
  team: string | null;
  reason: string | null;
  calls: number;
}

/**
 * Sums the refusals, oldest interval first, then by the dimensions. Intervals without any are left out. A team at a time,
 * by the index that begins with it: refusals of years ago are not read.
 */
export async function readRefusals(
  { readSql: sql }: Database,
  question: RefusalQuestion,
): Promise<RefusalRow[]> {
  const { groupBy, interval, timeZone, from, to, teamId } = question;
  const by = (name: 'team' | 'reason', column: Fragment) => (groupBy.includes(name) ? column : sql`null`);
  return await sql<RefusalRow[]>`
    select ${startOf(sql, sql`r.bucket_start`, interval, timeZone)} as "startsAt", ${by('team', sql`r.team_id`)} as team,
      ${by('reason', sql`r.reason`)} as reason, sum(r.calls)::float8 as calls
    from teams t cross join lateral (
      select * from refusal_rollups r where r.team_id = t.id
        ${from ? sql`and r.bucket_start >= ${from}` : sql``} ${to ? sql`and r.bucket_start < ${to}` : sql``} offset 0) r
    ${teamId ? sql`where t.id = ${teamId}` : sql``}
    group by 1, 2, 3 order by 1, 2, 3 limit ${question.limit}`;
}
