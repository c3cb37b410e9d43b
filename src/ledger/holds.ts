/**
 * Holds: one call's money on its way, from its reservation to its event. Owns: the state of each hold, and which of the
 * open ones Postgres has to persist, so that a call that takes long does not depend on the lease of one instance.
 */

import type { Denial } from '../admission/decide.ts';
import type { Reservation } from '../admission/lease-table.ts';
import type { Changed, QueuedCall, Unavailable } from '../admission/waiting.ts';
import type { Allocation } from '../domain/budget.ts';
import type { TeamId } from '../domain/ids.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { Claim } from '../domain/quantities.ts';
import type { DurableHold } from '../store/hot/flush.ts';
import { type CallFacts, type Outcome, uuidV7 } from './events.ts';

/** One call's money, taken out of the leases: held → settled, voided, unknown; or cancelled before it was journaled. */
export class Hold {
  readonly kind = 'hold';
  /** UUIDv7 of the moment of admission: the id of the call's event. */
  readonly id: string;
  readonly reservation: Reservation;
  /** The cost that it is held at. */
  readonly amount: PicoUsd;
  /** `asked`: Postgres is asked to persist it; `done`: it has, and the leases know. */
  persistence: 'none' | 'asked' | 'done' = 'none';
  /** How it ended, and what each of its amounts is charged; null until then. Its event follows in the same turn. */
  settled: { readonly outcome: Outcome; readonly claim: Claim; readonly amounts: readonly bigint[] } | null =
    null;
  ended = false;
  /** Null until it was journaled. */
  facts: CallFacts | null = null;
  /** The columns of its event that are known already (see `factsJson`); empty until it was journaled. */
  factsJson = '';

  constructor(reservation: Reservation) {
    // The id bears the moment at which the windows were chosen: a later one might lie in the next window.
    this.id = uuidV7(reservation.atMs);
    this.reservation = reservation;
    this.amount = reservation.claim.cost;
  }

  get claim(): Claim {
    return this.reservation.claim;
  }

  get teamId(): TeamId {
    return this.reservation.teamId;
  }

  /** The output limit to write into the request; null: none. */
  get outputLimit(): number | null {
    return this.reservation.outputLimit;
  }
}

/** How a wait ends. */
export type QueueOutcome = Hold | Denial | Unavailable | Changed;

/** A call that must wait for its money. */
export class Queued {
  readonly kind = 'queued';
  readonly #call: QueuedCall;
  readonly #cancel: (hold: Hold) => void;
  #hold: Hold | null = null;

  constructor(call: QueuedCall, cancel: (hold: Hold) => void) {
    this.#call = call;
    this.#cancel = cancel;
  }

  /** Is called once, at once if the wait has ended already, and not after `leave`. */
  set onOutcome(callback: (outcome: QueueOutcome) => void) {
    this.#call.onOutcome = (outcome) => {
      if (outcome.kind !== 'reservation') {
        callback(outcome);
        return;
      }
      const hold = new Hold(outcome);
      this.#hold = hold;
      try {
        callback(hold);
      } catch (error) {
        // An error of the caller's: unless it has sent its call already, nothing is left that could end the hold.
        if (hold.facts === null && !hold.ended) this.#cancel(hold);
        throw error;
      }
    };
  }

  /** The caller does not want the outcome any more; a hold that it was given meanwhile is put back. */
  leave(): void {
    const outcome = this.#call.leave();
    if (outcome?.kind === 'reservation') this.#hold = new Hold(outcome);
    if (this.#hold !== null && !this.#hold.ended) this.#cancel(this.#hold);
  }
}

/** A hold this old gets a row of its own in Postgres. */
const LONG_MS = 60_000;

/** Holds that are in the journal and have not ended. Invariant: oldest first. */
export class OpenHolds {
  readonly #open = new Map<string, Hold>();

  add(hold: Hold): void {
    this.#open.set(hold.id, hold);
  }

  remove(hold: Hold): void {
    this.#open.delete(hold.id);
  }

  get size(): number {
    return this.#open.size;
  }

  has(hold: Hold): boolean {
    return this.#open.has(hold.id);
  }

  all(): Hold[] {
    return [...this.#open.values()];
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

/** A hold as Postgres is asked to persist it: without what comes back by time. */
export function durableHold(hold: Hold): DurableHold {
  const { pools, amounts } = hold.reservation;
  const allocations: Allocation[] = [];
  let at = 0;
  for (const { leases, isPersistable } of pools) {
    for (const lease of leases) {
      const held = amounts[at++] ?? 0n;
      if (isPersistable && held > 0n) allocations.push({ counterId: lease.spec.id, held, settled: held });
    }
  }
  return { id: hold.id, teamId: hold.teamId, allocations };
}
