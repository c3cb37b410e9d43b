/**
 * Trust: whether a `compatible` upstream keeps an output limit, by operation and model, as probes and calls have seen.
 * Owns: what is known, and when to look again. Does not own: how it is found out (probe.ts), nor the timer (jobs).
 * Invariants: what was not seen is not trusted; one call that passed its limit ends the trust until the next daily probe.
 */
import { DAY_MS } from '../domain/window.ts';

/** `kept`: a limit was kept, streamed and not. `ignored`: it was not. `unknown`: no probe has come to an end. */
export const LIMIT_STATES = ['kept', 'ignored', 'unknown'] as const;
export type LimitState = (typeof LIMIT_STATES)[number];

/** What a probe has found. */
export interface ProbeResult {
  state: LimitState;
  /** Why, in words for an administrator. */
  reason: string;
  /** The usage of a response with several choices covers them all. */
  countsChoices: boolean;
  /** It reports usage, streamed and not. */
  reportsUsage: boolean;
}

/** What is known of one operation with one model. */
export interface KnownLimit extends ProbeResult {
  operation: string;
  model: string;
  /** Milliseconds since the epoch; null: never. */
  probedAtMs: number | null;
}

interface Entry extends KnownLimit {
  nextAtMs: number;
  /** How long after the last probe the next one comes, while none has come to an end. */
  retryMs: number;
  violatedAtMs: number;
}

const RETRY_MS_LEAST = 15_000;
const RETRY_MS_MOST = 3_600_000;
/** Names of models that have a price; further ones stay untrusted. */
const ENTRIES_MAX = 1_000;

export class LimitTrust {
  readonly #entries = new Map<string, Entry>();
  readonly #nowMs: () => number;

  /** @param nowMs milliseconds since the epoch */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Whether calls of this kind keep their limit. What is asked for the first time is probed soon. */
  keeps(operation: string, model: string): boolean {
    return this.#entry(operation, model)?.state === 'kept';
  }

  /** Whether the usage of a response with several choices covers them all. */
  countsChoices(operation: string, model: string): boolean {
    return this.#entry(operation, model)?.countsChoices ?? false;
  }

  /** Whether responses report their usage; as long as nothing was seen, they do. */
  reportsUsage(operation: string, model: string): boolean {
    return this.#entry(operation, model)?.reportsUsage ?? true;
  }

  /** A whole answer came without usage. */
  sawNoUsage(operation: string, model: string): void {
    const entry = this.#entry(operation, model);
    if (entry !== null) entry.reportsUsage = false;
  }

  /** A call wrote more than the limit that it was sent with. */
  violated(operation: string, model: string): void {
    const entry = this.#entry(operation, model);
    if (entry === null) return;
    const nowMs = this.#nowMs();
    entry.state = 'ignored';
    entry.reason = 'a call wrote more than its limit';
    entry.violatedAtMs = nowMs;
    entry.nextAtMs = nowMs + DAY_MS;
  }

  /** What to probe now. */
  due(): { operation: string; model: string }[] {
    const nowMs = this.#nowMs();
    return [...this.#entries.values()].filter(({ nextAtMs }) => nextAtMs <= nowMs);
  }

  /** Takes a probe that was begun at `startedMs`. */
  learn(operation: string, model: string, result: ProbeResult, startedMs: number): void {
    const entry = this.#entry(operation, model);
    if (entry === null) return;
    const nowMs = this.#nowMs();
    entry.probedAtMs = nowMs;
    if (result.state === 'unknown') {
      // What was seen before holds on: a server that restarts is the same one.
      if (entry.state === 'unknown') entry.reason = result.reason;
      entry.nextAtMs = nowMs + entry.retryMs;
      entry.retryMs = Math.min(entry.retryMs * 2, RETRY_MS_MOST);
      return;
    }
    entry.nextAtMs = nowMs + DAY_MS;
    entry.retryMs = RETRY_MS_LEAST;
    // A call that disobeyed meanwhile says more than the probe.
    if (entry.violatedAtMs < startedMs) Object.assign(entry, result);
  }

  /** All that is known, in the order in which it was asked for. */
  list(): KnownLimit[] {
    return [...this.#entries.values()].map(
      ({ operation, model, state, reason, countsChoices, reportsUsage, probedAtMs }) => {
        return { operation, model, state, reason, countsChoices, reportsUsage, probedAtMs };
      },
    );
  }

  /** How many there are in each state. */
  counts(): Record<LimitState, number> {
    const counts = { kept: 0, ignored: 0, unknown: 0 };
    for (const { state } of this.#entries.values()) counts[state]++;
    return counts;
  }

  #entry(operation: string, model: string): Entry | null {
    const key = `${operation} ${model}`;
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= ENTRIES_MAX) return null;
    const entry: Entry = {
      operation,
      model,
      state: 'unknown',
      reason: 'not probed yet',
      countsChoices: false,
      reportsUsage: true,
      probedAtMs: null,
      nextAtMs: 0,
      retryMs: RETRY_MS_LEAST,
      violatedAtMs: Number.NEGATIVE_INFINITY,
    };
    this.#entries.set(key, entry);
    return entry;
  }
}
