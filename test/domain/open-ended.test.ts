import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  costUpTo,
  type Estimate,
  SMALLEST_USEFUL_OUTPUT_TOKENS,
  smallestClaim,
} from '../../src/domain/estimate.ts';
import { usd } from '../../src/domain/money.ts';
import { openEndedClaim, unshortened } from '../../src/domain/open-ended.ts';
import { openEstimate } from '../support/estimates.ts';

/** $1 a 1,000 output tokens, after an input of one cent. */
function open(maxOutputTokens: number | null): Estimate {
  return openEstimate({ inputTokens: 10, inputCost: usd('0.01'), perToken: usd('0.001'), maxOutputTokens });
}

/** The output tokens of a call with one budget of money. */
function sized(
  estimate: Estimate,
  room: bigint,
  amount: bigint,
  crowd: number,
  last: boolean,
  peak: number | null = null,
): number {
  const pools = [{ meter: 'cost_usd', room, amount, maxHold: null } as const];
  return openEndedClaim(estimate, { pools, crowd, peak, last }).outputTokens;
}

test('an open-ended call holds its share of what is free, and a lone one on a large budget all that the model can say', () => {
  expect(sized(open(128_000), usd('3200.00'), usd('3200.00'), 0, false)).toBe(99_990);
  expect(sized(open(128_000), usd('3200.00'), usd('3200.00'), 32, false)).toBe(49_990);
  expect(sized(open(16_000), usd('3200.00'), usd('3200.00'), 0, false)).toBe(16_000);
  expect(sized(open(null), usd('9000000.00'), usd('9000000.00'), 0, false)).toBe(128_000);
});

test('an open-ended call holds at least 8,192 tokens while two such holds fit, then 4,096, then a 25th of a small budget', () => {
  expect(sized(open(128_000), usd('20.00'), usd('200.00'), 100, false)).toBe(8192);
  expect(sized(open(128_000), usd('16.00'), usd('200.00'), 100, false)).toBe(4096);
  expect(sized(open(128_000), usd('16.00'), usd('25.00'), 100, false)).toBe(990);
  expect(sized(open(128_000), usd('1.00'), usd('1.00'), 100, false)).toBe(SMALLEST_USEFUL_OUTPUT_TOKENS);
});

test('the last call takes what is left instead of waiting', () => {
  expect(sized(open(128_000), usd('1.01'), usd('200.00'), 0, true)).toBe(1000);
  expect(sized(open(128_000), usd('1.01'), usd('200.00'), 0, false)).toBe(4096);
  expect(sized(open(128_000), usd('0.02'), usd('200.00'), 0, true)).toBe(SMALLEST_USEFUL_OUTPUT_TOKENS);
});

test('the last open-ended call is never sized above what is left', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: usd('0.27'), max: usd('500.00') }), fc.nat({ max: 200 }), (free, crowd) => {
      const tokens = sized(open(128_000), free, usd('500.00'), crowd, true);
      expect(costUpTo(open(null), tokens) <= free).toBe(true);
      expect(tokens).toBeGreaterThanOrEqual(SMALLEST_USEFUL_OUTPUT_TOKENS);
    }),
  );
});

test('a call that takes no shortened answer never holds less than a whole one', () => {
  const whole = (max: number | null, room: string, last: boolean) =>
    sized(unshortened(open(max)), usd(room), usd('200.00'), 100, last);
  expect(whole(128_000, '1.01', true)).toBe(8192);
  expect(whole(128_000, '1.01', false)).toBe(8192);
  expect(whole(null, '0.02', true)).toBe(8192);
  expect(whole(4096, '1.01', true)).toBe(4096);
  expect(sized(unshortened(open(128_000)), usd('3200.00'), usd('3200.00'), 0, false)).toBe(99_990);
  expect(smallestClaim(unshortened(open(128_000))).output_tokens).toBe(8192);
  expect(smallestClaim(open(128_000)).output_tokens).toBe(SMALLEST_USEFUL_OUTPUT_TOKENS);
});

test('a lone call on a small budget gets nearly all of it', () => {
  expect(sized(open(128_000), usd('1.01'), usd('18.00'), 1, false)).toBe(1000);
  expect(sized(open(128_000), usd('1.01'), usd('18.00'), 4, false)).toBe(710);
  // No more than a usual answer before anything says how many calls will come.
  expect(sized(open(128_000), usd('30.00'), usd('30.00'), 1, false)).toBe(10_240);
});

test('who was alone of late gets half of what is free, who was one of thirty a thirtieth', () => {
  expect(sized(open(128_000), usd('60.02'), usd('100.00'), 0, false, 1)).toBe(30_000);
  expect(sized(open(128_000), usd('60.02'), usd('100.00'), 0, false, 30)).toBe(8192);
  expect(sized(open(128_000), usd('600.00'), usd('600.00'), 0, false, 9)).toBe(59_990);
});

test('what is granted never falls while what is left rises', () => {
  const cents = fc.integer({ min: 0, max: 100_000 });
  fc.assert(
    fc.property(
      cents,
      cents,
      fc.nat({ max: 60 }),
      fc.option(fc.nat({ max: 60 })),
      fc.boolean(),
      (a, b, crowd, peak, last) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)].map((each) => usd((each / 100).toFixed(2)));
        const limit = (room: bigint) => sized(open(128_000), room, usd('1000.00'), crowd, last, peak);
        expect(limit(more!)).toBeGreaterThanOrEqual(limit(less!));
      },
    ),
    { numRuns: 2000 },
  );
});
