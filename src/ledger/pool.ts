/** Sums over the leases of one pool: the counters that together must cover a call, in the order in which they pay. */
import { leaseAim } from '../domain/admission.ts';
import type { Lease } from './lease.ts';

export interface LeasedPool {
  id: string;
  leases: Lease[];
}

/** One pool's part in a hold. */
export interface HeldPool {
  leases: Lease[];
  held: bigint[];
}

function sum(pool: LeasedPool, part: (lease: Lease) => bigint): bigint {
  let total = 0n;
  for (const lease of pool.leases) total += part(lease);
  return total;
}

/** What this instance can spend at once. */
export function freeOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => lease.free);
}

/** What somebody can still be given, lent to this instance or not. */
export function roomOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => lease.room);
}

export function amountOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => lease.state?.amount ?? lease.spec.amount);
}

/** What may still be spent at best, once all that is only held came back. */
export function ceilingOf(pool: LeasedPool): bigint {
  return sum(pool, (lease) => (lease.state ? lease.ceiling : lease.spec.amount));
}

/** How much of the pool this instance wants to keep, from all of its counters together. */
export function aimOf(pool: LeasedPool, instances: number): bigint {
  const remaining = sum(pool, (lease) => lease.remaining);
  let aim = 0n;
  // The counter that pays just now has seen the demand; the next to pay must be borrowed from before it is empty.
  for (const { demand } of pool.leases) {
    const each = leaseAim(demand, remaining, instances);
    if (each > aim) aim = each;
  }
  return aim;
}

/**
 * What of a lease's free money its pool does not need: once there is half more than the aim, all above the aim, and the
 * last to pay gives back first, so that no grant is spent while one that expires earlier lies idle.
 */
export function excessOf(pool: LeasedPool, lease: Lease, instances: number): bigint {
  const aim = aimOf(pool, instances);
  let before = 0n;
  for (const each of pool.leases) {
    if (each === lease) break;
    before += each.free;
  }
  if (before + lease.free <= aim + aim / 2n) return 0n;
  const kept = aim > before ? aim - before : 0n;
  return lease.free > kept ? lease.free - kept : 0n;
}

/** Below half of its aim, and Postgres may have more. */
export function isLow(pool: LeasedPool, instances: number): boolean {
  return pool.leases.some((lease) => lease.room > lease.free) && 2n * freeOf(pool) < aimOf(pool, instances);
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

/** As far as is known, some pool cannot give this much to anybody before held money comes back. */
export function isBlocked(pools: readonly LeasedPool[], amount: bigint): boolean {
  return pools.some((pool) => roomOf(pool) < amount);
}
