/** What a team's desk asks Postgres for: the pools of its waiting calls and of its prefetch, with their sizes. */
import type { LeasePool } from '../store/leases.ts';
import type { LeasedPool } from './book.ts';

/** One waiting call: the pools it touches, the least it is served by, and what it would hold now. */
export interface Waiting {
  pools: LeasedPool[];
  smallest: bigint;
  amount: bigint;
}

/**
 * One request for all: every pool wants its aim plus all that waits, and the smallest waiting call must be met whole
 * or not at all, so that no instance hoards one counter while the call lacks another.
 */
export function leaseNeeds(
  waiting: Waiting[],
  prefetch: Iterable<LeasedPool>,
  instances: number,
): (LeasePool & LeasedPool)[] {
  const needs = new Map<string, { pool: LeasedPool; min: bigint; sum: bigint }>();
  for (const pool of prefetch) needs.set(pool.id, { pool, min: 0n, sum: 0n });
  let smallest: Waiting | null = null;
  for (const call of waiting) {
    if (smallest === null || call.smallest < smallest.smallest) smallest = call;
    for (const pool of call.pools) {
      const need = needs.get(pool.id) ?? { pool, min: 0n, sum: 0n };
      need.sum += call.amount;
      needs.set(pool.id, need);
    }
  }
  for (const pool of smallest?.pools ?? []) needs.get(pool.id)!.min = smallest!.smallest;
  return [...needs.values()].map(({ pool, min, sum }) => {
    const free = pool.leases.reduce((total, lease) => total + lease.free, 0n);
    const aim = pool.leases.at(-1)?.aim(instances) ?? 0n;
    const above = (amount: bigint) => (amount > free ? amount - free : 0n);
    const counters = pool.leases.map((lease) => lease.spec);
    return { ...pool, counters, min: above(min), want: above(sum + aim) };
  });
}
