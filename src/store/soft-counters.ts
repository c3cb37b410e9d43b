/**
 * Counters of soft limits. No admission needs them, so nothing makes them on a call's way; who warns does, and from
 * then on every flush moves them as it moves those of strict limits. Each window with a call gets its own.
 */

import { and, eq, isNull, or } from 'drizzle-orm';
import { type CounterSpec, limitCounter } from '../domain/counter.ts';
import type { CounterId, TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { DAY_MS } from '../domain/window.ts';
import { toLimit } from './balance.ts';
import type { Database, Sql } from './database.ts';
import { createCounters, keyOf } from './hot/counters.ts';
import { MAX_SUBJECTS } from './hot/leases.ts';
import type { LimitRow } from './limits.ts';
import { limits, teams } from './schema.ts';

/** Each locks its team for a moment, so not all of midnight's at once. */
const CREATED_MAX = 50;

/** Makes the counters that soft limits lack at this moment, as far as their windows have seen a call. */
export async function ensureSoftCounters(database: Database, now: Date): Promise<void> {
  const rows = await database.db
    .select({ limit: limits })
    .from(limits)
    .innerJoin(teams, eq(teams.id, limits.teamId))
    .where(
      and(
        eq(limits.enforcement, 'soft'),
        isNull(limits.deletedAt),
        or(isNull(teams.deletedAt), eq(teams.id, ORGANIZATION_ID)),
      ),
    );
  const specs: CounterSpec[] = [];
  for (const { limit } of rows) {
    const at = (teamId: TeamId, endUser: string | null) =>
      limitCounter(toLimit(limit), teamId, endUser, now.getTime());
    if (limit.subjectType !== 'user') specs.push(at(limit.teamId, null));
    else
      for (const user of await recentUsers(database, limit, now)) specs.push(at(user.team_id, user.end_user));
  }
  const missing = await missingOf(database, specs);
  // One by one: a team is locked no longer than its own counter takes.
  for (const spec of missing.slice(0, CREATED_MAX)) await createCounters(database.sql, [spec], MAX_SUBJECTS);
}

/** Those that do not exist, in windows that have seen a call. */
async function missingOf({ sql }: Database, specs: readonly CounterSpec[]): Promise<CounterSpec[]> {
  if (specs.length === 0) return [];
  const existing = await sql<{ team_id: TeamId; id: CounterId }[]>`
    select c.team_id, c.id from counters c
    join unnest(${specs.map((spec) => spec.teamId)}::text[], ${specs.map((spec) => spec.id)}::text[]) as w(team_id, id)
      on c.team_id = w.team_id::uuid and c.id = w.id`;
  const made = new Set(existing.map((row) => keyOf({ teamId: row.team_id, id: row.id })));
  const missing = specs.filter((spec) => !made.has(keyOf(spec)));
  if (missing.length === 0) return [];
  const lastDays = await lastDaysOf(
    sql,
    missing.map((spec) => spec.teamId),
  );
  return missing.filter((spec) => (lastDays.get(spec.teamId) ?? 0) > spec.startsAtMs - DAY_MS);
}

/** By team, the start of the last UTC day with a call; of the organization that of all teams. */
async function lastDaysOf(sql: Sql, teamIds: readonly TeamId[]): Promise<Map<TeamId, number>> {
  const [all] = await sql<{ day: Date | null }[]>`select max(day) as day from usage_days`;
  const rows = await sql<{ team_id: TeamId; day: Date }[]>`
    select team_id, max(day) as day from usage_days where team_id = any(${[...new Set(teamIds)]}::text[]::uuid[])
    group by team_id`;
  const days = new Map(rows.map((row) => [row.team_id, row.day.getTime()]));
  return all?.day ? days.set(ORGANIZATION_ID, all.day.getTime()) : days;
}

/** Who is not looked at in time is found at the next call. */
const RECENT = '2 minutes';

/** End users that a limit counts and that called lately. */
async function recentUsers({ sql: client }: Database, limit: LimitRow, now: Date) {
  const { teamId, subjectId } = limit;
  return client<{ team_id: TeamId; end_user: string }[]>`
    select distinct team_id, end_user from usage_events
    where end_user is not null and created_at >= ${now.toISOString()}::timestamptz - ${RECENT}::interval
      and (${teamId} = ${ORGANIZATION_ID} or team_id = ${teamId}::uuid)
      and (${subjectId}::text is null or end_user = ${subjectId}::text)
    limit ${MAX_SUBJECTS}`;
}
