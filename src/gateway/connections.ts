/**
 * Who may use a connection to the upstream. Owns: each team's share of them, and whose turn it is. Invariant: no more
 * calls are under way than there are connections, so that the wait for one is here, where it has an end and a measure.
 */
import { FairShare } from '../admission/waiting.ts';

/** A call that wants a connection. */
export interface Turn {
  readonly teamId: string;
  /** Called once, with the connection taken, when the call had to wait. */
  onTurn(): void;
}

/** Calls that may wait, for each connection. */
const WAITING_PER_CONNECTION = 4;

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
