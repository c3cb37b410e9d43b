/** Attempts: how often an address may give a wrong key. Keys cannot be guessed; this keeps the log and Postgres quiet. */
import { LRUCache } from 'lru-cache';

const WINDOW_MS = 60_000;
const ADDRESSES_MAX = 10_000;

export class Attempts {
  readonly #failures = new LRUCache<string, { count: number; sinceMs: number }>({ max: ADDRESSES_MAX });
  readonly #failuresMax: number;
  readonly #nowMs: () => number;

  /** @param failuresMax so many in a minute, then it must wait until that is over */
  constructor(failuresMax: number, nowMs: () => number) {
    this.#failuresMax = failuresMax;
    this.#nowMs = nowMs;
  }

  /** How long the address must wait before it may try again, in milliseconds; 0: it may now. */
  waitMs(address: string): number {
    const failed = this.#failures.get(address);
    if (!failed || failed.count < this.#failuresMax) return 0;
    return Math.max(0, failed.sinceMs + WINDOW_MS - this.#nowMs());
  }

  failed(address: string): void {
    const nowMs = this.#nowMs();
    const known = this.#failures.get(address);
    if (known && nowMs < known.sinceMs + WINDOW_MS) known.count++;
    else this.#failures.set(address, { count: 1, sinceMs: nowMs });
  }
}
