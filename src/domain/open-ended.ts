/**
 * Open-ended calls: those whose client set no output limit. Owns: the limit to write in, given what every budget that
 * the call touches leaves it. Pure.
 */
import { type OpenEndedAsk, openEndedOutputTokens } from './admission.ts';
import { type Claim, UNIT } from './claim.ts';
import type { Estimate } from './estimate.ts';
import type { Meter } from './limit.ts';

/** What one budget leaves a call. */
export interface BudgetRoom {
  meter: Meter;
  room: bigint;
  amount: bigint;
  maxHold: bigint | null;
}

export interface OpenEndedRoom {
  pools: readonly BudgetRoom[];
  /** The team's calls in flight or waiting. */
  crowd: number;
  /** Nothing else will come free in time: take what is left. */
  last: boolean;
}

/** The claim of a call whose every choice is limited to this many output tokens. */
export function claimUpTo(estimate: Estimate, outputTokensPerChoice: number): Claim {
  return {
    cost: estimate.costUpTo(outputTokensPerChoice),
    inputTokens: estimate.bound.inputTokens,
    outputTokens: estimate.outputTokensUpTo(outputTokensPerChoice),
  };
}

/** What to hold for an open-ended call: the smallest of the limits that its budgets allow, in output tokens per choice. */
export function openEndedClaim(
  estimate: Estimate,
  { pools, crowd, last }: OpenEndedRoom,
): { claim: Claim; outputTokens: number } {
  let tokens = openEndedOutputTokens(estimate, UNBOUNDED, UNBOUNDED, crowd, last);
  for (const { meter, room, amount, maxHold } of pools) {
    const ask = askIn(meter, estimate);
    if (ask === null) continue;
    tokens = Math.min(tokens, openEndedOutputTokens(ask, room, amount, crowd, last));
    if (maxHold !== null) tokens = Math.min(tokens, ask.outputTokensFor(maxHold));
  }
  return { claim: claimUpTo(estimate, tokens), outputTokens: tokens };
}

/** The largest output limit of each choice that an amount of a meter allows; null: it does not depend on the output. */
export function outputTokensWithin(meter: Meter, estimate: Estimate, amount: bigint): number | null {
  return askIn(meter, estimate)?.outputTokensFor(amount) ?? null;
}

/** More than any budget: Postgres keeps twelve digits before the point. */
const UNBOUNDED = 10n ** 24n;

/** How output tokens weigh on a meter; null: they do not. */
function askIn(meter: Meter, estimate: Estimate): OpenEndedAsk | null {
  if (meter === 'cost_usd') return estimate;
  if (meter !== 'tokens' && meter !== 'output_tokens') return null;
  const { choices, inputTokens } = estimate.bound;
  const fixed = estimate.outputTokensUpTo(0) + (meter === 'tokens' ? inputTokens : 0);
  return {
    costUpTo: (perChoice) => BigInt(fixed + perChoice * choices) * UNIT,
    outputTokensFor: (amount) => Math.max(0, Math.floor((Number(amount / UNIT) - fixed) / choices)),
    maxOutputTokens: estimate.maxOutputTokens,
  };
}
