/**
 * Borrow: what an instance asks Postgres to lend for the calls that wait. Pure. How much it keeps beside them is the aim of
 * a lease (leases.ts).
 */
import { type Claim, claimed } from '../domain/quantities.ts';
import type { LeasePool } from '../store/hot/leases.ts';
import type { PoolView } from './decide.ts';
import { aimOf, type LeasedPool } from './leases.ts';

/** As far as is known, some pool cannot give this much to any instance before what is held came back. */
export function isBlocked(pools: readonly PoolView[], claim: Claim): boolean {
  return pools.some((pool) => pool.room < claimed(pool.meter, claim));
}

/** One waiting call: the pools it touches, the least it is served by, and what it would hold now. */
export interface WaitingClaim {
  pools: readonly LeasedPool[];
  smallest: Claim;
  claim: Claim;
}

export interface LeaseNeeds<Call extends WaitingClaim> {
  pools: LeasedPool[];
  /** The same pools as Postgres is asked for them. */
  request: LeasePool[];
  /** The calls whose money is asked for; of the others' pools only the state is. */
  asked: Set<Call>;
}

interface Need {
  pool: LeasedPool;
  min: bigint;
  /** Null: no more of it is wanted, only its state. */
  wanted: bigint | null;
}

/**
 * One request for all: every pool wants its aim plus all that waits, and the smallest waiting call must be met whole
 * or not at all, so that no instance hoards one counter while the call lacks another. Calls that lack a counter which
 * was empty at the last reply stand aside: else one key's spent limit would keep its whole team from being lent to.
 */
export function leaseNeeds<Call extends WaitingClaim>(
  waiting: readonly Call[],
  prefetch: Iterable<LeasedPool>,
  instances: number,
  nowMs: number,
): LeaseNeeds<Call> {
  const hopeful = waiting.filter((call) => !isBlocked(call.pools, call.smallest));
  const smallest = cheapest(hopeful.length > 0 ? hopeful : waiting);
  const asked = new Set(hopeful);
  if (smallest) asked.add(smallest);
  const needs = new Map<string, Need>();
  const needOf = (pool: LeasedPool) => {
    const need = needs.get(pool.key) ?? { pool, min: 0n, wanted: null };
    needs.set(pool.key, need);
    return need;
  };
  for (const pool of prefetch) needOf(pool).wanted = 0n;
  for (const call of waiting) {
    for (const pool of call.pools) {
      const need = needOf(pool);
      if (asked.has(call)) need.wanted = (need.wanted ?? 0n) + claimed(pool.meter, call.claim);
      if (call === smallest) need.min = claimed(pool.meter, call.smallest);
    }
  }
  const pools = [...needs.values()];
  return {
    pools: pools.map(({ pool }) => pool),
    request: pools.map((need) => toRequest(need, instances, nowMs)),
    asked,
  };
}

/** The waiting call of the least cost: calls that cost nothing come first, whatever else they take. */
function cheapest<Call extends WaitingClaim>(waiting: readonly Call[]): Call | null {
  let smallest: Call | null = null;
  for (const call of waiting) {
    if (smallest === null || call.smallest.cost < smallest.smallest.cost) smallest = call;
  }
  return smallest;
}

function toRequest({ pool, min, wanted }: Need, instances: number, nowMs: number): LeasePool {
  const { usable } = pool;
  const above = (amount: bigint) => (amount > usable ? amount - usable : 0n);
  return {
    counters: pool.leases.map((lease) => lease.spec),
    min: above(min),
    want: wanted === null ? 0n : above(wanted + aimOf(pool, instances, nowMs)),
  };
}
