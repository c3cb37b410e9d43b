/** Sums over the leases of one pool: the counters that together must cover a call, in the order in which they pay. */
import { UNIT } from '../domain/claim.ts';
import type { Meter } from '../domain/limit.ts';
import type { Demand } from './demand.ts';
import type { Lease } from './lease.ts';

export interface LeasedPool {
  id: string;
  meter: Meter;
  isFlow: boolean;
  maxHold: bigint | null;
  demand: Demand;
  leases: Lease[];
  /** Of a rolling window: what was lent for its bucket before this one. */
  before?: Lease | null;
}

/** One pool's part in a hold. */
export interface HeldPool {
  meter: Meter;
  leases: Lease[];
  held: bigint[];
}

/** Flows come back by themselves; all else that a call holds must outlive its instance. */
export function isPromotable({ leases }: HeldPool): boolean {
  const spec = leases[0]?.spec;
  return spec !== undefined && spec.rollingMs === null && spec.meter !== 'concurrency';
}

function sum(pool: LeasedPool, part: (lease: Lease) => bigint): bigint {
  let total = 0n;
  for (const lease of pool.leases) total += part(lease);
  return total;
}

/**
 * What this instance may spend at once. Counters pay in order, so what lies beyond one that has money elsewhere must not
 * be touched: that money has to be fetched first.
 */
export function usableOf(pool: LeasedPool): bigint {
  let usable = 0n;
  for (const lease of pool.leases) {
    usable += lease.available;
    if (lease.room > lease.free) break;
  }
  return usable;
}

/** What somebody can still be given, lent to this instance or not. */
export function roomOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => lease.room);
}

/** What comes back at once: lent for a bucket that ended before it could be used, which others may think in use. */
export function comesBack({ before }: LeasedPool): bigint {
  return before ? before.free + before.unreported : 0n;
}

export function amountOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => lease.state?.amount ?? lease.spec.amount);
}

/** What may still be spent at best, once all that is only held came back. */
export function ceilingOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => (lease.state ? lease.ceiling : lease.spec.amount));
}

/** How much of the pool this instance wants to keep, from all of its counters together; nothing while it is scarce. */
export function aimOf(pool: LeasedPool, instances: number, nowMs: number): bigint {
  if (isScarce(pool, nowMs)) return 0n;
  const remaining = sum(pool, (lease) => lease.remaining);
  const aim = pool.demand.aim(remaining, instances, pool.isFlow);
  return pool.meter === 'cost_usd' ? aim : aim - (aim % UNIT);
}

export function isScarce(pool: LeasedPool, nowMs: number): boolean {
  return pool.leases.some((lease) => nowMs < lease.scarceUntilMs);
}

/**
 * What of a lease's free money its pool does not need: once there is half more than the aim, all above the aim, and the
 * last to pay gives back first, so that no grant is spent while one that expires earlier lies idle.
 */
export function excessOf(pool: LeasedPool, lease: Lease, instances: number, nowMs: number): bigint {
  const aim = aimOf(pool, instances, nowMs);
  let before = 0n;
  for (const each of pool.leases) {
    if (each === lease) break;
    before += each.free;
  }
  if (before + lease.free <= aim + aim / 2n) return 0n;
  const kept = aim > before ? aim - before : 0n;
  return lease.free > kept ? lease.free - kept : 0n;
}

/** Below three quarters of its aim, and Postgres may have more. */
export function isLow(pool: LeasedPool, instances: number, nowMs: number): boolean {
  return (
    pool.leases.some((lease) => lease.room > lease.free) &&
    4n * usableOf(pool) < 3n * aimOf(pool, instances, nowMs)
  );
}

/** The pool of which the measure is least; null where there is none. A pool without counters has nothing. */
export function leastOf(
  pools: readonly LeasedPool[],
  measure: (pool: LeasedPool) => bigint,
): { pool: LeasedPool; amount: bigint } | null {
  let least: { pool: LeasedPool; amount: bigint } | null = null;
  for (const pool of pools) {
    const amount = measure(pool);
    if (least === null || amount < least.amount) least = { pool, amount };
  }
  return least;
}
