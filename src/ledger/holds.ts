/** Holds: one call's money on its way, and the lines and parts that its event is made of. */
import type { Allocation } from '../domain/budget.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { Taken } from './ask.ts';
import type { Desk } from './desk.ts';
import { type CallFacts, holdJson, type Outcome } from './event.ts';
import { uuidV7 } from './ids.ts';
import type { HeldPool } from './pool.ts';

/** One call's money, taken out of the leases. */
export interface Hold {
  /** UUIDv7 of the moment of admission: the id of the call's event. */
  id: string;
  teamId: string;
  amount: PicoUsd;
  held: HeldPool[];
  /** Whose money it is and who waits for it; null for a hold of nothing. */
  desk: Desk | null;
  ended: boolean;
  /** Null until it was journaled. */
  facts: CallFacts | null;
  /** The columns of its event that are known already (see `factsJson`); empty until it was journaled. */
  factsJson: string;
}

/** The hold of money just taken; `desk` null for a hold of nothing. */
export function newHold(teamId: string, { amount, held, atMs }: Taken, desk: Desk | null): Hold {
  // The id bears the moment at which the windows were chosen: a later one might lie in the next window.
  return { id: uuidV7(atMs), teamId, amount, held, desk, ended: false, facts: null, factsJson: '' };
}

/** What each counter holds of the call and is charged; `settled` null: as if all of the hold were spent. */
export function allocationsOf(hold: Hold, settled: bigint[][] | null): Allocation[] {
  const allocations: Allocation[] = [];
  for (let p = 0; p < hold.held.length; p++) {
    const pool = hold.held[p]!;
    for (let i = 0; i < pool.leases.length; i++) {
      const held = pool.held[i]!;
      const spent = settled === null ? held : settled[p]![i]!;
      if (held > 0n || spent > 0n)
        allocations.push({ counterId: pool.leases[i]!.spec.id, held, settled: spent });
    }
  }
  return allocations;
}

/** The hold as the journal keeps it. */
export function holdLine(hold: Hold): string {
  return holdJson(hold.factsJson, hold.facts?.priceId ?? null, allocationsOf(hold, null));
}

/** The outcome of a call of which nobody will learn more: it stays charged at its hold until there is evidence. */
export function unknownOutcome(hold: Hold, reason: string): Outcome {
  return {
    outcome: 'unknown',
    provenance: 'unknown',
    reason,
    upstreamStatus: null,
    upstreamRequestId: null,
    responseModel: null,
    serviceTier: null,
    usage: null,
    cost: hold.amount,
    priceId: hold.facts?.priceId ?? null,
    stageUs: {},
  };
}
