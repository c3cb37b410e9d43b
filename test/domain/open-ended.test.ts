import fc from 'fast-check';
import { expect, test } from 'vitest';
import { costUpTo, type Estimate, SMALLEST_USEFUL_OUTPUT_TOKENS } from '../../src/domain/estimate.ts';
import { usd } from '../../src/domain/money.ts';
import { openEndedClaim } from '../../src/domain/open-ended.ts';

/** $1 a 1,000 output tokens, after an input of one cent. */
function open(maxOutputTokens: number | null): Estimate {
  return {
    search: null,
    priceId: 'p',
    inputTokens: 10,
    choices: 1,
    extraOutputTokens: 0,
    openEnded: true,
    outputTokensPerChoice: null,
    maxOutputTokens,
    outputCeiling: null,
    billing: { fixed: 10 ** 10, perOutputToken: 10 ** 9, denominator: 1, exact: null },
    otherBillings: [],
  };
}

/** The output tokens of a call with one budget of money. */
function sized(estimate: Estimate, room: bigint, amount: bigint, crowd: number, last: boolean): number {
  const pools = [{ meter: 'cost_usd', room, amount, maxHold: null } as const];
  return openEndedClaim(estimate, { pools, crowd, last }).outputTokens;
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
