/**
 * Rates: the lines of a price, compiled to integer factors over one denominator. Owns: that no rate is rounded. Does not own:
 * which price applies, nor the cost of usage (price.ts).
 */
import type { PicoUsd } from './money.ts';
import {
  isCount,
  METER_NAMES,
  type MeterName,
  meterDefinition,
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
  /** That of a step of the upstream's time; 0: it costs nothing. */
  readonly ofTime: bigint;
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
  const ofTime = factors.get('upstream_seconds') ?? 0n;
  return { factors, denominator, ofTime, text: textRates(factors, denominator) };
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

/** Whether some of these meters have a line. */
export function pricesAny(bounds: Quantities, factors: ReadonlyMap<MeterName, bigint>): boolean {
  return METER_NAMES.some((meter) => bounds[meter] !== undefined && factors.has(meter));
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

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [larger, smaller] = [a, b];
  while (smaller !== 0n) [larger, smaller] = [smaller, larger % smaller];
  return larger;
}

function leastCommonMultiple(a: bigint, b: bigint): bigint {
  return (a / greatestCommonDivisor(a, b)) * b;
}
