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

  /** Updates the rates; `elapsedMs` since the last tick. */
  tick(elapsedMs: number): void {
    const perSecond = (amount: bigint) => (amount * 1000n) / BigInt(Math.max(1, Math.round(elapsedMs)));
    this.#holdsPerSecond = (3n * this.#holdsPerSecond + perSecond(this.#heldSinceTick)) / 4n;
    this.#burnPerSecond = (7n * this.#burnPerSecond + perSecond(this.#settledSinceTick)) / 8n;
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
