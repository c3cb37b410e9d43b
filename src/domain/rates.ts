/**
 * Rates: the lines of one price in one context band, compiled once, and the exact cost of quantities at them. Owns: which
 * line charges what, and the rounding. Does not own: which price applies (price.ts).
 *
 * The rule: every amount is charged at the most specific line. A part that has no line of its own is charged with its
 * whole; what a whole has beyond its parts is charged at the line of the whole. All of one event is added up before it
 * is rounded, up, once. An amount that no line charges has no cost: it is unknown, not free.
 *
 * Every call is priced, most of them twice. Text alone is therefore computed from six factors in Numbers, which are
 * exact below 2^53 (a product or sum that is not below it shows in the total, which then is not either); everything
 * else in bigints. A property test holds both equal.
 */
import { divideUp, type PicoUsd } from './money.ts';
import {
  areQuantities,
  isCount,
  isTextOnly,
  isTextUsage,
  METER_NAMES,
  type MeterName,
  meterDefinition,
  PARTS,
  type Quantities,
  wholeOf,
} from './quantities.ts';

/** What a meter costs: `rate` for `per` units. */
export interface PriceLine {
  meter: MeterName;
  /** Units, not steps: 1,000,000 tokens, 60 seconds, 1,000 calls. */
  per: number;
  rate: PicoUsd;
  /** In which context it applies; missing: in both. */
  band?: ContextBand | undefined;
}

/** Whether a request's input stays within the threshold of its price or passes it: all of it is billed accordingly. */
export type ContextBand = 'short' | 'long';

/** What each step of a meter adds to `denominator` times the cost. */
export interface Rates {
  /** Every meter that some line charges: its own or that of its whole. */
  readonly factors: ReadonlyMap<MeterName, bigint>;
  readonly denominator: bigint;
  /** The same for text, in Numbers; null: some of it has no line, or a Number would not be exact. */
  readonly text: TextRates | null;
}

export interface TextRates {
  readonly denominator: number;
  readonly input: number;
  readonly cachedInput: number;
  readonly cacheWrite: number;
  readonly output: number;
  readonly reasoning: number;
  /** The dearest that input can turn out to be: plain, cached or written to the cache. */
  readonly dearestInput: number;
  readonly dearestOutput: number;
}

/**
 * Compiles the lines of one band. Of several lines for one meter the last counts.
 * @throws RangeError when a line's `per` is no positive integer or its rate is negative
 */
export function compileRates(lines: readonly PriceLine[]): Rates {
  for (const { meter, per, rate } of lines) {
    if (!isCount(per) || per === 0 || rate < 0n)
      throw new RangeError(`no price of ${meter}: ${rate} per ${per}`);
  }
  const perSteps = (line: PriceLine) => BigInt(line.per) * BigInt(meterDefinition(line.meter).steps);
  const common = lines.map(perSteps).reduce(leastCommonMultiple, 1n);
  const own = new Map(lines.map((line) => [line.meter, line.rate * (common / perSteps(line))]));
  const factors = new Map<MeterName, bigint>();
  // Wholes come before their parts.
  for (const meter of METER_NAMES) {
    const whole = wholeOf(meter);
    const factor = own.get(meter) ?? (whole === null ? undefined : factors.get(whole));
    if (factor !== undefined) factors.set(meter, factor);
  }
  const divisor = [...factors.values()].reduce(greatestCommonDivisor, common);
  for (const [meter, factor] of factors) factors.set(meter, factor / divisor);
  const denominator = common / divisor;
  return { factors, denominator, text: textRates(factors, denominator) };
}

function textRates(factors: ReadonlyMap<MeterName, bigint>, denominator: bigint): TextRates | null {
  const exact = (meter: MeterName) => Number(factors.get(meter) ?? -1n);
  const text: TextRates = {
    denominator: Number(denominator),
    input: exact('input_tokens'),
    cachedInput: exact('cached_input_tokens'),
    cacheWrite: exact('cache_write_tokens'),
    output: exact('output_tokens'),
    reasoning: exact('reasoning_tokens'),
    dearestInput: Number(dearest('input_tokens', factors) ?? -1n),
    dearestOutput: Number(dearest('output_tokens', factors) ?? -1n),
  };
  return Object.values(text).every(isCount) ? text : null;
}

/** The dearest factor at which an amount that is bounded by a meter may be charged; null: some of it has no line. */
export function dearest(bound: MeterName, factors: ReadonlyMap<MeterName, bigint>): bigint | null {
  let most = 0n;
  for (const meter of METER_NAMES) {
    if (meterDefinition(meter).boundBy !== bound) continue;
    const factor = factors.get(meter);
    if (factor === undefined) return null;
    if (factor > most) most = factor;
  }
  return most;
}

/**
 * The exact cost of usage in pico-USD, rounded up once. Null when it has none: amounts that are no counts, parts that
 * are more than their whole, or an amount without a line. The upstream said so, which is no bug of ours: the caller then
 * charges the hold.
 */
export function costAt(rates: Rates, usage: Quantities): PicoUsd | null {
  const { text } = rates;
  if (text === null || !isTextOnly(usage)) return areQuantities(usage) ? costOfAny(rates, usage) : null;
  if (!isTextUsage(usage)) return null;
  const input = usage.input_tokens ?? 0;
  const cached = usage.cached_input_tokens ?? 0;
  const written = usage.cache_write_tokens ?? 0;
  const output = usage.output_tokens ?? 0;
  const reasoning = usage.reasoning_tokens ?? 0;
  const total =
    (input - cached - written) * text.input +
    cached * text.cachedInput +
    written * text.cacheWrite +
    (output - reasoning) * text.output +
    reasoning * text.reasoning;
  return Number.isSafeInteger(total) ? quotientUp(total, text.denominator) : costOfAny(rates, usage);
}

/** The same for any meters, in bigints. */
function costOfAny({ factors, denominator }: Rates, usage: Quantities): PicoUsd | null {
  let total = 0n;
  for (const meter of METER_NAMES) {
    const amount = usage[meter];
    if (amount === undefined || amount === 0) continue;
    let rest = amount;
    for (const part of PARTS.get(meter) ?? []) rest -= usage[part] ?? 0;
    if (rest === 0) continue;
    const factor = factors.get(meter);
    if (factor === undefined) return null;
    total += BigInt(rest) * factor;
  }
  return divideUp(total, denominator);
}

/** `total / denominator` rounded up, for safe non-negative integers: exact, because the remainder is. */
export function quotientUp(total: number, denominator: number): PicoUsd {
  if (denominator === 1) return BigInt(total);
  const rest = total % denominator;
  return BigInt((total - rest) / denominator + (rest > 0 ? 1 : 0));
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [larger, smaller] = [a, b];
  while (smaller !== 0n) [larger, smaller] = [smaller, larger % smaller];
  return larger;
}

function leastCommonMultiple(a: bigint, b: bigint): bigint {
  return (a / greatestCommonDivisor(a, b)) * b;
}
