/**
 * One lease: what a counter lent to this instance, spent here in memory. Invariant, always:
 * granted = returned + settled + held + free. The first three only grow, and Postgres keeps the same sums.
 */
import { type CounterState, type LeaseDemand, unlent } from '../domain/admission.ts';
import type { CounterSpec } from '../domain/budget.ts';
import type { LeasedCounter } from '../store/leases.ts';

const ZERO_STATE: CounterState = { amount: 0n, settled: 0n, held: 0n, leased: 0n };

export class Lease {
  readonly spec: CounterSpec;
  granted = 0n;
  returned = 0n;
  settled = 0n;
  held = 0n;
  free = 0n;
  /** The counter as Postgres last told it; null: never asked. */
  state: CounterState | null = null;
  /** This instance's settled money that Postgres had counted when it told `state`. */
  #settledInState = 0n;
  /** When it last paid for a call, on the monotonic clock; at first when it was made. */
  lastUsedMs: number;
  /** Its rules changed: what comes free goes back until Postgres has answered under the new ones. */
  #recalled = false;
  #recalledSinceAsked = false;
  #holdsPerSecond = 0n;
  #burnPerSecond = 0n;
  #meanBound = 0n;
  #heldSinceTick = 0n;
  #settledSinceTick = 0n;
  #reportedReturned = 0n;
  #reportedHeld = 0n;

  constructor(spec: CounterSpec, madeAtMs: number) {
    this.spec = spec;
    this.lastUsedMs = madeAtMs;
  }

  take(amount: bigint, atMs: number): void {
    this.free -= amount;
    this.held += amount;
    this.lastUsedMs = atMs;
    this.#heldSinceTick += amount;
    this.#meanBound = this.#meanBound === 0n ? amount : this.#meanBound + (amount - this.#meanBound) / 16n;
  }

  /** Ends what a call held: `spent` of it (at most `held`) is gone, the rest is free again. */
  release(held: bigint, spent: bigint): void {
    this.held -= held;
    this.settled += spent;
    this.free += held - spent;
    this.#settledSinceTick += spent;
    if (this.#recalled) this.giveBack(this.free);
  }

  /** A question about it is on its way: what was decided before that moment, its answer knows. */
  asked(): void {
    this.#recalledSinceAsked = false;
  }

  /** Takes over what Postgres says; sums, so an answer that was lost is made good by the next. */
  learn(counter: LeasedCounter): void {
    if (this.state === null && this.granted === 0n) {
      this.returned = counter.lease.returned;
      this.settled = counter.lease.settled;
      this.granted = counter.lease.returned + counter.lease.settled;
      this.#reportedReturned = this.returned;
    }
    this.free += counter.lease.granted - this.granted;
    this.granted = counter.lease.granted;
    this.#settledInState = counter.lease.settled;
    const { amount, settled, held } = counter;
    this.state = { amount, settled, held, leased: counter.leased - (this.returned - counter.lease.returned) };
    if (this.#recalledSinceAsked) this.giveBack(this.free);
    else this.#recalled = false;
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
    return amount - settled - (this.settled - this.#settledInState);
  }

  get demand(): LeaseDemand {
    return {
      holdsPerSecond: this.#holdsPerSecond,
      burnPerSecond: this.#burnPerSecond,
      meanBound: this.#meanBound,
    };
  }

  /** What the counter has left for this instance and all others. */
  get remaining(): bigint {
    return this.state === null ? this.spec.amount : unlent(this.state) + this.free;
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
    this.#recalledSinceAsked = true;
    this.giveBack(this.free);
  }

  /** Updates the rates; `elapsedMs` since the last tick. */
  tick(elapsedMs: number): void {
    const perSecond = (amount: bigint) => (amount * 1000n) / BigInt(Math.max(1, Math.round(elapsedMs)));
    this.#holdsPerSecond = (3n * this.#holdsPerSecond + perSecond(this.#heldSinceTick)) / 4n;
    this.#burnPerSecond = (7n * this.#burnPerSecond + perSecond(this.#settledSinceTick)) / 8n;
    this.#heldSinceTick = 0n;
    this.#settledSinceTick = 0n;
  }

  /** What Postgres has not been told yet, or null. Call `reported` when it has been. */
  report(): { returned: bigint; held: bigint } | null {
    if (this.returned === this.#reportedReturned && this.held === this.#reportedHeld) return null;
    return { returned: this.returned, held: this.held };
  }

  reported(report: { returned: bigint; held: bigint }): void {
    this.#reportedReturned = report.returned;
    this.#reportedHeld = report.held;
  }

  /** Nothing is out and nothing is left to tell: the lease may be forgotten. */
  get done(): boolean {
    return this.held === 0n && this.free === 0n && this.report() === null;
  }
}
