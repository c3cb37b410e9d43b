/** Calls of this instance that wait because a limit says so, instead of denying them. Owns: how many may, and whose turn it is at a pace. */
import type { TeamId } from '../domain/ids.ts';
import { Paces, QueueCapacity } from '../domain/shares.ts';

/** As many as may wait for money that is only held. */
const WAITING_MAX = 10_000;
const WAITING_BYTES_MAX = 256 * 1024 * 1024;

export class Patience {
  readonly paces = new Paces();
  readonly #places = new QueueCapacity(WAITING_MAX, WAITING_BYTES_MAX);

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
