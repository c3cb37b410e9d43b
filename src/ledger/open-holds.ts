/**
 * Open holds: calls that are in the journal and have not ended. Owns: which of them Postgres has to keep on its own,
 * so that a call that takes long does not hang on the lease of one instance. Invariant: oldest first.
 */
import type { DurableHold } from '../store/hot/flush.ts';
import { allocationsOf, type Hold } from './holds.ts';
import { momentOfUuidV7 } from './ids.ts';
import { isPromotable } from './pool.ts';

/** A hold this old gets a row of its own in Postgres. */
const LONG_MS = 60_000;

export class OpenHolds {
  readonly #open = new Map<string, Hold>();

  add(hold: Hold): void {
    this.#open.set(hold.id, hold);
  }

  remove(hold: Hold): void {
    this.#open.delete(hold.id);
  }

  has(hold: Hold): boolean {
    return this.#open.has(hold.id);
  }

  all(): Hold[] {
    return [...this.#open.values()];
  }

  /** Holds that have become old; from now on they are asked to be kept. */
  promote(nowMs: number): Hold[] {
    const old: Hold[] = [];
    for (const hold of this.#open.values()) {
      if (nowMs - momentOfUuidV7(hold.id) < LONG_MS) break;
      if (hold.promotion !== 'none' || !hold.held.some(isPromotable)) continue;
      hold.promotion = 'asked';
      old.push(hold);
    }
    return old;
  }
}

/** What Postgres is told of a hold that it is to keep. */
export function durableHold(hold: Hold): DurableHold {
  const held = hold.held.filter(isPromotable);
  return { id: hold.id, teamId: hold.teamId, allocations: allocationsOf({ ...hold, held }, null) };
}
