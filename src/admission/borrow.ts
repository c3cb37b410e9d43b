/**
 * Borrow: how much an instance asks Postgres to lend, keeps, and gives back. Pure. The constants come from a simulation
 * of the protocol (README.md of this room).
 */
import { type Claim, claimed, UNIT } from '../domain/quantities.ts';
import type { LeasePool } from '../store/hot/leases.ts';
import type { LeaseDemand, LeaseView, PoolView } from './decide.ts';
import type { LeasedPool } from './leases.ts';

/**
 * How much unspent capacity an instance wants to keep: a quarter second of new holds, five seconds of burn and
 * four mean bounds, but at most 1/16 of its share of what is left, so that no replica starves the others. Of a rate limit
 * (a rolling window's bucket, slots) it is half a second of new holds: more would lie idle and be missed elsewhere.
 */
export function leaseAim(
  demand: LeaseDemand,
  remaining: bigint,
  instances: number,
  isRateLimit = false,
): bigint {
  const aim = isRateLimit
    ? demand.holdsPerSecond / 2n
    : demand.holdsPerSecond / 4n + 5n * demand.burnPerSecond + 4n * demand.meanBound;
  const most = remaining <= 0n ? 0n : remaining / (16n * BigInt(instances));
  return aim < most ? aim : most;
}

/** How much of the pool this instance wants to keep, from all of its counters together; nothing while it is contended. */
export function aimOf(pool: PoolView, instances: number, nowMs: number): bigint {
  if (isContended(pool, nowMs)) return 0n;
  const aim = leaseAim(pool.demand, pool.remaining, instances, pool.isRateLimit);
  return pool.meter === 'cost_usd' ? aim : aim - (aim % UNIT);
}

export function isContended(pool: PoolView, nowMs: number): boolean {
  for (const lease of pool.leases) if (nowMs < lease.contendedUntilMs) return true;
  return false;
}

/**
 * What of a lease's free money its pool does not need: once there is half more than the aim, all above the aim, and the
 * last to pay gives back first, so that no grant is spent while one that expires earlier lies idle.
 */
export function excessOf(pool: PoolView, lease: LeaseView, instances: number, nowMs: number): bigint {
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
export function isLow(pool: PoolView, instances: number, nowMs: number): boolean {
  for (const lease of pool.leases) {
    if (lease.room > lease.free) return 4n * pool.usable < 3n * aimOf(pool, instances, nowMs);
  }
  return false;
}

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
