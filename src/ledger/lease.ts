/**
 * One lease: what a counter lent to this instance, spent here in memory. Invariant, always:
 * granted = returned + settled + held + free. The first three only grow, and Postgres keeps the same sums.
 */
import { type CounterState, unlent } from '../domain/admission.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { LeasedCounter } from '../store/hot/leases.ts';
import type { Demand } from './demand.ts';

const ZERO_STATE: CounterState = { amount: 0n, settled: 0n, held: 0n, leased: 0n };

/** What a lease knew when Postgres was asked about it. */
export interface Asked {
  /** How often its rules had changed. */
  recalls: number;
  /** What Postgres had written down on its own. */
  promoted: bigint;
}

export class Lease {
  spec: CounterSpec;
  demand: Demand;
  granted = 0n;
  returned = 0n;
  settled = 0n;
  held = 0n;
  /** Below zero only for slots that Postgres took back from an instance which it had not heard of (see `learn`). */
  free = 0n;
  /** The counter as Postgres last told it; null: never asked. */
  state: CounterState | null = null;
  /** A new counter of a subject that has as many as it may have: it was not made. */
  isAbsent = false;
  /** Milliseconds from the answer until something of a rolling window leaves it; null: unknown, or no such window. */
  freesInMs: number | null = null;
  /** Of the calls that ended here, what Postgres had counted when it told `state`. */
  #spentInState = 0n;
  /** Of `settled`, what Postgres has written down on its own: not spent yet. */
  #promoted = 0n;
  /** When it last paid for a call, on the monotonic clock; at first when it was made. */
  lastUsedMs: number;
  /** When a call that it paid for last ended, on the monotonic clock. */
  lastEndedMs = Number.NEGATIVE_INFINITY;
  /** Somebody was refused for want of this counter a moment ago: until then nobody keeps more than he needs. */
  scarceUntilMs = Number.NEGATIVE_INFINITY;
  /** Of a limit on flow: until then it is taken for full without asking Postgres. */
  fullUntilMs = Number.NEGATIVE_INFINITY;
  #suspended = false;
  #recalled = false;
  #recalls = 0;
  #reportedReturned = 0n;
  #reportedHeld = 0n;

  constructor(spec: CounterSpec, demand: Demand, madeAtMs: number) {
    this.spec = spec;
    this.demand = demand;
    this.lastUsedMs = madeAtMs;
  }

  /** What calls may take now. */
  get available(): bigint {
    return this.#suspended ? 0n : this.free;
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
    if (this.#recalled || this.#isOverdrawn) this.giveBack(this.free);
  }

  /** What is known when Postgres is asked; the answer knows no less. */
  get asked(): Asked {
    return { recalls: this.#recalls, promoted: this.#promoted };
  }

  /**
   * Takes over what Postgres says; sums, so an answer that was lost is made good by the next.
   * @param asked what was known when Postgres was asked
   */
  learn(counter: LeasedCounter, atMs: number, asked = this.asked): void {
    const { lease } = counter;
    const isOld = asked.recalls < this.#recalls;
    // Two teams ask for the organization's counters: an answer that was overtaken says nothing new.
    if (lease.granted < this.granted || (lease.granted === this.granted && isOld && !this.#recalled)) return;
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
    this.#spentInState = lease.settled - asked.promoted;
    const { amount, settled, held } = counter;
    this.state = { amount, settled, held, leased: counter.leased - (this.returned - lease.returned) };
    this.isAbsent = counter.isAbsent ?? false;
    this.freesInMs = counter.freesInMs ?? null;
    if (counter.isScarce) this.scarceUntilMs = atMs + SCARCE_MS;
    this.#suspended = false;
    if (isOld || this.#isOverdrawn) this.giveBack(this.free);
    if (!isOld) this.#recalled = false;
  }

  /** What the counter can still give to somebody, lent to this instance or not. */
  get room(): bigint {
    if (this.state === null) return this.spec.amount;
    const left = unlent(this.state);
    return this.free + (left > 0n ? left : 0n);
  }

  /** What may still be spent at best, once all that is only held came back: what we settled since counts too. */
  get ceiling(): bigint {
    const { amount, settled } = this.state ?? ZERO_STATE;
    return amount - settled - (this.settled - this.#promoted - this.#spentInState);
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
    if (this.state) this.state = { ...this.state, leased: this.state.leased - amount };
  }

  /** Its rules changed: gives back all that is free, and what comes free before Postgres was asked again. */
  recall(): void {
    this.#recalled = true;
    this.#recalls++;
    this.giveBack(this.free);
  }

  /** Its rules changed, and Postgres has not answered under the new ones: until then what comes free goes back. */
  get recalled(): boolean {
    return this.#recalled;
  }

  /** Postgres may have given its slots to others: nothing is taken before it was asked again. */
  suspend(): void {
    this.#suspended = true;
  }

  /** What of a hold Postgres has written down on its own moves out of the lease, as if it were spent. */
  promote(held: bigint): void {
    this.held -= held;
    this.settled += held;
    this.#promoted += held;
  }

  /** What Postgres has not been told yet, or null. Call `reported` when it has been. */
  report(): { returned: bigint; held: bigint } | null {
    if (this.returned === this.#reportedReturned && this.held === this.#reportedHeld) return null;
    return { returned: this.returned, held: this.held };
  }

  /** Of what it gave back, how much Postgres has not been told of. */
  get unreported(): bigint {
    return this.returned - this.#reportedReturned;
  }

  reported(report: { returned: bigint; held: bigint }): void {
    if (report.returned > this.#reportedReturned) this.#reportedReturned = report.returned;
    this.#reportedHeld = report.held;
  }

  /** Nothing is out and nothing is left to tell: the lease may be forgotten. */
  get done(): boolean {
    return this.held === 0n && this.free === 0n && this.report() === null;
  }
}

/** How long a counter stays marked after a request that could not be met. */
export const SCARCE_MS = 1000;
