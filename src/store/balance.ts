/**
 * Balance: what a team has, spent and holds, as a projection over counters, leases and rollups; nothing of it is stored.
 * Invariant: all of one answer is read in one snapshot.
 */
import { and, asc, eq, gte, inArray, isNull, lt, notExists, sql } from 'drizzle-orm';
import { type PicoUsd, usd } from '../domain/money.ts';
import { type CalendarWindow, type LifetimeWindow, type WindowSpan, windowSpan } from '../domain/window.ts';
import { clock, type Transaction } from './catalog-version.ts';
import type { Database } from './database.ts';
import type { GrantRow } from './grants.ts';
import type { LimitRow } from './limits.ts';
import {
  adjustments,
  counters,
  grants,
  instances,
  leases,
  limits,
  usageEvents,
  usageRollups,
} from './schema.ts';

interface Spent {
  settled: PicoUsd;
  /** What calls in flight hold. */
  held: PicoUsd;
}

export interface GrantBalance extends Spent {
  grant: GrantRow;
  amount: PicoUsd;
  /** It has begun, has not expired and was not deleted. */
  usable: boolean;
}

export interface LimitBalance extends Spent {
  limit: LimitRow;
  amount: PicoUsd;
  /** The current window. */
  span: WindowSpan;
}

export interface Balance {
  /** Oldest first, also expired and deleted ones. */
  grants: GrantBalance[];
  limits: LimitBalance[];
  /** Everything that the ledger ever charged the team, corrections included. */
  charged: PicoUsd;
  /** Charged for calls whose outcome nobody knows yet. */
  unknown: PicoUsd;
}

const NOTHING: Spent = { settled: 0n, held: 0n };

/** Reads a team's balance at this moment of Postgres's clock. */
export function readBalance(database: Database, teamId: string): Promise<Balance> {
  return database.db.transaction(
    async (tx) => {
      const now = await clock(tx);
      const grantRows = await tx
        .select()
        .from(grants)
        .where(eq(grants.teamId, teamId))
        .orderBy(asc(grants.createdAt), asc(grants.id));
      const limitRows = await tx
        .select()
        .from(limits)
        .where(and(eq(limits.teamId, teamId), isNull(limits.deletedAt)))
        .orderBy(asc(limits.createdAt), asc(limits.id));
      const spans = limitRows.map((limit) => spanOf(limit, now));
      const spent = await readCounters(tx, teamId, [
        ...grantRows.map(grantCounterId),
        ...limitRows.map((limit, index) => limitCounterId(limit, spans[index]!)),
      ]);
      const limitBalances: LimitBalance[] = [];
      for (const [index, limit] of limitRows.entries()) {
        const span = spans[index]!;
        const known = spent.get(limitCounterId(limit, span)) ?? (await readWindow(tx, limit, span));
        limitBalances.push({ limit, amount: usd(limit.amount), span, ...known });
      }
      return {
        grants: grantRows.map((grant) => ({
          grant,
          amount: usd(grant.amountUsd),
          usable: isUsable(grant, now),
          ...(spent.get(grantCounterId(grant)) ?? NOTHING),
        })),
        limits: limitBalances,
        charged: await readCharged(tx, teamId),
        unknown: await readUnknown(tx, teamId),
      };
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  );
}

function spanOf(limit: LimitRow, now: Date): WindowSpan {
  return windowSpan(limit.window as CalendarWindow | LifetimeWindow, now.getTime());
}

function limitCounterId(limit: LimitRow, span: WindowSpan): string {
  return `${limit.id}@${span.startMs}`;
}

function grantCounterId(grant: GrantRow): string {
  return `${grant.id}@${grant.startsAt.getTime()}`;
}

function isUsable(grant: GrantRow, now: Date): boolean {
  return !grant.deletedAt && grant.startsAt <= now && (!grant.expiresAt || grant.expiresAt > now);
}

/** Holds are in the counter (calls that take long) and in what live instances told of their leases. */
async function readCounters(tx: Transaction, teamId: string, ids: string[]): Promise<Map<string, Spent>> {
  const lent = tx
    .select({ counterId: leases.counterId, held: sql<string>`sum(${leases.held})`.as('lent_held') })
    .from(leases)
    .innerJoin(instances, eq(instances.id, leases.instanceId))
    .where(and(eq(leases.teamId, teamId), eq(instances.status, 'live')))
    .groupBy(leases.counterId)
    .as('lent');
  const rows = await tx
    .select({ id: counters.id, settled: counters.settled, held: counters.held, lentHeld: lent.held })
    .from(counters)
    .leftJoin(lent, eq(lent.counterId, counters.id))
    .where(and(eq(counters.teamId, teamId), inArray(counters.id, ids)));
  return new Map(
    rows.map((row) => [
      row.id,
      { settled: usd(row.settled), held: usd(row.held) + usd(row.lentHeld ?? '0') },
    ]),
  );
}

/** What a limit's counter will begin with once a call needs it: its whole current window counts. */
async function readWindow(tx: Transaction, limit: LimitRow, span: WindowSpan): Promise<Spent> {
  const rows = await tx
    .select({ settled: sql<string>`coalesce(sum(${usageRollups.costUsd}), 0)` })
    .from(usageRollups)
    .where(
      and(
        eq(usageRollups.teamId, limit.teamId),
        gte(usageRollups.bucketStart, new Date(span.startMs)),
        span.endMs === null ? undefined : lt(usageRollups.bucketStart, new Date(span.endMs)),
        limit.subjectType === 'key' && limit.subjectId ? eq(usageRollups.keyId, limit.subjectId) : undefined,
      ),
    );
  return { settled: usd(rows[0]!.settled), held: 0n };
}

async function readCharged(tx: Transaction, teamId: string): Promise<PicoUsd> {
  const [row] = await tx
    .select({ charged: sql<string>`coalesce(sum(${usageRollups.costUsd}), 0)` })
    .from(usageRollups)
    .where(eq(usageRollups.teamId, teamId));
  return usd(row!.charged);
}

async function readUnknown(tx: Transaction, teamId: string): Promise<PicoUsd> {
  const released = tx
    .select()
    .from(adjustments)
    .where(and(eq(adjustments.teamId, teamId), eq(adjustments.eventId, usageEvents.id)));
  const [row] = await tx
    .select({ unknown: sql<string>`coalesce(sum(${usageEvents.costUsd}), 0)` })
    .from(usageEvents)
    // Written out, not as a parameter: only so can a prepared statement use the partial index.
    .where(and(eq(usageEvents.teamId, teamId), sql`${usageEvents.outcome} = 'unknown'`, notExists(released)));
  return usd(row!.unknown);
}
