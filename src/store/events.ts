/** Events: the list of calls. Reads only; the flush writes them, and nothing changes them. */

import {
  and,
  asc,
  desc,
  eq,
  getTableColumns,
  gte,
  inArray,
  lt,
  lte,
  not,
  notExists,
  type SQL,
  sql,
} from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type EventId, type GrantId, type LimitId, momentOfUuidV7, type TeamId } from '../domain/ids.ts';
import { parseTag } from '../domain/tags.ts';
import { type After, isAfter, type Order } from './changes.ts';
import type { Database, Queries } from './database.ts';
import { SAVING_CALLS } from './savings.ts';
import { adjustments, grants, labels, usageEvents } from './schema.ts';

/** An event, and the sum of its corrections (decimal USD; null: there are none). */
export type EventRow = typeof usageEvents.$inferSelect & { deltaUsd: string | null };

const FILTERS = {
  keyId: usageEvents.keyId,
  model: usageEvents.model,
  operation: usageEvents.operation,
  upstream: usageEvents.upstream,
  outcome: usageEvents.outcome,
  provenance: usageEvents.provenance,
  endUser: usageEvents.endUser,
};

export type EventFilter = { [Name in keyof typeof FILTERS]?: string | undefined } & {
  /** As text. */
  tag?: string | undefined;
  /** Whether people said of it if it was right: at all, of these operations not yet, or others than this labeller. */
  labelled?: 'true' | 'false' | { notBy: string } | { notOf: readonly string[] } | undefined;
  /** What could have made it cheaper. */
  saving?: keyof typeof SAVING_CALLS | undefined;
};

export interface EventPage {
  after: After | null;
  limit: number;
  order: Order;
  /** Undefined: of all teams. */
  teamIds: readonly TeamId[] | undefined;
  /** Inclusive. */
  from: Date | null;
  /** Exclusive. */
  to: Date | null;
  filter: EventFilter;
}

export interface FoundEvents {
  rows: EventRow[];
  /** Where the search stopped before it had found enough; null: it found enough, or nothing is beyond. */
  searchedTo: After | null;
}

/** How many calls one filtered page looks at: what is rare is found in several pages, not in one long query. */
export const SEARCHED_MAX = 20_000;

/** Events after a place, in the order of their admission. */
export async function listEvents(database: Database, page: EventPage): Promise<FoundEvents> {
  const filters = Object.entries(page.filter).filter(([, value]) => value !== undefined);
  const matches = filters.map(([name, value]) => {
    if (name === 'labelled') return isLabelled(page.filter.labelled);
    const wanted = defined(value, 'the value of the filter') as string;
    if (name === 'tag') return hasTag(wanted);
    if (name === 'saving') return couldSave(wanted as keyof typeof SAVING_CALLS);
    return eq(FILTERS[name as keyof typeof FILTERS], wanted);
  });
  const last = matches.length === 0 ? null : await lastSearched(database, page);
  const rows = await eventsOf(database.db)
    .where(and(within(page), last ? upTo(last, page.order) : undefined, ...matches))
    .orderBy(...ordered(page.order))
    .limit(page.limit);
  return { rows, searchedTo: rows.length < page.limit ? last : null };
}

const LABELLED = sql`exists (
  select from ${labels} l where l.team_id = ${usageEvents.teamId} and l.event_id = ${usageEvents.id})`;

function isLabelled(wanted: EventFilter['labelled']): SQL | undefined {
  if (typeof wanted !== 'object') return wanted === 'true' ? LABELLED : not(LABELLED);
  if ('notOf' in wanted) return and(not(LABELLED), inArray(usageEvents.operation, [...wanted.notOf]));
  const own = sql`exists (
    select from ${labels} l where l.team_id = ${usageEvents.teamId} and l.event_id = ${usageEvents.id}
      and l.labeller = ${wanted.notBy})`;
  return and(LABELLED, not(own));
}

function hasTag(text: string): SQL {
  const { name, value } = parseTag(text);
  return sql`${usageEvents.tags} ->> ${name} = ${value}`;
}

/** As the report on savings chooses its calls. */
function couldSave(saving: keyof typeof SAVING_CALLS): SQL {
  return sql`${usageEvents.outcome} = 'settled' and ${sql.raw(SAVING_CALLS[saving])}`;
}

/** The last event that a filtered page looks at; null: the list ends before it. */
async function lastSearched(database: Database, page: EventPage): Promise<After | null> {
  const [row] = await database.db
    .select({ createdAt: usageEvents.createdAt, id: usageEvents.id })
    .from(usageEvents)
    .where(within(page))
    .orderBy(...ordered(page.order))
    .offset(SEARCHED_MAX - 1)
    .limit(1);
  return row ?? null;
}

function within({ teamIds, after, order, from, to }: EventPage): SQL | undefined {
  return and(
    teamIds && inArray(usageEvents.teamId, [...teamIds]),
    isAfter(usageEvents, after, order),
    beyondMonthOf(after, order),
    from ? gte(usageEvents.createdAt, from) : undefined,
    to ? lt(usageEvents.createdAt, to) : undefined,
  );
}

function upTo(last: After, order: Order): SQL {
  const place = sql`(${last.createdAt.toISOString()}::timestamptz, ${last.id})`;
  const row = sql`(${usageEvents.createdAt}, ${usageEvents.id})`;
  return order === 'asc' ? sql`${row} <= ${place}` : sql`${row} >= ${place}`;
}

function ordered(order: Order): SQL[] {
  const by = order === 'asc' ? asc : desc;
  return [by(usageEvents.createdAt), by(usageEvents.id)];
}

function eventsOf(queries: Queries) {
  return queries
    .select({ ...getTableColumns(usageEvents), deltaUsd: deltaOf('usage_events') })
    .from(usageEvents)
    .$dynamic();
}

/** Finds an event by its id alone: the moment in it (RFC 9562) names the partition and the place in its index. */
export async function findEvent(queries: Queries, id: EventId): Promise<EventRow | null> {
  const createdAt = new Date(momentOfUuidV7(id));
  // Beyond the years that Postgres and ISO 8601 write alike: no id of ours.
  if (createdAt.getTime() >= Date.UTC(9999, 0)) return null;
  const [row] = await eventsOf(queries).where(
    and(eq(usageEvents.createdAt, createdAt), eq(usageEvents.id, id)),
  );
  return row ?? null;
}

// As text, not as parameters, so that the partial indexes serve also a plan that is made for any parameters.
const IS_UNKNOWN = sql`${usageEvents.outcome} = 'unknown'`;
/** An expression, whose order no index has. */
const NO_INDEX_ORDER = sql`${usageEvents.createdAt} + interval '0'`;
/** The usage of what came in an unpriced tier is known; its price is not, and no report tells it. */
const IS_ESTIMATED = sql`${usageEvents.provenance} = 'estimated' and ${usageEvents.reason} is distinct from 'tier_unpriced'`;

/**
 * Events whose outcome is still unknown, oldest first: those without a correction. `before`: admitted before it; `which`:
 * those of whose bill nothing is known (default), or calls served without reported usage.
 * By the index of such events alone: few are, and the one that has the order would read all calls.
 */
export function listUnknown(
  database: Database,
  page: {
    after: After | null;
    limit: number;
    teamIds: readonly TeamId[] | undefined;
    /** Of this upstream alone; null: of no named one; missing: of all. */
    upstream?: string | null;
    before?: Date;
    which?: 'unknown' | 'estimated';
  },
): Promise<EventRow[]> {
  const corrections = database.db
    .select({ id: adjustments.id })
    .from(adjustments)
    .where(and(eq(adjustments.teamId, usageEvents.teamId), eq(adjustments.eventId, usageEvents.id)));
  return database.db
    .select({ ...getTableColumns(usageEvents), deltaUsd: sql<string | null>`null` })
    .from(usageEvents)
    .where(
      and(
        page.teamIds && inArray(usageEvents.teamId, [...page.teamIds]),
        isAfter(usageEvents, page.after),
        beyondMonthOf(page.after, 'asc'),
        page.upstream === undefined
          ? undefined
          : sql`${usageEvents.upstream} is not distinct from ${page.upstream}`,
        page.which === 'estimated' ? IS_ESTIMATED : IS_UNKNOWN,
        page.before === undefined ? undefined : lt(usageEvents.createdAt, page.before),
        notExists(corrections),
      ),
    )
    .orderBy(NO_INDEX_ORDER, asc(usageEvents.id))
    .limit(page.limit);
}

/** Says again what the cursor says, in words by which Postgres leaves out the partitions of months before it. */
function beyondMonthOf(after: After | null, order: Order): SQL | undefined {
  if (!after) return undefined;
  return (order === 'asc' ? gte : lte)(usageEvents.createdAt, after.createdAt);
}

/** Written out: drizzle leaves out the tables' names where it selects from one alone, also within a subquery. */
function deltaOf(event: string): SQL<string | null> {
  const of = sql.raw(`c.team_id = "${event}".team_id and c.event_id = "${event}".id`);
  return sql<string | null>`(select sum(c.delta_usd) from ${adjustments} c where ${of})`;
}

/** What corrected an event. */
export function listAdjustments(database: Database, event: { teamId: TeamId; id: EventId }) {
  return database.db
    .select()
    .from(adjustments)
    .where(and(eq(adjustments.teamId, event.teamId), eq(adjustments.eventId, event.id)))
    .orderBy(asc(adjustments.createdAt));
}

/** Which of these ids are grants. */
export async function grantsAmong(
  database: Database,
  ids: readonly (LimitId | GrantId)[],
): Promise<Set<string>> {
  const rows = await database.db
    .select({ id: grants.id })
    .from(grants)
    .where(inArray(sql`${grants.id}`, ids));
  return new Set(rows.map((row) => row.id));
}
