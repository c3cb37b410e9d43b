/**
 * Counters of soft limits. No admission needs them, so nothing makes them on a call's way; who warns does, and from
 * then on every flush moves them as it moves those of strict limits. Each window with a call gets its own.
 */

import { and, eq, gte, inArray, isNotNull, isNull, max, or, sql } from 'drizzle-orm';
import { type CallSubjects, type CounterSpec, limitCounter, NO_SUBJECTS } from '../domain/counter.ts';
import type { TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { tagText } from '../domain/tags.ts';
import { DAY_MS } from '../domain/window.ts';
import { toLimit } from './balance.ts';
import type { Database } from './database.ts';
import { createCounters, keyOf } from './hot/counters.ts';
import { MAX_SUBJECTS } from './hot/leases.ts';
import type { LimitRow } from './limits.ts';
import { counters, limits, teams, usageDays, usageEvents } from './schema.ts';

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
    const rule = toLimit(limit);
    const at = (teamId: TeamId, call: CallSubjects) => limitCounter(rule, teamId, call, now.getTime());
    if (rule.subject.type === 'user')
      for (const user of await recentUsers(database, limit, now)) specs.push(at(user.teamId, user));
    else if (rule.subject.type === 'tag' && rule.subject.value === null)
      for (const { teamId, tags } of await recentTags(database, limit, rule.subject.name, now))
        specs.push(at(teamId, { endUser: null, tags }));
    else specs.push(at(limit.teamId, NO_SUBJECTS));
  }
  const missing = await missingOf(database, specs);
  // One by one: a team is locked no longer than its own counter takes.
  for (const spec of missing.slice(0, CREATED_MAX)) await createCounters(database.sql, [spec], MAX_SUBJECTS);
}

/** Those that do not exist, in windows that have seen a call. */
async function missingOf({ db }: Database, specs: readonly CounterSpec[]): Promise<CounterSpec[]> {
  if (specs.length === 0) return [];
  const teamIds = [...new Set(specs.map((spec) => spec.teamId))];
  const ids = [...new Set(specs.map((spec) => spec.id))];
  const existing = await db
    .select({ teamId: counters.teamId, id: counters.id })
    .from(counters)
    .where(and(inArray(counters.teamId, teamIds), inArray(counters.id, ids)));
  const made = new Set(existing.map(keyOf));
  const missing = specs.filter((spec) => !made.has(keyOf(spec)));
  if (missing.length === 0) return [];
  const lastDays = await lastDaysOf(db, [...new Set(missing.map((spec) => spec.teamId))]);
  return missing.filter((spec) => (lastDays.get(spec.teamId) ?? 0) > spec.startsAtMs - DAY_MS);
}

/** By team, the start of the last UTC day with a call; of the organization that of all teams. */
async function lastDaysOf(db: Database['db'], teamIds: TeamId[]): Promise<Map<TeamId, number>> {
  const day = max(usageDays.day);
  const rows = await db
    .select({ teamId: usageDays.teamId, day })
    .from(usageDays)
    .where(inArray(usageDays.teamId, teamIds))
    .groupBy(usageDays.teamId);
  const days = new Map<TeamId, number>();
  for (const row of rows) if (row.day !== null) days.set(row.teamId, row.day.getTime());
  if (!teamIds.includes(ORGANIZATION_ID)) return days;
  const [all] = await db.select({ day }).from(usageDays);
  return all?.day ? days.set(ORGANIZATION_ID, all.day.getTime()) : days;
}

/** Who is not looked at in time is found at the next call. */
const RECENT_MS = 120_000;

/** End users that a limit counts and that called lately. */
async function recentUsers({ db }: Database, { teamId, subjectId }: LimitRow, now: Date) {
  const rows = await db
    .selectDistinct({ teamId: usageEvents.teamId, endUser: usageEvents.endUser })
    .from(usageEvents)
    .where(
      and(
        isNotNull(usageEvents.endUser),
        gte(usageEvents.createdAt, new Date(now.getTime() - RECENT_MS)),
        teamId === ORGANIZATION_ID ? undefined : eq(usageEvents.teamId, teamId),
        subjectId === null ? undefined : eq(usageEvents.endUser, subjectId),
      ),
    )
    .limit(MAX_SUBJECTS);
  return rows;
}

/** Values of a tag that a limit counts and that were called with lately, as tags of one call each. */
async function recentTags({ db }: Database, { teamId }: LimitRow, name: string, now: Date) {
  const value = sql<string | null>`${usageEvents.tags} ->> ${name}`;
  const rows = await db
    .selectDistinct({ teamId: usageEvents.teamId, value })
    .from(usageEvents)
    .where(
      and(
        isNotNull(usageEvents.tags),
        gte(usageEvents.createdAt, new Date(now.getTime() - RECENT_MS)),
        teamId === ORGANIZATION_ID ? undefined : eq(usageEvents.teamId, teamId),
      ),
    )
    .limit(MAX_SUBJECTS);
  return rows.flatMap((row) =>
    row.value === null ? [] : [{ teamId: row.teamId, tags: [tagText(name, row.value)] }],
  );
}
