/**
 * Calls of this instance that wait because a limit says so, instead of denying them. Owns: how many may, whose turn it is at a pace, and
 * which call is the first to hear of a budget.
 */
import type { TeamId } from '../domain/ids.ts';
import { Paces, QueueCapacity } from '../domain/shares.ts';

/** As many as may wait for money that is only held. */
const WAITING_MAX = 10_000;
const WAITING_BYTES_MAX = 256 * 1024 * 1024;

export class Patience {
  readonly paces = new Paces();
  /** The gateway stops: no call waits for a new window any more. */
  isOver = false;
  /** By the key of a pool of leases. */
  readonly #firsts = new Map<string, object>();
  readonly #places = new QueueCapacity(WAITING_MAX, WAITING_BYTES_MAX);

  /** Makes a call the first of those that come for a budget, unless another one is. Returns whether it is the first. */
  beFirst(key: string, call: object): boolean {
    const first = this.#firsts.get(key) ?? call;
    this.#firsts.set(key, first);
    return first === call;
  }

  /** A call that may have been the first has its money, or was refused. */
  heard(call: object): void {
    for (const [key, first] of this.#firsts) if (first === call) this.#firsts.delete(key);
  }

  /** Waits for what `work` waits for, if there is room for one more call of the team; else null. */
  async during<Result>(teamId: TeamId, bytes: number, work: () => Promise<Result>): Promise<Result | null> {
    if (!this.#places.enter(teamId, bytes)) return null;
    try {
      return await work();
    } finally {
      this.#places.leave(teamId, bytes);
    }
  }
}
