/** How often a desk asks Postgres. While money is scarce the same question gets the same answer: ask less and less often. */
const SPACING_MS = 5;
const SCARCE_SPACING_MS = 20;
const SCARCE_SPACING_MAX_MS = 250;
const FAILED_SPACING_MS = 250;

/** All moments are on the monotonic clock. */
export class Pace {
  #spacingMs = SPACING_MS;
  #answeredMs = Number.NEGATIVE_INFINITY;
  #nextMs = Number.NEGATIVE_INFINITY;
  #failing = false;

  /** Milliseconds until the next question may be asked. */
  delayMs(nowMs: number): number {
    return Math.max(0, this.#nextMs - nowMs);
  }

  /** Postgres answered. `scarce`: everyone who still waits was asked for in vain. */
  answered(nowMs: number, scarce: boolean): void {
    this.#failing = false;
    this.#spacingMs = scarce
      ? Math.min(SCARCE_SPACING_MAX_MS, Math.max(SCARCE_SPACING_MS, this.#spacingMs * 2))
      : SPACING_MS;
    this.#answeredMs = nowMs;
    this.#nextMs = nowMs + this.#spacingMs;
  }

  failed(nowMs: number): void {
    this.#failing = true;
    this.#nextMs = nowMs + FAILED_SPACING_MS;
  }

  /** There is something new to ask for, which nothing is known against. */
  hurry(): void {
    if (!this.#failing) this.#nextMs = Math.min(this.#nextMs, this.#answeredMs + SPACING_MS);
  }

  /** A call's last chance: ask at once. */
  now(): void {
    this.#nextMs = Number.NEGATIVE_INFINITY;
  }
}
