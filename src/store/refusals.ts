/** Refusals: how many calls of a team were refused, and why, by quarter of an hour. */
import { and, asc, eq, gte, lt, sql } from 'drizzle-orm';
import type { Sql } from 'postgres';
import type { Database } from './database.ts';
import { refusalRollups } from './schema.ts';
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

/** Sums the refusals, oldest interval first, then by the dimensions. Intervals without any are left out. */
export function readRefusals(database: Database, question: RefusalQuestion): Promise<RefusalRow[]> {
  const { groupBy, from, to, teamId } = question;
  const ordinals = [sql`1`, sql`2`, sql`3`];
  return database.db
    .select({
      startsAt: startOf(refusalRollups.bucketStart, question),
      team: groupBy.includes('team') ? refusalRollups.teamId : sql<null>`null`,
      reason: groupBy.includes('reason') ? refusalRollups.reason : sql<null>`null`,
      calls: sql<number>`sum(${refusalRollups.calls})`.mapWith(Number),
    })
    .from(refusalRollups)
    .where(
      and(
        teamId === undefined ? undefined : eq(refusalRollups.teamId, teamId),
        from ? gte(refusalRollups.bucketStart, from) : undefined,
        to ? lt(refusalRollups.bucketStart, to) : undefined,
      ),
    )
    .groupBy(...ordinals)
    .orderBy(...ordinals.map((ordinal) => asc(ordinal)))
    .limit(question.limit) as Promise<RefusalRow[]>;
}
