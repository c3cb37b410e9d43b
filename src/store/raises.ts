/**
 * Resets and raises: what changes a limit for its present window, or for some time, and leaves the limit as it was. Invariants:
 * the ledger is not touched; each is one transaction with the version by which replicas notice it.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt, isNull, lte, or, type SQL, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type LimitId, type RaiseId } from '../domain/ids.ts';
import { type After, changeCatalog, isAfter, lockOwner } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { findLimit, type LimitRow, raiseVersionOf, updateCounters } from './limits.ts';
import { counters, limitRaises, limits } from './schema.ts';

export type RaiseRow = typeof limitRaises.$inferSelect;

/**
 * Lets the present window of a limit count from now on. Calls that were admitted before stay where they were, also those that an
 * instance admits which has not heard of it: each counts on one of the two counters.
 */
export function resetLimit(
  database: Database,
  id: LimitId,
  reason: string,
): Promise<LimitRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const limit = await lockBudget(tx, id, 'reset');
    if (limit === null || isApiError(limit)) return limit;
    const [row] = await tx
      .update(limits)
      .set({ resetAt: now, resetReason: reason })
      .where(eq(limits.id, id))
      .returning();
    // What an instance that has not heard of it holds until then is within the old counter's amount.
    await endCounters(database, tx, limit.id, { endsAt: now });
    await raiseVersionOf(tx, limit);
    return defined(row, 'the row of the statement');
  });
}

export interface NewRaise {
  limitId: LimitId;
  /** Decimal text. */
  amount: string;
  until: Date;
  reason: string;
}

/** Raises a limit until a moment. Null: there is no such limit. */
export function createRaise(database: Database, raise: NewRaise): Promise<RaiseRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const limit = await lockBudget(tx, raise.limitId, 'raised');
    if (limit === null || isApiError(limit)) return limit;
    if (raise.until <= now) return apiError('invalid_request', 'until: must lie ahead', { param: 'until' });
    if (limit.enforcement === 'soft')
      return apiError('conflict', 'a soft limit denies nothing: there is nothing to raise');
    const [row] = await tx
      .insert(limitRaises)
      .values({ id: asId<RaiseId>(randomUUID()), ...raise, startsAt: now, createdAt: now })
      .returning();
    await raiseVersionOf(tx, limit);
    return defined(row, 'the row of the statement');
  });
}

/** Ends the raises of a limit before their time: nothing more is held on them. Without any it changes nothing. */
export async function endRaises(database: Database, limitId: LimitId): Promise<LimitRow | null> {
  await changeCatalog(database, async (tx, now) => {
    const [limit] = await tx.select().from(limits).where(eq(limits.id, limitId));
    if (!limit || (await lockOwner(tx, limit.teamId))) return;
    const ended = await tx
      .update(limitRaises)
      .set({ until: now, deletedAt: now })
      .where(and(eq(limitRaises.limitId, limitId), gt(limitRaises.until, now)))
      .returning();
    for (const { id } of ended) await endCounters(database, tx, id, { endsAt: now, amount: TAKEN });
    if (ended.length > 0) await raiseVersionOf(tx, limit);
  });
  return findLimit(database, limitId);
}

export function listRaises(
  { db }: Database,
  limitId: LimitId,
  page: { after: After | null; limit: number },
): Promise<RaiseRow[]> {
  return db
    .select()
    .from(limitRaises)
    .where(and(eq(limitRaises.limitId, limitId), isAfter(limitRaises, page.after)))
    .orderBy(asc(limitRaises.createdAt), asc(limitRaises.id))
    .limit(page.limit);
}

/** Locks the owner of a limit that is a budget; returns the limit, or why it cannot be. */
async function lockBudget(
  tx: Transaction,
  id: LimitId,
  what: 'reset' | 'raised',
): Promise<LimitRow | ApiError | null> {
  const [known] = await tx.select().from(limits).where(eq(limits.id, id));
  if (!known) return null;
  const problem = await lockOwner(tx, known.teamId);
  if (problem) return problem;
  const [limit] = await tx.select().from(limits).where(eq(limits.id, id)).for('update');
  if (!limit || limit.deletedAt) return apiError('conflict', 'the limit was deleted');
  if (limit.window.type !== 'rolling' && limit.meter !== 'concurrency') return limit;
  return apiError('conflict', `a rate limit is not ${what}: what was used of it comes back by itself`);
}

/** What is spent, held and lent of a counter: with that for its amount nothing more is lent. */
const TAKEN = sql`least(${counters.amount}, ${counters.settled} + ${counters.held} + ${counters.leased})`;

/**
 * Ends the open counters of a limit or a raise: what calls hold of them stays charged there. The next window's, which a clock that is
 * ahead may have made already, is none of them.
 */
function endCounters(
  database: Database,
  tx: Transaction,
  sourceId: LimitId | RaiseId,
  end: { endsAt: Date; amount?: SQL },
): Promise<void> {
  const open = and(
    lte(counters.startsAt, end.endsAt),
    or(isNull(counters.endsAt), gt(counters.endsAt, end.endsAt)),
  );
  return updateCounters(database, tx, and(eq(counters.sourceId, sourceId), open), end);
}
