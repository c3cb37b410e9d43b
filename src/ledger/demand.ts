/** Demand: how fast an instance takes and spends under one rule, over all windows of it. By it leases are sized. */
import { type LeaseDemand, leaseAim } from '../domain/admission.ts';

export class Demand {
  #holdsPerSecond = 0n;
  #burnPerSecond = 0n;
  #meanBound = 0n;
  #heldSinceTick = 0n;
  #settledSinceTick = 0n;
  lastUsedMs: number;

  constructor(madeAtMs: number) {
    this.lastUsedMs = madeAtMs;
  }

  taken(amount: bigint, atMs: number): void {
    this.lastUsedMs = atMs;
    this.#heldSinceTick += amount;
    this.#meanBound = this.#meanBound === 0n ? amount : this.#meanBound + (amount - this.#meanBound) / 16n;
  }

  spent(amount: bigint): void {
    this.#settledSinceTick += amount;
  }

  /**
   * Updates the rates; `elapsedMs` since the last tick. What is spent rises within a second and falls within six: while
   * calls wait for a slow Postgres nothing is spent, and who took that for the end of the demand would ask for less and
   * less.
   */
  tick(elapsedMs: number): void {
    const perSecond = (amount: bigint) => (amount * 1000n) / BigInt(Math.max(1, Math.round(elapsedMs)));
    this.#holdsPerSecond = (3n * this.#holdsPerSecond + perSecond(this.#heldSinceTick)) / 4n;
    const burn = perSecond(this.#settledSinceTick);
    const weight = burn > this.#burnPerSecond ? 8n : 64n;
    this.#burnPerSecond += (burn - this.#burnPerSecond) / weight;
    this.#heldSinceTick = 0n;
    this.#settledSinceTick = 0n;
  }

  get rates(): LeaseDemand {
    return {
      holdsPerSecond: this.#holdsPerSecond,
      burnPerSecond: this.#burnPerSecond,
      meanBound: this.#meanBound,
    };
  }

  aim(remaining: bigint, instances: number, isFlow: boolean): bigint {
    return leaseAim(this.rates, remaining, instances, isFlow);
  }
}
