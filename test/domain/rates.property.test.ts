/**
 * The compiled rates against the rule, said again without any compiling: each amount at the most specific line, all added
 * up as fractions of pico-USD, rounded up once. Plain bigints, and slow.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  costUpTo,
  type Estimate,
  estimate,
  outputTokensFor,
  smallestClaim,
} from '../../src/domain/estimate.ts';
import { costAt, costOf, makePrice, type Price, type RateCard } from '../../src/domain/price.ts';
import {
  METER_NAMES,
  METERS,
  type MeterName,
  type Quantities,
  wholeOf,
} from '../../src/domain/quantities.ts';
import { compileRates, type PriceLine } from '../../src/domain/rates.ts';
import { operation } from './fixtures.ts';

const TEXT = [
  'input_tokens',
  'cached_input_tokens',
  'cache_write_tokens',
  'output_tokens',
  'reasoning_tokens',
] as const;

/** Null: some amount has no line. */
function plainCost(lines: readonly PriceLine[], usage: Quantities): bigint | null {
  let numerator = 0n;
  let denominator = 1n;
  for (const meter of METER_NAMES) {
    let rest = BigInt(usage[meter] ?? 0);
    for (const part of METER_NAMES) if (wholeOf(part) === meter) rest -= BigInt(usage[part] ?? 0);
    if (rest === 0n) continue;
    let line: PriceLine | undefined;
    for (let at: MeterName | null = meter; at !== null && !line; at = wholeOf(at)) {
      line = lines.find((each) => each.meter === at);
    }
    if (!line) return null;
    const per = BigInt(line.per) * BigInt(METERS[line.meter].steps);
    numerator = numerator * per + rest * line.rate * denominator;
    denominator *= per;
  }
  return (numerator + denominator - 1n) / denominator;
}

/** From one pico-USD to a billion USD, per one or a billion: published prices and worse ones. */
const rate = fc.oneof(
  fc.constant(0n),
  fc.bigInt({ min: 1n, max: 1_000n }),
  fc.integer({ min: 1, max: 500_000 }).map((cents) => BigInt(cents) * 10n ** 9n),
  fc.bigInt({ min: 1n, max: 10n ** 21n }),
);
const per = fc.oneof(
  fc.constantFrom(1, 60, 1_000, 3_600, 1_000_000, 1_000_000_000),
  fc.integer({ min: 1, max: 1_000 }),
);
const lineOf = (meter: MeterName) => fc.record({ meter: fc.constant(meter), per, rate });
const linesOf = (meters: readonly MeterName[]) =>
  fc
    .tuple(...meters.map((meter) => fc.option(lineOf(meter), { freq: 40 })))
    .map((lines) => lines.filter((line) => line !== null));

const amount = fc.oneof(
  fc.constant(0),
  fc.nat(5_000),
  fc.nat(2_000_000),
  fc.nat({ max: Number.MAX_SAFE_INTEGER }),
);
const share = fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true }));

/** Amounts by meter of which parts never are more than their whole. */
function usageOf(meters: readonly MeterName[]): fc.Arbitrary<Quantities> {
  return fc.tuple(...meters.map(() => fc.tuple(amount, share))).map((drawn) => {
    const usage: Quantities = {};
    const left = new Map<MeterName, number>();
    meters.forEach((meter, index) => {
      const [most, part] = drawn[index]!;
      const whole = wholeOf(meter);
      const rest = whole === null ? most : (left.get(whole) ?? 0);
      const taken = whole === null ? most : Math.min(rest, Math.floor(rest * part));
      usage[meter] = taken;
      left.set(meter, taken);
      if (whole !== null) left.set(whole, rest - taken);
    });
    return usage;
  });
}

function isExact(meters: readonly MeterName[]): { priced: number; unpriced: number } {
  const seen = { priced: 0, unpriced: 0 };
  fc.assert(
    fc.property(linesOf(meters), usageOf(meters), (lines, usage) => {
      const expected = plainCost(lines, usage);
      expect(costAt(compileRates(lines), usage)).toBe(expected);
      if (expected === null) seen.unpriced++;
      else seen.priced++;
    }),
    { numRuns: 5_000 },
  );
  return seen;
}

describe('the cost at compiled rates', () => {
  test('of text is that of plain bigints, in every size of rates and amounts', () => {
    const { priced, unpriced } = isExact(TEXT);
    expect(priced).toBeGreaterThan(1_000);
    expect(unpriced).toBeGreaterThan(20);
  });

  test('of all meters is that of plain bigints', () => {
    const { priced } = isExact(METER_NAMES);
    expect(priced).toBeGreaterThan(1_000);
  });

  test('of a few amounts of published sizes needs no bigint, and is the same', () => {
    const usd = (text: string) => BigInt(Math.round(Number(text) * 1e6)) * 10n ** 6n;
    const published = (['10', '1', '12.5', '50', '50'] as const).map((text, index) => ({
      meter: TEXT[index]!,
      per: 1_000_000,
      rate: usd(text),
    }));
    const rates = compileRates(published);
    expect(rates.text).toMatchObject({ denominator: 1, input: 10_000_000, output: 50_000_000 });
    fc.assert(
      fc.property(usageOf(TEXT), (usage) => {
        expect(costAt(rates, usage)).toBe(plainCost(published, usage));
      }),
    );
  });
});

/** Meters that a request bounds by name, beside text. */
const NAMED = [
  'cache_write_12h_tokens',
  'input_audio_tokens',
  'input_image_tokens',
  'output_audio_tokens',
  'audio_seconds',
  'images',
  'web_search_calls',
] as const satisfies MeterName[];

test('no usage within the bounds of its meters costs more than the bound', () => {
  const every = METER_NAMES.filter((meter) => meter !== 'output_image_tokens');
  const whole = fc.tuple(...every.map((meter) => lineOf(meter)));
  const small = fc.nat(100_000);
  const bounds = fc.record(
    Object.fromEntries(NAMED.map((meter) => [meter, small])),
  ) as fc.Arbitrary<Quantities>;
  let compared = 0;
  fc.assert(
    fc.property(
      whole,
      bounds,
      small,
      small,
      small,
      usageOf(METER_NAMES),
      (lines, otherBounds, input, output, upstreamMsAtMost, drawn) => {
        const card = cardOf(makeFlat(lines));
        const call = operation({
          model: 'm',
          inputTokensBound: input,
          outputTokensLimit: output,
          otherBounds,
        });
        const bound = estimate(call, card, { strict: true, upstreamMsAtMost });
        if ('code' in bound) throw new Error(bound.message);
        const text = { input_tokens: input, output_tokens: output };
        // In millionths.
        const usage = within(drawn, { ...otherBounds, ...text, upstream_seconds: upstreamMsAtMost * 1000 });
        const cost = costOf(usage, card.tiers.default!);
        if (cost === null) return;
        compared++;
        expect(cost <= smallestClaim(bound).cost).toBe(true);
      },
    ),
    { numRuns: 2_000 },
  );
  expect(compared).toBeGreaterThan(1_000);
});

function makeFlat(lines: readonly PriceLine[]): Price {
  return makePrice({
    id: 'p',
    model: 'm',
    tier: 'default',
    effectiveFromMs: 0,
    lines,
    longContextAboveTokens: null,
    origin: 'admin',
  });
}

function cardOf(price: Price): RateCard {
  const limits = { maxInputTokens: null, maxOutputTokens: null, imageRule: null };
  return { model: 'm', limits, unboundedReason: null, tiers: { default: price } };
}

/** Usage scaled into its bounds: whatever no bound names does not occur, parts stay within their whole. */
function within(drawn: Quantities, bounds: Quantities): Quantities {
  const usage: Quantities = {};
  const left = new Map<MeterName, number>();
  for (const meter of METER_NAMES) {
    const { boundBy } = METERS[meter];
    const whole = wholeOf(meter);
    const most = Math.min(
      bounds[boundBy] ?? 0,
      whole === null ? Number.MAX_SAFE_INTEGER : (left.get(whole) ?? 0),
    );
    const taken = Math.min(drawn[meter] ?? 0, most);
    usage[meter] = taken;
    left.set(meter, taken);
    if (whole !== null) left.set(whole, (left.get(whole) ?? 0) - taken);
  }
  // What two kinds are bounded by together, they do not exceed together.
  for (const bound of ['input_audio_tokens', 'input_image_tokens'] as const) {
    const kind = bound === 'input_audio_tokens' ? 'cached_audio_tokens' : 'cached_image_tokens';
    usage[kind] = Math.min(usage[kind] ?? 0, (bounds[bound] ?? 0) - (usage[bound] ?? 0));
  }
  return usage;
}

test('the output tokens for an amount are the most that it pays for, at rates and amounts of any size', () => {
  const lines = fc.tuple(lineOf('input_tokens'), lineOf('output_tokens'));
  const shape = fc.record({
    inputTokensBound: fc.nat(2_000_000),
    choices: fc.integer({ min: 1, max: 128 }),
    extraOutputTokens: fc.oneof(fc.constant(0), fc.nat(10_000)),
  });
  fc.assert(
    fc.property(
      lines,
      shape,
      fc.nat(1_000_000),
      fc.bigInt({ min: -9n, max: 9n }),
      (priced, calls, tokens, change) => {
        const open = operation({ model: 'm', ...calls, outputTokensLimit: null });
        const result = estimate(open, cardOf(makeFlat(priced)), { strict: true }) as Estimate;
        const sum = costUpTo(result, tokens) + change;
        const affordable = outputTokensFor(result, sum);
        if (affordable === Number.MAX_SAFE_INTEGER) return;
        if (affordable > 0) expect(costUpTo(result, affordable) <= sum).toBe(true);
        expect(costUpTo(result, affordable + 1) > sum).toBe(true);
      },
    ),
    { numRuns: 3_000 },
  );
});
