/** Events: the list of calls. Reads only; the flush writes them, and nobody changes them. */
import { and, asc, eq, gte, lt, notExists, type SQL, type SQLWrapper, sql } from 'drizzle-orm';
import { type After, isAfter } from './catalog-version.ts';
import type { Database } from './database.ts';
import { adjustments, teams, usageEvents } from './schema.ts';

/** An event, and the sum of its corrections (decimal USD; null: there are none). */
export type EventRow = typeof usageEvents.$inferSelect & { deltaUsd: string | null };

interface Page {
  after: After | null;
  limit: number;
  /** Undefined: of all teams. */
  teamId: string | undefined;
}

/** Events after a place, oldest first. */
export function listEvents(database: Database, page: Page): Promise<EventRow[]> {
  return listOf(database, page, undefined);
}

/** Events whose outcome is still unknown, oldest first: those without a correction. `before`: admitted before it. */
export function listUnknown(database: Database, page: Page & { before?: Date }): Promise<EventRow[]> {
  const corrections = database.db
    .select({ id: adjustments.id })
    .from(adjustments)
    .where(and(eq(adjustments.teamId, usageEvents.teamId), eq(adjustments.eventId, usageEvents.id)));
  // As text, not as a parameter, so that the partial index serves also a plan that is made for any parameters.
  const isUnknown = sql`${usageEvents.outcome} = 'unknown'`;
  const admitted = page.before === undefined ? undefined : lt(usageEvents.createdAt, page.before);
  return listOf(database, page, and(isUnknown, admitted, notExists(corrections)));
}

function listOf(database: Database, page: Page, which: SQL | undefined): Promise<EventRow[]> {
  // A team at a time, each by the index that begins with it: a list over all teams must not sort the whole ledger.
  const events = database.db
    .select()
    .from(usageEvents)
    .where(
      and(eq(usageEvents.teamId, teams.id), isAfter(usageEvents, page.after), fromMonthOf(page.after), which),
    )
    .orderBy(asc(usageEvents.createdAt), asc(usageEvents.id))
    .limit(page.limit)
    .as('e');
  return database.db
    .select({ ...events._.selectedFields, deltaUsd: deltaOf(events) })
    .from(teams)
    .innerJoinLateral(events, sql`true`)
    .where(page.teamId === undefined ? undefined : eq(teams.id, page.teamId))
    .orderBy(asc(events.createdAt), asc(events.id))
    .limit(page.limit) as Promise<EventRow[]>;
}

/** Says again what the cursor says, in words by which Postgres leaves out the partitions of months before. */
function fromMonthOf(after: After | null): SQL | undefined {
  return after ? gte(usageEvents.createdAt, after.createdAt) : undefined;
}

function deltaOf(event: { teamId: SQLWrapper; id: SQLWrapper }): SQL<string | null> {
  return sql<string | null>`(select sum(${adjustments.deltaUsd}) from ${adjustments}
    where ${adjustments.teamId} = ${event.teamId} and ${adjustments.eventId} = ${event.id})`;
}
