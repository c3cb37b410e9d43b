/**
 * Balance: what a team has, spent and holds, as a projection over counters, leases and rollups; nothing of it is stored.
 * Invariant: all of one answer is read in one snapshot.
 */
import { and, asc, eq, notExists, sql } from 'drizzle-orm';
import { grantCounter } from '../domain/counter.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { clock, type Transaction } from './catalog-version.ts';
import { NOTHING, readCounters, type Spent } from './counter-sums.ts';
import type { Database } from './database.ts';
import type { GrantRow } from './grants.ts';
import { type LimitBalance, readLimits } from './limit-balance.ts';
import { adjustments, grants, usageDays, usageEvents } from './schema.ts';

export type { LimitBalance } from './limit-balance.ts';

export interface GrantBalance extends Spent {
  grant: GrantRow;
  amount: PicoUsd;
  /** It has begun, has not expired and was not deleted. */
  usable: boolean;
}

export interface Balance {
  /** In the order in which they are spent (no expiry comes last), also expired and deleted ones. */
  grants: GrantBalance[];
  limits: LimitBalance[];
  /** Everything that the ledger ever charged the team, corrections included. */
  charged: PicoUsd;
  /** Charged for calls whose outcome nobody knows yet. */
  unknown: PicoUsd;
}

/** Reads a team's balance at this moment of Postgres's clock. */
export function readBalance(database: Database, teamId: string): Promise<Balance> {
  return database.db.transaction(
    async (tx) => {
      const now = await clock(tx);
      const grantRows = await tx
        .select()
        .from(grants)
        .where(eq(grants.teamId, teamId))
        .orderBy(asc(grants.expiresAt), asc(grants.startsAt), asc(grants.id));
      const spent = await readCounters(
        tx,
        grantRows.map((grant) => grantCounter(toGrant(grant))),
      );
      return {
        grants: grantRows.map((grant) => ({
          grant,
          amount: usd(grant.amountUsd),
          usable: isUsable(grant, now),
          ...(spent.get(grantCounter(toGrant(grant)).id) ?? NOTHING),
        })),
        limits: await readLimits(tx, teamId, now),
        charged: await readCharged(tx, teamId),
        unknown: await readUnknown(tx, teamId),
      };
    },
    { isolationLevel: 'repeatable read', accessMode: 'read only' },
  );
}

function toGrant(row: GrantRow) {
  return {
    id: row.id,
    teamId: row.teamId,
    amount: usd(row.amountUsd),
    startsAtMs: row.startsAt.getTime(),
    expiresAtMs: row.expiresAt?.getTime() ?? null,
  };
}

function isUsable(grant: GrantRow, now: Date): boolean {
  return !grant.deletedAt && grant.startsAt <= now && (!grant.expiresAt || grant.expiresAt > now);
}

async function readCharged(tx: Transaction, teamId: string): Promise<PicoUsd> {
  const [row] = await tx
    .select({ charged: sql<string>`coalesce(sum(${usageDays.costUsd}), 0)` })
    .from(usageDays)
    .where(eq(usageDays.teamId, teamId));
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
