/**
 * Leases: what counters lent to this instance, spent here in memory, and how much of it an instance keeps. Invariant of
 * each, always: granted = returned + settled + held + free. The first three only grow, and Postgres keeps the same sums.
 * The constants come from a simulation of the protocol (README.md of this room).
 */

import type { Pool } from '../domain/budget.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { Meter } from '../domain/limit.ts';
import { type CounterState, UNIT, unlent } from '../domain/quantities.ts';
import type { LeasedCounter } from '../store/hot/leases.ts';
import type { LeaseDemand, LeaseView, PoolView } from './decide.ts';

/** How long a counter stays marked as contended after a request that could not be met. */
export const CONTENDED_MS = 1000;

/** What a lease knew when Postgres was asked about it. */
export interface LeaseSnapshot {
  /** How often its rules had changed. */
  revocations: number;
  /** What Postgres had persisted as holds of their own. */
  persisted: bigint;
  /** What calls had cost beyond their holds, as far as Postgres knew. */
  overrun: bigint;
}

export class Lease implements LeaseView {
  spec: CounterSpec;
  demand: Demand;
  granted = 0n;
  returned = 0n;
  settled = 0n;
  held = 0n;
  /** Below zero only for slots that Postgres took back from an instance which was silent (see `learn`). */
  free = 0n;
  /** The counter as of Postgres's last reply; null: never asked. */
  state: CounterState | null = null;
  isAbsent = false;
  /** It ends, as the store went back: what is not in the journal by then holds nothing of it. */
  hasEnded = false;
  freesInMs: number | null = null;
  fullUntilMs = Number.NEGATIVE_INFINITY;
  contendedUntilMs = Number.NEGATIVE_INFINITY;
  /** When it last paid for a call, on the monotonic clock; at first when it was made. */
  lastUsedMs: number;
  /** When a call that it paid for last ended, on the monotonic clock. */
  lastEndedMs = Number.NEGATIVE_INFINITY;
  /** Of the calls that ended here, what Postgres had counted in `state`. */
  #spentInState = 0n;
  /** Of `settled`, what Postgres persists as holds of their own: not spent yet. */
  #persisted = 0n;
  /** What calls cost beyond their holds, which no lease paid: in all, known to Postgres, and counted in `state`. */
  #overrun = 0n;
  #overrunFlushed = 0n;
  #overrunInState = 0n;
  #isSuspended = false;
  #isRevoked = false;
  #revocations = 0;
  #reportedReturned = 0n;
  #reportedHeld = 0n;

  constructor(spec: CounterSpec, demand: Demand, madeAtMs: number) {
    this.spec = spec;
    this.demand = demand;
    this.lastUsedMs = madeAtMs;
  }

  get available(): bigint {
    return this.#isSuspended ? 0n : this.free;
  }

  take(amount: bigint, atMs: number): void {
    this.free -= amount;
    this.held += amount;
    this.lastUsedMs = atMs;
    this.demand.taken(amount, atMs);
  }

  /** Ends what a call held: `spent` of it (at most `held`) is gone, the rest is free again. */
  release(held: bigint, spent: bigint, atMs: number): void {
    this.lastEndedMs = atMs;
    this.held -= held;
    this.settled += spent;
    this.free += held - spent;
    this.demand.spent(spent);
    if (this.#isRevoked || this.#isOverdrawn) this.giveBack(this.free);
  }

  /** What is known when Postgres is asked; its reply knows no less. */
  get snapshot(): LeaseSnapshot {
    const overrun = this.#overrunFlushed;
    return { revocations: this.#revocations, persisted: this.#persisted, overrun };
  }

  /**
   * Takes over Postgres's sums; since they only grow, a reply that was lost is made good by the next.
   * @param asked the snapshot of when Postgres was asked
   */
  learn(counter: LeasedCounter, atMs: number, asked = this.snapshot): void {
    const { lease } = counter;
    const isOld = asked.revocations < this.#revocations;
    // Two teams ask for the organization's counters: a reply that was overtaken says nothing new.
    if (lease.granted < this.granted || (lease.granted === this.granted && isOld && !this.#isRevoked)) return;
    if (this.state === null && this.granted === 0n) {
      this.returned = lease.returned;
      this.settled = lease.settled;
      this.granted = lease.returned + lease.settled;
      this.#reportedReturned = this.returned;
    }
    this.free += lease.granted - this.granted;
    this.granted = lease.granted;
    if (lease.returned > this.returned) {
      // Slots of an instance that was silent go to others; what is still running here has no slot until it ends.
      this.free -= lease.returned - this.returned;
      this.returned = lease.returned;
    }
    this.#spentInState = lease.settled - asked.persisted;
    this.#overrunInState = asked.overrun;
    const { amount, settled, held } = counter;
    this.state = { amount, settled, held, leased: counter.leased - (this.returned - lease.returned) };
    this.isAbsent = counter.isAbsent ?? false;
    this.freesInMs = counter.freesInMs ?? null;
    if (counter.isContended) this.contendedUntilMs = atMs + CONTENDED_MS;
    this.#isSuspended = false;
    if (isOld || this.#isOverdrawn) this.giveBack(this.free);
    if (!isOld) this.#isRevoked = false;
  }

  get room(): bigint {
    if (this.state === null) return this.spec.amount;
    const left = unlent(this.state);
    return this.free + (left > 0n ? left : 0n);
  }

  /** What may still be spent at best, once all that is only held came back: what was settled here since counts too. */
  get ceiling(): bigint {
    const spentSince = this.settled - this.#persisted - this.#spentInState;
    return this.state === null ? -spentSince : this.state.amount - this.state.settled - spentSince;
  }

  /** A call cost this much more than it held here. */
  overran(excess: bigint): void {
    this.#overrun += excess;
  }

  /** All that calls cost beyond their holds. */
  get overrun(): bigint {
    return this.#overrun;
  }

  /** Postgres has the events of overruns up to this sum. */
  overrunFlushed(sum: bigint): void {
    if (sum > this.#overrunFlushed) this.#overrunFlushed = sum;
  }

  /**
   * The same as `ceiling`, less overruns that Postgres's last reply did not count. One that was flushed while Postgres
   * replied may be counted twice until its next reply: too little for a decision, and right for what is said of it.
   */
  get left(): bigint {
    return this.ceiling - (this.#overrun - this.#overrunInState);
  }

  /** What the counter has left for this instance and all others. */
  get remaining(): bigint {
    return this.state === null ? this.spec.amount : unlent(this.state) + this.free;
  }

  /** More is out than the counter has (its limit was lowered): nothing that comes back may be held again. */
  get #isOverdrawn(): boolean {
    return this.state !== null && unlent(this.state) < 0n;
  }

  giveBack(amount: bigint): void {
    if (amount <= 0n) return;
    this.free -= amount;
    this.returned += amount;
    if (this.state) this.state.leased -= amount;
  }

  /** Its rules changed: gives back all that is free, and what comes free before Postgres was asked again. */
  revoke(): void {
    this.#isRevoked = true;
    this.#revocations++;
    this.giveBack(this.free);
  }

  /** Its rules changed, and Postgres has not replied under the new ones: until then what comes free goes back. */
  get isRevoked(): boolean {
    return this.#isRevoked;
  }

  /** Postgres may have given its slots to others: nothing is taken before it was asked again. */
  suspend(): void {
    this.#isSuspended = true;
  }

  /** What of a hold Postgres persists moves out of the lease, as if it were spent. */
  persist(held: bigint): void {
    this.held -= held;
    this.settled += held;
    this.#persisted += held;
  }

  /** What was not reported to Postgres, or null. Call `reported` when it has been. */
  report(): { returned: bigint; held: bigint } | null {
    if (this.returned === this.#reportedReturned && this.held === this.#reportedHeld) return null;
    return { returned: this.returned, held: this.held };
  }

  get unreported(): bigint {
    return this.returned - this.#reportedReturned;
  }

  reported(report: { returned: bigint; held: bigint }): void {
    if (report.returned > this.#reportedReturned) this.#reportedReturned = report.returned;
    this.#reportedHeld = report.held;
  }

  /** Nothing is out and nothing is left to report: the lease may be forgotten. */
  get isDone(): boolean {
    return this.held === 0n && this.free === 0n && this.report() === null;
  }
}

/** How fast an instance takes and spends under one rule, over all windows of it. Leases are sized by it. */
export class Demand implements LeaseDemand {
  holdsPerSecond = 0n;
  burnPerSecond = 0n;
  meanBound = 0n;
  lastUsedMs: number;
  #heldSinceTick = 0n;
  #spentSinceTick = 0n;

  constructor(madeAtMs: number) {
    this.lastUsedMs = madeAtMs;
  }

  taken(amount: bigint, atMs: number): void {
    this.lastUsedMs = atMs;
    this.#heldSinceTick += amount;
    this.meanBound = this.meanBound === 0n ? amount : this.meanBound + (amount - this.meanBound) / 16n;
  }

  spent(amount: bigint): void {
    this.#spentSinceTick += amount;
  }

  /**
   * Updates the rates; `elapsedMs` since the last tick. The burn rate rises within a second and falls within six: while
   * calls wait for a slow Postgres nothing is spent, and to take that for the end of the demand would ask for less and
   * less.
   */
  tick(elapsedMs: number): void {
    const elapsed = BigInt(Math.max(1, Math.round(elapsedMs)));
    this.holdsPerSecond = (3n * this.holdsPerSecond + (this.#heldSinceTick * 1000n) / elapsed) / 4n;
    const burn = (this.#spentSinceTick * 1000n) / elapsed;
    this.burnPerSecond += (burn - this.burnPerSecond) / (burn > this.burnPerSecond ? 8n : 64n);
    this.#heldSinceTick = 0n;
    this.#spentSinceTick = 0n;
  }
}

/** The leases of one pool, which together must cover a call, in the order in which they pay. */
export class LeasedPool implements PoolView {
  readonly id: string;
  /** Names the pool and its leases: grants that began or ended make another pool of the same id. */
  readonly key: string;
  readonly meter: Meter;
  readonly isRateLimit: boolean;
  readonly maxHold: bigint | null;
  readonly demand: Demand;
  readonly leases: readonly Lease[];
  readonly before: Lease | null;
  /** What it holds comes back by time, not by a call's end; all else that a call holds must outlive its instance. */
  readonly isPersistable: boolean;

  constructor(pool: Pool, demand: Demand, leases: readonly Lease[], before: Lease | null) {
    this.id = pool.id;
    this.key = leases.length === 1 ? pool.id : `${pool.id}/${leases.map(({ spec }) => spec.id).join()}`;
    this.meter = pool.meter;
    this.isRateLimit = pool.isRateLimit;
    this.maxHold = pool.maxHold;
    this.demand = demand;
    this.leases = leases;
    this.before = before;
    const spec = leases[0]?.spec;
    this.isPersistable = spec !== undefined && spec.rollingMs === null && spec.meter !== 'concurrency';
  }

  /**
   * What this instance may spend at once. Counters pay in order, so what lies beyond one that has money elsewhere must
   * not be touched: that money has to be fetched first.
   */
  get usable(): bigint {
    let usable = 0n;
    for (const lease of this.leases) {
      usable += lease.available;
      if (lease.room > lease.free) break;
    }
    return usable;
  }

  get room(): bigint {
    let room = 0n;
    for (const lease of this.leases) room += lease.room;
    return room;
  }

  get amount(): bigint {
    let amount = 0n;
    for (const lease of this.leases) amount += lease.state?.amount ?? lease.spec.amount;
    return amount;
  }

  get ceiling(): bigint {
    let ceiling = 0n;
    for (const lease of this.leases) ceiling += lease.state ? lease.ceiling : lease.spec.amount;
    return ceiling;
  }

  /** What may still be spent, overruns counted. */
  get left(): bigint {
    let left = 0n;
    for (const lease of this.leases) left += lease.state ? lease.left : lease.spec.amount;
    return left;
  }

  get remaining(): bigint {
    let remaining = 0n;
    for (const lease of this.leases) remaining += lease.remaining;
    return remaining;
  }
}

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
