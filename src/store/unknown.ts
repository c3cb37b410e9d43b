/**
 * Unknown outcomes: calls that stay charged at their hold until there is evidence. Owns: the release. Invariant: an
 * event never changes; its correction, the counters and the rollups that it moved change together, once.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt, inArray, isNull, ne, or, sql } from 'drizzle-orm';
import { settleInOrder } from '../domain/budget.ts';
import { counted } from '../domain/counter.ts';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { EventId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { formatUsd, type PicoUsd, usd } from '../domain/money.ts';
import { addAudit } from './audit.ts';
import { changeCatalog } from './changes.ts';
import { type Database, runOn, type Transaction } from './database.ts';
import { findEvent } from './events.ts';
import { shareFlushes } from './hot/counters.ts';
import { moveCounters } from './hot/move-counters.ts';
import { atPlaces, type Place, placesOf } from './hot/places.ts';
import { adjustments, counters, teams, usageDays, type usageEvents, usageRollups } from './schema.ts';

export type AdjustmentRow = typeof adjustments.$inferSelect;
type EventRow = typeof usageEvents.$inferSelect;
type CounterRow = typeof counters.$inferSelect;

export interface UnknownRelease {
  eventId: EventId;
  /** What the upstream billed after all. */
  cost: PicoUsd;
  reason: string;
  actor: string;
}

/** Settles an unknown outcome at what the evidence says, once. Null: there is no such event. */
export function releaseUnknown(
  database: Database,
  release: UnknownRelease,
): Promise<AdjustmentRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const event = await findEvent(tx, release.eventId);
    if (!event) return null;
    if (event.outcome !== 'unknown')
      return apiError('conflict', `the outcome of this call is ${event.outcome}`);
    // Against a counter being made of the rollups meanwhile, also the organization's, and against a second release.
    const both = inArray(teams.id, [ORGANIZATION_ID, event.teamId]);
    await tx.select().from(teams).where(both).orderBy(asc(teams.id)).for('no key update');
    await runOn(tx)(shareFlushes([ORGANIZATION_ID, event.teamId]));
    await tx.execute(sql`select pg_advisory_xact_lock(hashtextextended(${event.id}, 0))`);
    const ofEvent = and(eq(adjustments.teamId, event.teamId), eq(adjustments.eventId, event.id));
    const earlier = await tx.select().from(adjustments).where(ofEvent).limit(1);
    if (earlier.length > 0) return apiError('conflict', 'this call was released already');
    const delta = release.cost - usd(event.costUsd);
    // In the order of a flush, so that they never wait for each other in a circle.
    await moveRollups(tx, event, delta);
    const places = await placesOf(database.sql, [ORGANIZATION_ID, event.teamId]);
    await correctCounters(tx, places, event, release.cost);
    const { reason, actor } = release;
    const [row] = await tx
      .insert(adjustments)
      .values({
        teamId: event.teamId,
        id: randomUUID(),
        eventId: event.id,
        deltaUsd: formatUsd(delta),
        reason,
        actor,
        createdAt: now,
      })
      .returning();
    await addAudit(tx, {
      at: now,
      actor,
      action: 'release',
      resource: 'event',
      resourceId: event.id,
      teamId: event.teamId,
      before: { cost_usd: event.costUsd, outcome: event.outcome },
      after: { cost_usd: formatUsd(release.cost), reason },
    });
    return defined(row, 'the row of the statement');
  });
}

/**
 * Moves every counter that counts the event: those that held for it, and limits that were made after it. A call that
 * was not billed used no tokens either; of one that was, the evidence is about money alone, and its tokens stay held.
 */
async function correctCounters(
  tx: Transaction,
  places: readonly Place[],
  event: EventRow,
  cost: PicoUsd,
): Promise<void> {
  const rows: CounterRow[] = [];
  for (const place of places) rows.push(...(await lockCounters(tx, place, event, cost)));
  const deltas = counterDeltas(rows, event, cost);
  const moves = rows.map(({ teamId, id }) => ({
    teamId,
    id,
    settled: deltas.get(id) ?? 0n,
    leased: 0n,
    held: 0n,
  }));
  const moving = moves.filter(({ settled }) => settled !== 0n);
  for (const group of atPlaces(places, moving)) await moveCounters(runOn(tx), null, group);
}

async function lockCounters(
  tx: Transaction,
  { teamIds }: Place,
  event: EventRow,
  cost: PicoUsd,
): Promise<CounterRow[]> {
  // The other end users' counters, of which there may be a million, are none of its business.
  const subjects = [
    ORGANIZATION_ID,
    event.teamId,
    event.keyId,
    ...(event.endUser === null ? [] : [event.endUser]),
  ];
  return tx
    .select()
    .from(counters)
    .where(
      and(
        inArray(counters.teamId, [...teamIds]),
        inArray(counters.subjectId, subjects),
        cost === 0n ? ne(counters.meter, 'requests') : eq(counters.meter, 'cost_usd'),
        or(eq(counters.source, 'grant'), isNull(counters.endsAt), gt(counters.endsAt, event.createdAt)),
      ),
    )
    .orderBy(asc(counters.teamId), asc(counters.id))
    .for('update');
}

/**
 * By counter id, how much more (or less) it has to count. Grants pay as a call pays: in the order in which they held,
 * what is beyond falls on the last.
 */
function counterDeltas(rows: CounterRow[], event: EventRow, cost: PicoUsd): Map<string, PicoUsd> {
  const deltas = new Map<string, PicoUsd>();
  const { allocations } = event;
  const sourceOf = new Map<string, CounterRow['source']>(rows.map((row) => [row.id, row.source]));
  const fromGrants = allocations.filter((part) => sourceOf.get(part.counter) === 'grant');
  const paid = settleInOrder(
    fromGrants.map((part) => usd(part.held)),
    cost,
  );
  fromGrants.forEach((part, index) => {
    deltas.set(part.counter, defined(paid[index], 'a payment for each part') - usd(part.settled));
  });
  for (const row of rows) {
    if (row.source !== 'limit') continue;
    const part = allocations.find((allocation) => allocation.counter === row.id);
    if (part) deltas.set(row.id, (row.meter === 'cost_usd' ? cost : 0n) - usd(part.settled));
    else {
      const charged = countedBy(row, event, usd(event.costUsd));
      if (charged > 0n) deltas.set(row.id, (row.meter === 'cost_usd' ? cost : 0n) - charged);
    }
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
  const claim = { cost, input_tokens: event.inputTokens, output_tokens: event.outputTokens };
  return counted(counter, { teamId, keyId, endUser, model, createdAtMs: createdAt.getTime(), claim });
}

/** Rollups sum what is charged: a counter made later starts from them. */
async function moveRollups(tx: Transaction, event: EventRow, delta: PicoUsd): Promise<void> {
  const at = event.createdAt.toISOString();
  for (const [table, start, interval] of [
    [usageRollups, usageRollups.bucketStart, '15 minutes'],
    [usageDays, usageDays.day, '1 day'],
  ] as const) {
    await tx
      .update(table)
      .set({
        costUsd: sql`${table.costUsd} + ${formatUsd(delta)}::numeric`,
        unknownUsd: sql`${table.unknownUsd} - ${event.costUsd}::numeric`,
        unknownCalls: sql`${table.unknownCalls} - 1`,
      })
      .where(
        and(
          eq(table.teamId, event.teamId),
          sql`${start} = date_bin(${interval}::interval, ${at}::timestamptz, 'epoch')`,
          eq(table.keyId, event.keyId),
          eq(table.model, event.model),
          eq(table.operation, event.operation),
        ),
      );
  }
}
