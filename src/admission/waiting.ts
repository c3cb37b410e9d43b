/**
 * Waiting: one call in a team's queue, how much may wait in all, and how often Postgres is asked meanwhile.
 */
import type { Claim } from '../domain/quantities.ts';
import { type Denial, leastClaim, type ReservationRequest } from './decide.ts';
import type { Reservation } from './lease-table.ts';

/** Delays, so that a simulation can run the queue on a clock of its own. */
export interface Timers {
  /** Calls back once after the delay. Returns how to cancel it. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Nothing can be admitted just now, for a reason that is not a limit's. */
export interface Unavailable {
  readonly kind: 'unavailable';
}

/** The rules of the call's team changed while it waited: it must ask again, with its account as it is now. */
export interface Changed {
  readonly kind: 'changed';
}

export const UNAVAILABLE: Unavailable = { kind: 'unavailable' };
export const CHANGED: Changed = { kind: 'changed' };

export type QueueOutcome = Reservation | Denial | Unavailable | Changed;

/** A call in the queue. Its outcome comes once, and is kept until `onOutcome` is set. */
export class QueuedCall {
  readonly kind = 'queued';
  readonly request: ReservationRequest;
  readonly smallest: Claim;
  /** When it came, on the monotonic clock. */
  readonly sinceMs: number;
  /** Its wait is over: the next reply of Postgres decides. */
  isOverdue = false;
  isWaiting = true;
  cancelTimer = () => {};
  readonly #leave: (call: QueuedCall) => void;
  #outcome: QueueOutcome | null = null;
  #onOutcome: ((outcome: QueueOutcome) => void) | null = null;

  constructor(request: ReservationRequest, sinceMs: number, leave: (call: QueuedCall) => void) {
    this.request = request;
    this.smallest = leastClaim(request);
    this.sinceMs = sinceMs;
    this.#leave = leave;
  }

  set onOutcome(callback: (outcome: QueueOutcome) => void) {
    this.#onOutcome = callback;
    if (this.#outcome !== null) this.end(this.#outcome);
  }

  /** Hands the outcome over, or keeps it until there is a callback. */
  end(outcome: QueueOutcome): void {
    this.#outcome = this.#onOutcome === null ? outcome : null;
    this.#onOutcome?.(outcome);
  }

  /** The caller does not wait any longer. Returns an outcome that was not handed over; null: there was none. */
  leave(): QueueOutcome | null {
    this.#leave(this);
    const outcome = this.#outcome;
    this.#outcome = null;
    return outcome;
  }
}

/** How much may wait in this instance: calls keep memory while they wait, so their number and bytes are bounded. */
export class QueueCapacity {
  readonly #maxCalls: number;
  readonly #maxBytes: number;
  calls = 0;
  #bytes = 0;

  constructor(maxCalls: number, maxBytes: number) {
    this.#maxCalls = maxCalls;
    this.#maxBytes = maxBytes;
  }

  /** Returns whether there was room for the call; if so, `leave` must follow once. */
  enter(bytes: number): boolean {
    if (this.calls >= this.#maxCalls || this.#bytes + bytes > this.#maxBytes) return false;
    this.calls++;
    this.#bytes += bytes;
    return true;
  }

  leave(bytes: number): void {
    this.calls--;
    this.#bytes -= bytes;
  }
}

const SPACING_MS = 5;
const CONTENDED_SPACING_MS = 20;
const CONTENDED_SPACING_MAX_MS = 250;
const FAILED_SPACING_MS = 250;

/** How often a queue asks Postgres: less and less while the same request gets the same reply. Monotonic clock. */
export class LeaseRequestBackoff {
  #spacingMs = SPACING_MS;
  #repliedMs = Number.NEGATIVE_INFINITY;
  #nextMs = Number.NEGATIVE_INFINITY;
  #isFailing = false;

  /** Milliseconds until the next request may be sent. */
  delayMs(nowMs: number): number {
    return Math.max(0, this.#nextMs - nowMs);
  }

  /** Postgres replied. `isContended`: every call that still waits was asked for in vain. */
  replied(nowMs: number, isContended: boolean): void {
    this.#isFailing = false;
    this.#spacingMs = isContended
      ? Math.min(CONTENDED_SPACING_MAX_MS, Math.max(CONTENDED_SPACING_MS, this.#spacingMs * 2))
      : SPACING_MS;
    this.#repliedMs = nowMs;
    this.#nextMs = nowMs + this.#spacingMs;
  }

  failed(nowMs: number): void {
    this.#isFailing = true;
    this.#nextMs = nowMs + FAILED_SPACING_MS;
  }

  /** There is something new to ask for, which nothing is known against. */
  hurry(): void {
    if (!this.#isFailing) this.#nextMs = Math.min(this.#nextMs, this.#repliedMs + SPACING_MS);
  }

  /** A call's last chance: the next request goes out at once. */
  now(): void {
    this.#nextMs = Number.NEGATIVE_INFINITY;
  }
}
