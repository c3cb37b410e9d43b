/**
 * What the teams share: places in the queues, bytes, connections to the upstream, and the free money of one budget among
 * its calls. Owns: how much of it one team may have. Invariant: what was taken is given back once. Monotonic clock.
 */
import type { TeamId } from '../domain/ids.ts';

/**
 * Something that the teams share (connections, places, bytes), of which none can take all: a team may have as much as it
 * leaves free. Alone it gets half, beside another that wants all a third, and a team that has nothing yet finds some free. It
 * is how switches share their memory among queues (Choudhury and Hahne, Dynamic queue length thresholds, 1998).
 */
export class FairShare {
  readonly total: number;
  used = 0;
  readonly #byTeam = new Map<string, number>();

  constructor(total: number) {
    this.total = total;
  }

  /** Takes an amount if the team's share allows it; returns whether. If so, `give` must follow once. */
  take(teamId: string, amount = 1): boolean {
    if (amount === 0) return true;
    const left = this.total - this.used - amount;
    const own = this.#byTeam.get(teamId) ?? 0;
    if (left < 0 || (own > 0 && own + amount > left)) return false;
    this.used += amount;
    this.#byTeam.set(teamId, own + amount);
    return true;
  }

  give(teamId: string, amount = 1): void {
    this.used -= amount;
    const own = (this.#byTeam.get(teamId) ?? 0) - amount;
    if (own > 0) this.#byTeam.set(teamId, own);
    else this.#byTeam.delete(teamId);
  }
}

/** How much may wait in this instance: calls keep memory while they wait, so their number and bytes are bounded. */
export class QueueCapacity {
  readonly #calls: FairShare;
  readonly #bytes: FairShare;

  constructor(maxCalls: number, maxBytes: number) {
    this.#calls = new FairShare(maxCalls);
    this.#bytes = new FairShare(maxBytes);
  }

  get calls(): number {
    return this.#calls.used;
  }

  /** Returns whether there was room for a call of the team; if so, `leave` must follow once. */
  enter(teamId: TeamId, bytes: number): boolean {
    if (!this.#calls.take(teamId)) return false;
    if (this.#bytes.take(teamId, bytes)) return true;
    this.#calls.give(teamId);
    return false;
  }

  leave(teamId: TeamId, bytes: number): void {
    this.#calls.give(teamId);
    this.#bytes.give(teamId, bytes);
  }
}

/** Keys of which the last turn is remembered; beyond it those whose turn is over are forgotten. */
const PACED_MAX = 10_000;

/** Calls that go one after another at a rate. Time is an argument, in milliseconds of any clock that only grows. */
export class Paces {
  readonly #lastMs = new Map<string, number>();

  /** Returns how long a call waits for its turn, which is taken then; null: longer than it may, and no turn is taken. */
  take(key: string, intervalMs: number, nowMs: number, mostMs: number): number | null {
    const lastMs = this.#lastMs.get(key);
    const turnMs = lastMs === undefined ? nowMs : Math.max(lastMs + intervalMs, nowMs);
    if (turnMs - nowMs > mostMs) return null;
    if (this.#lastMs.size >= PACED_MAX)
      for (const [known, turn] of this.#lastMs) if (turn < nowMs) this.#lastMs.delete(known);
    this.#lastMs.set(key, turnMs);
    return turnMs - nowMs;
  }
}

/** A call that wants a connection. */
export interface Turn {
  readonly teamId: string;
  /** Called once, with the connection taken, when the call had to wait. */
  onTurn(): void;
}

/** Calls that may wait, for each connection. */
const WAITING_PER_CONNECTION = 4;

/**
 * Who may use a connection to the upstream: each team's share of them, and whose turn it is. No more calls are under way
 * than there are connections, so that the wait for one is here, where it has an end and a measure.
 */
export class ConnectionShares {
  readonly #connections: FairShare;
  readonly #places: FairShare;
  readonly #waiting = new Map<string, Turn[]>();
  /** How long a call may wait. */
  readonly timeoutMs: number;

  constructor(connections: number, timeoutMs: number) {
    this.#connections = new FairShare(connections);
    this.#places = new FairShare(connections * WAITING_PER_CONNECTION);
    this.timeoutMs = timeoutMs;
  }

  get used(): number {
    return this.#connections.used;
  }

  get max(): number {
    return this.#connections.total;
  }

  get waiting(): number {
    return this.#places.used;
  }

  /** `taken`: the call may be sent, and `release` must follow. `waits`: `onTurn` or `leave` follows. `busy`: neither. */
  enter(turn: Turn): 'taken' | 'waits' | 'busy' {
    const { teamId } = turn;
    const ahead = this.#waiting.get(teamId);
    if (ahead === undefined && this.#connections.take(teamId)) return 'taken';
    if (this.timeoutMs === 0 || !this.#places.take(teamId)) return 'busy';
    if (ahead === undefined) this.#waiting.set(teamId, [turn]);
    else ahead.push(turn);
    return 'waits';
  }

  /** A call that waits does so no longer. */
  leave(turn: Turn): void {
    const queue = this.#waiting.get(turn.teamId) ?? [];
    const index = queue.indexOf(turn);
    if (index === -1) return;
    queue.splice(index, 1);
    if (queue.length === 0) this.#waiting.delete(turn.teamId);
    this.#places.give(turn.teamId);
  }

  release(teamId: string): void {
    this.#connections.give(teamId);
    // A share that has grown may serve more than one.
    while (this.#waiting.size > 0 && this.#serveOne());
  }

  /** Returns whether there was a call whose team may have a connection. */
  #serveOne(): boolean {
    for (const [teamId, queue] of this.#waiting) {
      if (!this.#connections.take(teamId)) continue;
      const turn = queue.shift();
      this.#waiting.delete(teamId);
      // Behind all others: the teams take turns.
      if (queue.length > 0) this.#waiting.set(teamId, queue);
      this.#places.give(teamId);
      turn?.onTurn();
      return true;
    }
    return false;
  }
}

/** How long calls of before say how many will come. */
const RECENT_MS = 60_000;
const HALF_MS = RECENT_MS / 2;

/** How many calls of a team there were at once, within the last half to whole minute. */
export class RecentCalls {
  #half = -1;
  #most = 0;
  #mostBefore = 0;
  #endedMs = Number.NEGATIVE_INFINITY;

  ended(nowMs: number): void {
    this.#endedMs = nowMs;
  }

  /** Whether it says something of the next calls. */
  isKnown(nowMs: number): boolean {
    return nowMs - this.#endedMs <= RECENT_MS;
  }

  /**
   * Takes how many there are now and returns the most of late; null: no call ended of late. The other instances are taken
   * to have as many, since a team's calls are spread over all of them.
   */
  peak(calls: number, instances: number, nowMs: number): number | null {
    const half = Math.floor(nowMs / HALF_MS);
    if (half !== this.#half) {
      this.#mostBefore = half === this.#half + 1 ? this.#most : 0;
      this.#most = 0;
      this.#half = half;
    }
    if (calls > this.#most) this.#most = calls;
    if (!this.isKnown(nowMs)) return null;
    return Math.max(this.#most, this.#mostBefore) * Math.max(1, instances);
  }
}
