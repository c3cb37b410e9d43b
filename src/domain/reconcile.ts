/**
 * Reconcile: what the usage report leaves of the charge of a call of unknown outcome. Owns: the life of a call on the
 * upstream's clock, and the cost of what a report leaves unexplained. Does not own: the report (usage-report-bound.ts),
 * the correction (store/unknown.ts). Invariant: what is kept is never less than what the upstream billed.
 *
 * Several unknown calls of one minute are each charged as if all that is unexplained were their own: to share it out
 * would need to know which of them was served, and a wrong guess would release a team's budget that is spent.
 */
import { divideUp, type PicoUsd } from './money.ts';
import type { Price } from './price.ts';
import { type MeterName, outermost } from './quantities.ts';
import type { Rates } from './rates.ts';
import type { MinuteRange, NoEvidence, ReportedQuantities, UsageReportBound } from './usage-report-bound.ts';

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

export type KeptCharge = { kept: PicoUsd } | { withheld: NoEvidence | 'unpriced' };

/** The minutes under which the upstream may report a call that lived between two moments of ours. */
export function minutesOf(fromMs: number, untilMs: number): MinuteRange {
  return {
    firstMinute: Math.floor((fromMs - CLOCK_MARGIN_MS) / MINUTE_MS),
    lastMinute: Math.floor((untilMs + CLOCK_MARGIN_MS) / MINUTE_MS),
  };
}

/** Returns what of a call's charge stays: at most the charge itself, at least what was billed. */
export function boundUnknownCost(call: UnknownCall, report: UsageReportBound, span: MinuteRange): KeptCharge {
  if (call.prices.length === 0) return { withheld: 'unpriced' };
  const usage = report.unexplained(call.model, span);
  if (typeof usage === 'string') return { withheld: usage };
  let most = 0n;
  for (const price of call.prices) {
    const cost = costAtMost(usage, price);
    if (cost === null) return { withheld: 'unpriced' };
    if (cost > most) most = cost;
  }
  return { kept: most < call.charged ? most : call.charged };
}

/**
 * The most that any usage within these quantities costs, in pico-USD; exact where each kind of input is. Null: the price
 * has lines of what the report does not tell.
 */
function costAtMost(usage: ReportedQuantities, price: Price): PicoUsd | null {
  const { short, long, longContextAboveTokens: threshold, lines } = price;
  if (lines.some(({ meter }) => !REPORTED_WHOLES.has(outermost(meter)))) return null;
  const most = costInBand(usage, short);
  if (!long || threshold === null || usage.input_tokens <= threshold) return most;
  const longMost = costInBand(usage, long);
  return longMost > most ? longMost : most;
}

/** Whose parts the report tells apart, or may hold any of. */
const REPORTED_WHOLES: ReadonlySet<MeterName> = new Set(['input_tokens', 'output_tokens']);

function costInBand(usage: ReportedQuantities, { factors, denominator }: Rates): PicoUsd {
  const dearestOf = (...meters: MeterName[]) =>
    meters.map((meter) => factors.get(meter) ?? 0n).reduce((a, b) => (a > b ? a : b));
  const kinds: [amount: number, factor: bigint][] = [
    [usage.uncached_input_tokens, dearestOf('input_tokens', 'input_audio_tokens', 'input_image_tokens')],
    [
      usage.cached_input_tokens,
      dearestOf('cached_input_tokens', 'cached_audio_tokens', 'cached_image_tokens'),
    ],
    [usage.cache_write_tokens, dearestOf('cache_write_tokens', 'cache_write_12h_tokens')],
  ];
  const output = dearestOf('output_tokens', 'reasoning_tokens', 'output_audio_tokens', 'output_image_tokens');
  let total = BigInt(usage.output_tokens) * output;
  // All input as the dearest kinds that there was enough of.
  let left = usage.input_tokens;
  for (const [amount, factor] of kinds.sort(([, a], [, b]) => (a > b ? -1 : a < b ? 1 : 0))) {
    const taken = Math.min(amount, left);
    total += BigInt(taken) * factor;
    left -= taken;
  }
  return divideUp(total, denominator);
}
