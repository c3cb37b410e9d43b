/** Holds: one call's money on its way, and the lines and parts that its event is made of. */
import type { Allocation } from '../domain/budget.ts';
import { type Claim, NOTHING_USED, used } from '../domain/claim.ts';
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
  /** The cost that it is held at. */
  amount: PicoUsd;
  claim: Claim;
  held: HeldPool[];
  /** `asked`: Postgres is being told to keep it on its own; `done`: it does, and its leases know. */
  promotion: 'none' | 'asked' | 'done';
  /** Whose money it is and who waits for it; null for a hold of nothing. */
  desk: Desk | null;
  ended: boolean;
  /** Null until it was journaled. */
  facts: CallFacts | null;
  /** The columns of its event that are known already (see `factsJson`); empty until it was journaled. */
  factsJson: string;
}

/** The hold of money just taken; `desk` null for a hold of nothing. */
export function newHold(teamId: string, { claim, held, atMs }: Taken, desk: Desk | null): Hold {
  return {
    // The id bears the moment at which the windows were chosen: a later one might lie in the next window.
    id: uuidV7(atMs),
    teamId,
    amount: claim.cost,
    claim,
    held,
    promotion: 'none',
    desk,
    ended: false,
    facts: null,
    factsJson: '',
  };
}

/** What each counter holds of the call and is charged; `settled` null: as if all of the hold were used. */
export function allocationsOf(hold: Hold, settled: bigint[][] | null): Allocation[] {
  const allocations: Allocation[] = [];
  for (let p = 0; p < hold.held.length; p++) {
    const { meter, leases, held: parts } = hold.held[p]!;
    const isUsed = settled !== null || used(meter, hold.claim) > 0n;
    for (let i = 0; i < leases.length; i++) {
      const held = parts[i]!;
      const spent = settled === null ? (isUsed ? held : 0n) : settled[p]![i]!;
      if (held > 0n || spent > 0n) allocations.push({ counterId: leases[i]!.spec.id, held, settled: spent });
    }
  }
  return allocations;
}

/** What a call that has ended took of every meter: its usage, or all of its hold where that is not known. */
export function usedBy(hold: Hold, { outcome, usage, cost }: Outcome): Claim {
  if (usage) {
    return { cost, input_tokens: usage.input_tokens ?? 0, output_tokens: usage.output_tokens ?? 0 };
  }
  return outcome === 'voided' ? { ...NOTHING_USED, cost } : { ...hold.claim, cost };
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
