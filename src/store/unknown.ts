/**
 * Corrections: what a call was charged, set right by evidence. Owns: the correction of one call, and the release of many of
 * unknown outcome. Invariant: an event never changes; its correction, the counters and the rollups that it moved change
 * together, once.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt, gte, inArray, isNull, lt, ne, notExists, or, type SQL, sql } from 'drizzle-orm';
import { settleInOrder } from '../domain/budget.ts';
import { counted, isHeldBeside, sourceIdOf } from '../domain/counter.ts';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type CounterId, type EventId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { tagTexts } from '../domain/tags.ts';
import { addAudit } from './audit.ts';
import { changeCatalog, raiseVersion } from './changes.ts';
import { type Database, type Queries, runOn, type Transaction } from './database.ts';
import { findEvent } from './events.ts';
import { NO_INSTANCE } from './hot/batch.ts';
import { shareFlushes } from './hot/counters.ts';
import { moveCounters } from './hot/move-counters.ts';
import { atPlaces, type Place, placesOf } from './hot/places.ts';
import { moveRollups, sumOf } from './move-rollups.ts';
import { adjustments, counters, teams, usageEvents } from './schema.ts';

export type AdjustmentRow = typeof adjustments.$inferSelect;
type EventRow = typeof usageEvents.$inferSelect;
type CounterRow = typeof counters.$inferSelect;

export interface Correction {
  eventId: EventId;
  /** What the upstream billed after all. */
  cost: PicoUsd;
  reason: string;
  actor: string;
}

/**
 * Charges a call what the evidence says, once, unless the upstream reported its usage. Null: there is no such event.
 */
export function correctCall(
  database: Database,
  { eventId, cost, reason, actor }: Correction,
): Promise<AdjustmentRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const event = await findEvent(tx, eventId);
    if (!event) return null;
    if (event.outcome === 'settled' && event.provenance === 'reported')
      return apiError('conflict', 'this call was settled at the usage that the upstream reported');
    const places = await lockCharges(tx, database, event.teamId);
    const [row] = await correct(tx, places, { events: [event], cost, reason, actor, now });
    if (row === undefined) return apiError('conflict', 'this call was corrected already');
    await addAudit(tx, {
      at: now,
      actor,
      action: 'release',
      resource: 'event',
      resourceId: event.id,
      teamId: event.teamId,
      before: { cost_usd: event.costUsd, outcome: event.outcome },
      after: { cost_usd: formatUsd(cost), reason },
    });
    await raiseVersion(tx, [event.teamId], 'reread');
    return row;
  });
}

/** Which calls of unknown outcome to release. */
export interface ReleaseFilter {
  teamId?: TeamId | undefined;
  /** As the call named it. */
  model?: string | undefined;
  /** Admitted from then on, … */
  from?: Date | undefined;
  /** … and before then. */
  to?: Date | undefined;
  /** Why it is not known; missing: for any reason. */
  because?: string | undefined;
}

export interface Released {
  calls: number;
  cost: PicoUsd;
  /** There are more: as many are released at once as one request may take time for. */
  isPart: boolean;
}

const BATCH_CALLS = 500;
const RELEASED_MAX = 50_000;

/** Releases all that the filter names at a cost of 0, team by team, in transactions of {@link BATCH_CALLS}. */
export async function releaseUnknown(
  database: Database,
  filter: ReleaseFilter,
  by: { reason: string; actor: string },
): Promise<Released> {
  const released: Released = { calls: 0, cost: 0n, isPart: false };
  for (const teamId of await teamsOf(database, filter)) {
    for (let found = BATCH_CALLS; found === BATCH_CALLS; ) {
      if (released.calls >= RELEASED_MAX) return { ...released, isPart: true };
      const batch = await releaseBatch(database, teamId, filter, by);
      found = batch.calls;
      released.calls += batch.calls;
      released.cost += batch.cost;
    }
  }
  return released;
}

async function teamsOf({ db }: Database, filter: ReleaseFilter): Promise<TeamId[]> {
  const rows = await db
    .selectDistinct({ id: usageEvents.teamId })
    .from(usageEvents)
    .where(isOpen(db, filter, filter.teamId))
    .orderBy(asc(usageEvents.teamId));
  return rows.map(({ id }) => id);
}

/** Whether an event of a team, or of any, is of unknown outcome, not corrected, and selected. */
function isOpen(queries: Queries, filter: ReleaseFilter, teamId: TeamId | undefined): SQL | undefined {
  const { model, from, to, because } = filter;
  const corrections = queries
    .select({ id: adjustments.id })
    .from(adjustments)
    .where(and(eq(adjustments.teamId, usageEvents.teamId), eq(adjustments.eventId, usageEvents.id)));
  return and(
    teamId === undefined ? undefined : eq(usageEvents.teamId, teamId),
    sql`${usageEvents.outcome} = 'unknown'`,
    model === undefined ? undefined : eq(usageEvents.model, model),
    because === undefined ? undefined : eq(usageEvents.reason, because),
    from === undefined ? undefined : gte(usageEvents.createdAt, from),
    to === undefined ? undefined : lt(usageEvents.createdAt, to),
    notExists(corrections),
  );
}

function releaseBatch(
  database: Database,
  teamId: TeamId,
  filter: ReleaseFilter,
  by: { reason: string; actor: string },
): Promise<{ calls: number; cost: PicoUsd }> {
  return changeCatalog(database, async (tx, now) => {
    const places = await lockCharges(tx, database, teamId);
    const events = await tx
      .select()
      .from(usageEvents)
      .where(isOpen(tx, filter, teamId))
      .orderBy(asc(usageEvents.createdAt))
      .limit(BATCH_CALLS);
    const [first] = events;
    if (first === undefined) return { calls: 0, cost: 0n };
    await correct(tx, places, { events, cost: 0n, ...by, now });
    const cost = sumOf(events);
    await addAudit(tx, {
      at: now,
      actor: by.actor,
      action: 'release',
      resource: 'event',
      resourceId: first.id,
      teamId,
      before: { cost_usd: formatUsd(cost), outcome: 'unknown' },
      after: {
        cost_usd: '0',
        reason: by.reason,
        calls: events.length,
        event_ids: events.map(({ id }) => id),
      },
    });
    await raiseVersion(tx, [teamId], 'reread');
    return { calls: events.length, cost };
  });
}

/** Against a counter being made of the rollups meanwhile, also the organization's, and against a second correction. */
async function lockCharges(tx: Transaction, database: Database, teamId: TeamId): Promise<Place[]> {
  const both = inArray(teams.id, [ORGANIZATION_ID, teamId]);
  await tx.select().from(teams).where(both).orderBy(asc(teams.id)).for('no key update');
  await runOn(tx)(shareFlushes([ORGANIZATION_ID, teamId]));
  await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${teamId}, 0))`);
  return placesOf(database.sql, [ORGANIZATION_ID, teamId]);
}

interface Corrections {
  /** Of one team, at least one. */
  events: EventRow[];
  /** What each of them cost. */
  cost: PicoUsd;
  reason: string;
  actor: string;
  now: Date;
}

/** Corrects those of the events that were not before; the team's charges are locked. */
async function correct(
  tx: Transaction,
  places: readonly Place[],
  { events, cost, reason, actor, now }: Corrections,
): Promise<AdjustmentRow[]> {
  const { teamId } = defined(events[0], 'an event to correct');
  const ids = events.map(({ id }) => id);
  const earlier = await tx
    .select({ id: adjustments.eventId })
    .from(adjustments)
    .where(and(eq(adjustments.teamId, teamId), inArray(adjustments.eventId, ids)));
  const corrected = new Set(earlier.map(({ id }) => id));
  const open = events.filter(({ id }) => !corrected.has(id));
  if (open.length === 0) return [];
  // In the order of a flush, so that they never wait for each other in a circle.
  await moveRollups(tx, open, cost);
  await correctCounters(tx, places, open, cost);
  const rows = open.map((event) => ({
    teamId,
    id: randomUUID(),
    eventId: event.id,
    deltaUsd: formatUsd(cost - usd(event.costUsd)),
    reason,
    actor,
    createdAt: now,
  }));
  return tx.insert(adjustments).values(rows).returning();
}

/**
 * Moves every counter that counts one of the events: those that held for it, and limits that were made after it. A call that
 * was not billed used no tokens either; of one that was, the evidence is about money alone, and its tokens stay held.
 */
async function correctCounters(
  tx: Transaction,
  places: readonly Place[],
  events: readonly EventRow[],
  cost: PicoUsd,
): Promise<void> {
  const rows: CounterRow[] = [];
  for (const place of places) rows.push(...(await lockCounters(tx, place, events, cost)));
  const deltas = new Map<string, PicoUsd>();
  for (const event of events) {
    for (const [id, delta] of counterDeltas(rows, event, cost))
      deltas.set(id, (deltas.get(id) ?? 0n) + delta);
  }
  const moves = rows.map(({ teamId, id }) => ({
    teamId,
    id,
    settled: deltas.get(id) ?? 0n,
    leased: 0n,
    held: 0n,
  }));
  const moving = moves.filter(({ settled }) => settled !== 0n);
  for (const group of atPlaces(places, moving)) await moveCounters(runOn(tx), NO_INSTANCE, group);
}

async function lockCounters(
  tx: Transaction,
  { teamIds }: Place,
  events: readonly EventRow[],
  cost: PicoUsd,
): Promise<CounterRow[]> {
  const { teamId } = defined(events[0], 'an event to correct');
  const earliest = new Date(Math.min(...events.map(({ createdAt }) => createdAt.getTime())));
  // The other end users' counters, of which there may be a million, are none of its business.
  const endUsers = events.flatMap(({ endUser }) => (endUser === null ? [] : [endUser]));
  const groups = events.flatMap(({ departments }) => departments ?? []);
  const tags = events.flatMap((event) => tagTexts(event.tags) ?? []);
  const subjects = new Set([
    ORGANIZATION_ID,
    teamId,
    ...events.map(({ keyId }) => keyId),
    ...endUsers,
    ...tags,
    ...groups,
  ]);
  return tx
    .select()
    .from(counters)
    .where(
      and(
        inArray(counters.teamId, [...teamIds]),
        inArray(counters.subjectId, [...subjects]),
        cost === 0n ? ne(counters.meter, 'requests') : eq(counters.meter, 'cost_usd'),
        or(eq(counters.source, 'grant'), isNull(counters.endsAt), gt(counters.endsAt, earliest)),
      ),
    )
    .orderBy(asc(counters.teamId), asc(counters.id))
    .for('update');
}

/**
 * By counter id, how much more (or less) it has to count. Grants, and a limit with its raises, pay as a call pays: in the order in
 * which they held, what is beyond falls on the last.
 */
function counterDeltas(rows: CounterRow[], event: EventRow, cost: PicoUsd): Map<string, PicoUsd> {
  const deltas = new Map<string, PicoUsd>();
  const byId = new Map<string, CounterRow>(rows.map((row) => [row.id, row]));
  const allocations = event.allocations.map((part) => ({
    ...part,
    counterId: asId<CounterId>(part.counter),
  }));
  const poolOf = ({ counter }: { counter: string }) =>
    byId.get(counter)?.source === 'grant' ? 'grants' : sourceIdOf(counter);
  for (const parts of Map.groupBy(allocations, poolOf).values()) {
    const isMoney = parts.some(({ counter }) => byId.get(counter)?.meter === 'cost_usd');
    const paid = settleInOrder(
      parts.map((part) => usd(part.held)),
      isMoney ? cost : 0n,
    );
    parts.forEach((part, index) => {
      if (byId.has(part.counter))
        deltas.set(part.counter, defined(paid[index], 'a payment for each part') - usd(part.settled));
    });
  }
  for (const row of rows) {
    if (row.source !== 'limit' || deltas.has(row.id) || isHeldBeside(row.id, allocations)) continue;
    const before = countedBy(row, event, usd(event.costUsd));
    const after = row.meter === 'cost_usd' ? countedBy(row, event, cost) : 0n;
    if (after !== before) deltas.set(row.id, after - before);
  }
  return deltas;
}

function countedBy(row: CounterRow, event: EventRow, cost: PicoUsd): PicoUsd {
  const counter = {
    teamId: row.teamId,
    source: row.source,
    subjectType: row.subjectType,
    subjectId: row.subjectId,
    meter: row.meter,
    models: row.models,
    startsAtMs: row.startsAt.getTime(),
    endsAtMs: row.endsAt?.getTime() ?? null,
  };
  const { teamId, keyId, endUser, model, createdAt } = event;
  const tags = tagTexts(event.tags);
  const claim = { cost, input_tokens: event.inputTokens, output_tokens: event.outputTokens };
  const departments = event.departments ?? [];
  return counted(counter, {
    ...{ teamId, keyId, endUser, departments, tags, model, claim },
    createdAtMs: createdAt.getTime(),
  });
}
