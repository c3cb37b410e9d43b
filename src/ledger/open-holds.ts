/** The holds of an instance that have not ended: which of them Postgres has to persist, and which were handed over. */
import type { Hold } from './events.ts';

/** A hold this old gets a row of its own in Postgres. */
const LONG_MS = 60_000;

/** Holds that are in the journal and have not ended. Invariant: oldest first. */
export class OpenHolds {
  readonly #open = new Map<string, Hold>();
  readonly #handedOver = new Map<string, Hold>();

  add(hold: Hold): void {
    this.#open.set(hold.id, hold);
  }

  remove(hold: Hold): void {
    this.#open.delete(hold.id);
  }

  /** Its event is written by whichever instance sees the end of its job. */
  handOver(hold: Hold): void {
    this.#open.delete(hold.id);
    this.#handedOver.set(hold.id, hold);
  }

  /** Those that were handed over and are not known to have ended, by id. */
  get handedOver(): ReadonlyMap<string, Hold> {
    return this.#handedOver;
  }

  /** The event of a hold that was handed over is in Postgres. */
  forget(id: string): void {
    this.#handedOver.delete(id);
  }

  /** Those whose events this instance is to write. */
  get size(): number {
    return this.#open.size;
  }

  has(hold: Hold): boolean {
    return this.#open.has(hold.id);
  }

  /** Those whose events this instance is to write. */
  own(): Hold[] {
    return [...this.#open.values()];
  }

  /** Those that were handed over too: the journal keeps them, and the store may forget them. */
  all(): Hold[] {
    return [...this.#handedOver.values(), ...this.#open.values()];
  }

  /** Returns the holds that have become old; from now on Postgres is asked to persist them. */
  grownOld(nowMs: number): Hold[] {
    const old: Hold[] = [];
    for (const hold of this.#open.values()) {
      if (nowMs - hold.reservation.atMs < LONG_MS) break;
      if (hold.persistence !== 'none' || !hold.reservation.pools.some((pool) => pool.isPersistable)) continue;
      hold.persistence = 'asked';
      old.push(hold);
    }
    return old;
  }
}
