/**
 * Reconcile: what evidence leaves of the charge of a call whose outcome nobody knew. Owns: the life of a call on the
 * upstream's clock, and the cost of what a report leaves unexplained. Does not own: the evidence (evidence.ts), the
 * correction (store/unknown.ts). Invariant: what is kept is never less than what the upstream billed.
 *
 * Several unknown calls of one minute are each charged as if all that is unexplained were their own: to share it out
 * would need to know which of them was served, and a wrong guess would release a team's budget that is spent.
 */
import type { Evidence, MinuteSpan, NoEvidence, TokenCounts } from './evidence.ts';
import { divideUp, type PicoUsd } from './money.ts';
import type { Price, TokenRates } from './price.ts';

/**
 * How far the upstream's clock, and the moment that it reports a call under, may lie outside of the call's life on ours.
 * Both sides follow network time to within a second; the rest is margin.
 */
export const CLOCK_MARGIN_MS = 60_000;
export const MINUTE_MS = 60_000;

/** A call that stays charged at its hold. */
export interface UnknownCall {
  /** As the client asked for it. */
  model: string;
  charged: PicoUsd;
  /** Every price row that may have been billed. */
  prices: readonly Price[];
}

export type Verdict = { kept: PicoUsd } | { withheld: NoEvidence | 'unpriced' };

/** The minutes under which the upstream may report a call that lived between two moments of ours. */
export function minutesOf(fromMs: number, untilMs: number): MinuteSpan {
  return {
    firstMinute: Math.floor((fromMs - CLOCK_MARGIN_MS) / MINUTE_MS),
    lastMinute: Math.floor((untilMs + CLOCK_MARGIN_MS) / MINUTE_MS),
  };
}

/** What of a call's charge stays: at most the charge itself, at least what was billed. */
export function judge(call: UnknownCall, evidence: Evidence, span: MinuteSpan): Verdict {
  if (call.prices.length === 0) return { withheld: 'unpriced' };
  const tokens = evidence.unexplained(call.model, span);
  if (typeof tokens === 'string') return { withheld: tokens };
  const most = call.prices.map((price) => costAtMost(tokens, price)).reduce((a, b) => (a > b ? a : b));
  return { kept: most < call.charged ? most : call.charged };
}

/** The most that any usage within these counts costs, in pico-USD. Exact where each kind of input is. */
export function costAtMost(tokens: TokenCounts, price: Price): PicoUsd {
  const { standard, longContext, longContextAboveTokens: threshold } = price;
  const bands = [standard];
  if (longContext && threshold !== null && tokens.inputTokens > threshold) bands.push(longContext);
  return bands
    .map((rates) =>
      divideUp(dearestInput(tokens, rates) + BigInt(tokens.outputTokens) * rates.output, price.perTokens),
    )
    .reduce((a, b) => (a > b ? a : b));
}

/** All input as the dearest kinds that there was enough of. */
function dearestInput(tokens: TokenCounts, rates: TokenRates): bigint {
  const kinds: [count: number, rate: PicoUsd][] = [
    [tokens.uncachedInputTokens, rates.input],
    [tokens.cachedInputTokens, rates.cachedInput ?? rates.input],
    [tokens.cacheWriteTokens, rates.cacheWrite ?? rates.input],
  ];
  let total = 0n;
  let left = tokens.inputTokens;
  for (const [count, rate] of kinds.sort(([, a], [, b]) => (a > b ? -1 : a < b ? 1 : 0))) {
    const taken = Math.min(count, left);
    total += BigInt(taken) * rate;
    left -= taken;
  }
  return total;
}
