/**
 * A lease: what one counter lent to one instance, spent in memory, and how much an instance wants to keep. Invariant,
 * always: granted = returned + settled + held + free. The first three only grow, and Postgres keeps the same sums.
 * The constants come from a simulation of the protocol (src/admission/README.md).
 */
import { type CounterSpec, isPart } from './counter.ts';
import { type CounterState, unlent } from './quantities.ts';

/** A counter after the request, and this instance's lease on it as sums that only grow. */
export interface LeasedCounter extends CounterState {
  id: string;
  lease: { granted: bigint; returned: bigint; settled: bigint };
  /** More of it was requested than is left. */
  isContended?: boolean;
  /** It was not made, because its limit counts as many subjects as it may. */
  isAbsent?: boolean;
  /** Of a rolling window: until something of it comes back. */
  freesInMs?: number;
}

/** How long a counter stays marked as contended after a request that could not be met. */
export const CONTENDED_MS = 1000;

/** One counter's lease, as far as decisions need it. Amounts are pico-USD, or units times 10^12. */
export interface LeaseView {
  readonly spec: CounterSpec;
  /** Lent to this instance and not held. */
  readonly free: bigint;
  /** What of it calls may take now. */
  readonly available: bigint;
  /** What the counter can still give, lent to this instance or not. */
  readonly room: bigint;
  /** Given back here, and not reported to Postgres. */
  readonly unreported: bigint;
  /** The counter was not made, because its limit counts as many subjects as it may. */
  readonly isAbsent: boolean;
  /** Milliseconds until something of a rolling window comes back; null: not known, or no such window. */
  readonly freesInMs: number | null;
  /** Of a rate limit: until then it counts as full without a request to Postgres (monotonic clock). */
  readonly fullUntilMs: number;
  /** Until then others lack this counter (monotonic clock). */
  readonly contendedUntilMs: number;
}

/** How fast an instance takes and spends under one rule; money per second. */
export interface LeaseDemand {
  readonly holdsPerSecond: bigint;
  readonly burnPerSecond: bigint;
  readonly meanBound: bigint;
}

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

  /**
   * What may still be spent at best, once all that is only held came back: what was settled here since counts too. Of a counter
   * that an overrun has overdrawn nothing: what other counters of its pool have left is left all the same.
   */
  get ceiling(): bigint {
    const unspent = this.#unspent;
    return unspent > 0n ? unspent : 0n;
  }

  get #unspent(): bigint {
    const spentSince = this.settled - this.#persisted - this.#spentInState;
    return (this.state === null ? 0n : this.state.amount - this.state.settled) - spentSince;
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
    return this.#unspent - (this.#overrun - this.#overrunInState);
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

/** What an instance keeps of: a rate limit (a rolling window's bucket, slots); one of the end users or values that a limit counts; else a budget. */
export type LeaseKind = 'budget' | 'part' | 'rate_limit';

/** All that is free goes back after so long without a call. The next call of an agent comes when it has done with the last answer. */
export const IDLE_MS: Readonly<Record<LeaseKind, number>> = {
  budget: 10_000,
  part: 60_000,
  rate_limit: 10_000,
};

export function leaseKindOf(isRateLimit: boolean, spec: CounterSpec | undefined): LeaseKind {
  if (isRateLimit) return 'rate_limit';
  return spec !== undefined && isPart(spec.subjectType) ? 'part' : 'budget';
}

/**
 * How much unspent capacity an instance wants to keep: a quarter second of new holds, five seconds of burn and
 * four mean bounds, but at most 1/16 of its share of what is left, so that no replica starves the others. Of a rate limit
 * it is half a second of new holds: more would lie idle and be missed elsewhere. Of a part, whose calls are few, four mean
 * bounds may be up to half of the share: with fifty calls for a run every call would ask otherwise.
 */
export function leaseAim(
  demand: LeaseDemand,
  remaining: bigint,
  instances: number,
  kind: LeaseKind = 'budget',
): bigint {
  const aim =
    kind === 'rate_limit'
      ? demand.holdsPerSecond / 2n
      : demand.holdsPerSecond / 4n + 5n * demand.burnPerSecond + 4n * demand.meanBound;
  const share = remaining <= 0n ? 0n : remaining / BigInt(instances);
  const most = share / 16n;
  if (aim <= most) return aim;
  const four = 4n * demand.meanBound;
  if (kind !== 'part' || four <= most) return most;
  return four < share / 2n ? four : share / 2n;
}
