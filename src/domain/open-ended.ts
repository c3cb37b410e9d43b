/**
 * Open-ended calls: those whose client set no output limit. Owns: the limit to write in, given what every budget that
 * the call touches leaves it. Pure; the constants come from a simulation of the protocol (src/admission/README.md).
 */

import {
  claimUpTo,
  costUpTo,
  type Estimate,
  outputTokensFor,
  SMALLEST_USEFUL_OUTPUT_TOKENS,
} from './estimate.ts';
import type { Meter } from './limit.ts';
import { type Claim, UNIT } from './quantities.ts';

/** Written in where nothing says how much a model can produce and money is plenty. */
const UNSOURCED_MAX_OUTPUT_TOKENS = 128_000;

/** What becomes of an open-ended call when little money is left: a shorter answer, or a refusal before anything is paid. */
export const ON_SHORTAGE = ['shorten', 'refuse'] as const;
export type OnShortage = (typeof ON_SHORTAGE)[number];

/** With this limit an answer counts as whole, where the model could write more. */
const WHOLE_ANSWER_TOKENS = 8_192;

/** What one budget leaves a call. */
export interface BudgetRoom {
  meter: Meter;
  /** What it has left, lent to this instance or not. */
  room: bigint;
  /** All of it. */
  amount: bigint;
  maxHold: bigint | null;
}

export interface OpenEndedRoom {
  pools: readonly BudgetRoom[];
  /** The team's calls in flight or waiting. */
  crowd: number;
  /** The most of them at once within the last minute, over all instances; null: none has ended in it, so this says nothing. */
  peak: number | null;
  /** Nothing else will come free in time: take what is left. */
  last: boolean;
}

/** The same call, sent with room for a whole answer or not at all. */
export function unshortened(estimate: Estimate): Estimate {
  return { ...estimate, wholeAnswerTokens: Math.min(WHOLE_ANSWER_TOKENS, ceilingOf(estimate)) };
}

/** What to hold for an open-ended call: the smallest of the limits that its budgets allow, in output tokens per choice. */
export function openEndedClaim(
  estimate: Estimate,
  { pools, ...load }: OpenEndedRoom,
): { claim: Claim; outputTokens: number } {
  let tokens = ceilingOf(estimate);
  for (const pool of pools) {
    if (!weighsOn(pool.meter)) continue;
    tokens = Math.min(tokens, shareOf(estimate, pool, load));
    if (pool.maxHold !== null) tokens = Math.min(tokens, tokensFor(estimate, pool.meter, pool.maxHold));
  }
  tokens = Math.max(tokens, estimate.wholeAnswerTokens ?? 0);
  return { claim: claimUpTo(estimate, tokens), outputTokens: tokens };
}

/** The largest output limit of each choice that an amount of a meter allows; null: it does not depend on the output. */
export function outputTokensWithin(meter: Meter, estimate: Estimate, amount: bigint): number | null {
  return weighsOn(meter) ? tokensFor(estimate, meter, amount) : null;
}

/** What a first call may have of a small budget, before anything says how many will come. */
const FIRST_CALL_OUTPUT_TOKENS = 10_240;

/**
 * The output limit that one budget allows: a share of what is free, so that the first call of thirty does not starve the
 * rest, and never less than is useful while that can be had. When nothing else will come free, all that is left. Each of
 * the shares rises with what is free, hence the largest of them does.
 *
 * - A 32nd, for bursts that come without warning.
 * - What is free by the calls under way, up to a usual answer: alone on a small budget a call gets nearly all of it.
 * - What is free by one more than the team's recent peak: alone for a while, it gets half of any budget.
 */
function shareOf(
  estimate: Estimate,
  { meter, room, amount }: BudgetRoom,
  { crowd, peak, last }: Omit<OpenEndedRoom, 'pools'>,
): number {
  const ceiling = ceilingOf(estimate);
  const calls = Math.max(1, crowd, peak ?? 0);
  const share = Math.max(
    tokensFor(estimate, meter, room / BigInt(32 + crowd)),
    Math.min(FIRST_CALL_OUTPUT_TOKENS, tokensFor(estimate, meter, room / BigInt(calls))),
    peak === null ? 0 : tokensFor(estimate, meter, room / BigInt(calls + 1)),
  );
  const wanted = Math.min(ceiling, Math.max(share, leastOutputTokens(estimate, meter, room, amount)));
  if (!last || amountUpTo(estimate, meter, wanted) <= room) return wanted;
  return Math.min(ceiling, Math.max(SMALLEST_USEFUL_OUTPUT_TOKENS, tokensFor(estimate, meter, room)));
}

function leastOutputTokens(estimate: Estimate, meter: Meter, room: bigint, amount: bigint): number {
  if (2n * amountUpTo(estimate, meter, 8192) <= room) return 8192;
  const small = tokensFor(estimate, meter, amount / 25n);
  return Math.max(SMALLEST_USEFUL_OUTPUT_TOKENS, Math.min(4096, small));
}

function ceilingOf({ outputCeiling, maxOutputTokens }: Estimate): number {
  return outputCeiling ?? maxOutputTokens ?? UNSOURCED_MAX_OUTPUT_TOKENS;
}

/** Whether output tokens count on a meter. */
function weighsOn(meter: Meter): boolean {
  return meter === 'cost_usd' || meter === 'tokens' || meter === 'output_tokens';
}

/** How much of a meter on which output weighs the call takes, with this limit of each choice. */
function amountUpTo(estimate: Estimate, meter: Meter, perChoice: number): bigint {
  if (meter === 'cost_usd') return costUpTo(estimate, perChoice);
  return BigInt(fixedTokens(estimate, meter) + perChoice * estimate.choices) * UNIT;
}

/** The largest limit of each choice with which it takes no more than this of the meter; 0: none. */
function tokensFor(estimate: Estimate, meter: Meter, amount: bigint): number {
  if (meter === 'cost_usd') return outputTokensFor(estimate, amount);
  const left = Number(amount / UNIT) - fixedTokens(estimate, meter);
  return Math.max(0, Math.floor(left / estimate.choices));
}

function fixedTokens({ extraOutputTokens, inputTokens }: Estimate, meter: Meter): number {
  return meter === 'tokens' ? extraOutputTokens + inputTokens : extraOutputTokens;
}
