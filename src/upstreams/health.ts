/**
 * Health: how one of several upstreams does, as its calls have seen. Owns: whether new calls go there, when one is tried
 * again, how long it takes to respond, and the totals of its calls by team. Does not own: which of the healthy ones a call takes (routing.ts), nor
 * what a failure costs. It knows this instance alone. Times are milliseconds on the monotonic clock.
 */
import type { TeamId } from '../domain/ids.ts';
import type { PicoUsd } from '../domain/money.ts';
import { OUTCOMES, type OutcomeName } from '../domain/outcome.ts';
import type { HealthState } from '../domain/upstream.ts';
import type { LimitTrust } from './trust.ts';

/** So many failures in a row, and new calls go elsewhere. */
const FAILURES = 3;
/** How long until one call is tried again; it doubles with each try that fails. */
const AGAIN_MS = 2_000;
const AGAIN_MAX_MS = 60_000;
/** The longest that an upstream's own wish to be left alone is kept. */
const REST_MAX_MS = 30_000;
/** Weight of a new call in the average of the time to the first byte. */
const NEWEST = 0.1;
/** The upstream is stuck when so many calls wait: one alone may be a long answer. */
const STUCK_CALLS = 3;
/** What was measured longer ago says nothing any more: one call finds out. */
const STALE_MS = 10_000;

/** What is seen of one of several upstreams now, by this instance. */
export interface UpstreamReading {
  name: string;
  kind: string;
  baseUrl: string;
  /** Patterns of models, and those that have another name there; null: all models. */
  models: readonly string[] | null;
  modelNames: Readonly<Record<string, string>>;
  /** Null: all teams. */
  teams: readonly string[] | null;
  weight: number;
  pricePercent: number;
  health: UpstreamHealth;
  /** Whether it keeps output limits; null: it does. */
  trust: LimitTrust | null;
  connectionsUsed: number;
  connectionsMax: number;
  /** Calls of all teams, and of so many teams, go one at a time. */
  isBreakerOpen: boolean;
  openTeams: number;
}

/** What became of calls that were sent to an upstream. */
export interface CallTotals {
  /** By outcome, and what they were charged. */
  readonly calls: Record<OutcomeName, number>;
  cost: PicoUsd;
  /** Calls that were sent elsewhere after they had failed here at no cost. */
  movedOn: number;
}

function noCalls(): CallTotals {
  return { calls: { settled: 0, voided: 0, unknown: 0 }, cost: 0n, movedOn: 0 };
}

export class UpstreamHealth {
  readonly #totals = new Map<TeamId, CallTotals>();
  #failuresInARow = 0;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #againMs = AGAIN_MS;
  /** A call was sent since it is down, to find out; nothing was heard of it yet. */
  #isTried = false;
  #firstByteMs: number | null = null;
  #sentMs = Number.NEGATIVE_INFINITY;
  #respondedMs = Number.NEGATIVE_INFINITY;
  /** When the calls that wait for their first byte were sent, the oldest first. */
  readonly #waiting = new Map<object, number>();

  /** Returns the totals of a team, to be counted on. */
  totalsOf(teamId: TeamId): CallTotals {
    let totals = this.#totals.get(teamId);
    if (totals === undefined) {
      totals = noCalls();
      this.#totals.set(teamId, totals);
    }
    return totals;
  }

  /** Sums the totals of some teams; undefined: of all. */
  sumOf(teamIds: readonly TeamId[] | undefined): CallTotals {
    const sum = noCalls();
    for (const teamId of teamIds ?? this.#totals.keys()) {
      const totals = this.#totals.get(teamId);
      if (totals === undefined) continue;
      for (const outcome of OUTCOMES) sum.calls[outcome] += totals.calls[outcome];
      sum.cost += totals.cost;
      sum.movedOn += totals.movedOn;
    }
    return sum;
  }

  get state(): HealthState {
    return this.#failuresInARow >= FAILURES ? 'down' : 'up';
  }

  /** The average time to the first byte; null: no call had one yet. */
  get firstByteMs(): number | null {
    return this.#firstByteMs;
  }

  get waitingCalls(): number {
    return this.#waiting.size;
  }

  /** Whether new calls may go there. Of one that is down a call now and then. */
  mayTake(nowMs: number): boolean {
    return nowMs >= this.#restUntilMs;
  }

  /** A call was chosen to go there: of one that is down the next one goes later. */
  chosen(nowMs: number): void {
    if (this.state === 'up') return;
    this.#restUntilMs = nowMs + this.#againMs;
    this.#isTried = true;
  }

  /** How long a call waits for its first byte, by the calls before it and those that wait now; null: not known. */
  expectedMs(nowMs: number): number | null {
    if (this.#waiting.size < STUCK_CALLS) return nowMs - this.#sentMs > STALE_MS ? null : this.#firstByteMs;
    let number = 0;
    for (const sentMs of this.#waiting.values())
      if (++number === STUCK_CALLS) return Math.max(this.#firstByteMs ?? 0, nowMs - sentMs);
    return this.#firstByteMs;
  }

  sent(call: object, nowMs: number): void {
    this.#sentMs = nowMs;
    this.#waiting.set(call, nowMs);
  }

  responded(call: object, nowMs: number): void {
    const sentMs = this.#waiting.get(call);
    if (sentMs === undefined) return;
    this.#waiting.delete(call);
    const tookMs = nowMs - sentMs;
    const isStale = this.#firstByteMs === null || nowMs - this.#respondedMs > STALE_MS;
    this.#respondedMs = nowMs;
    this.#firstByteMs = isStale ? tookMs : this.#average(tookMs);
  }

  #average(tookMs: number): number {
    const before = this.#firstByteMs ?? tookMs;
    return before + (tookMs - before) * NEWEST;
  }

  ended(call: object): void {
    this.#waiting.delete(call);
  }

  succeeded(): void {
    this.#failuresInARow = 0;
    this.#againMs = AGAIN_MS;
    this.#isTried = false;
    this.#restUntilMs = Number.NEGATIVE_INFINITY;
  }

  failed(nowMs: number): void {
    this.#failuresInARow++;
    if (this.state === 'up') return;
    // Of a busy one that dies all calls fail at once: only the first ones say something new, then those that are tried.
    if (this.#failuresInARow > FAILURES && !this.#isTried) return;
    this.#isTried = false;
    this.#restUntilMs = nowMs + this.#againMs;
    this.#againMs = Math.min(this.#againMs * 2, AGAIN_MAX_MS);
  }

  /** The upstream said that it wants no calls for a while. */
  rests(forMs: number, nowMs: number): void {
    this.#restUntilMs = Math.max(this.#restUntilMs, nowMs + Math.min(forMs, REST_MAX_MS));
  }
}
