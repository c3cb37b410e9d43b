import { describe, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import {
  costOf,
  makePrice,
  type Price,
  type RateCard,
  textLines,
  tierBilled,
} from '../../src/domain/price.ts';
import type { Usage } from '../../src/domain/usage.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const rows = new Map(readSeed().prices.map((price) => [price.id, price]));

function seedPrice(id: string): Price {
  const price = rows.get(id);
  if (!price) throw new Error(`no row ${id}`);
  return price;
}

function usage(counts: Partial<Usage>): Usage {
  return {
    input_tokens: 0,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    output_tokens: 0,
    reasoning_tokens: 0,
    ...counts,
  };
}

const luna = seedPrice('gpt-5.6-luna/default/2026-07-30');
const gpt4o = seedPrice('gpt-4o-mini/default/2024-07-18');

describe('the cost of usage', () => {
  test('is the sum of uncached, cached, cache-written and output tokens at their own rates', () => {
    // 600 × 0.2 + 300 × 0.02 + 100 × 0.25 + 50 × 1.2 = 120 + 6 + 25 + 60 = 211 USD per million
    const counts = {
      input_tokens: 1_000,
      cached_input_tokens: 300,
      cache_write_tokens: 100,
      output_tokens: 50,
    };
    expect(costOf(usage(counts), luna)).toBe(usd('0.000211'));
  });

  test('moves as a whole to the long-context rates one token above the threshold', () => {
    expect(costOf(usage({ input_tokens: 272_000, output_tokens: 10 }), luna)).toBe(usd('0.054412'));
    expect(costOf(usage({ input_tokens: 272_001, output_tokens: 10 }), luna)).toBe(usd('0.1088184'));
  });

  test('takes cached and cache-written tokens as plain input where the card lists no rate for them', () => {
    const batch = seedPrice('gpt-4.1/batch/2025-04-14');
    const counts = { input_tokens: 10, cached_input_tokens: 4, cache_write_tokens: 5 };
    expect(costOf(usage(counts), batch)).toBe(costOf(usage({ input_tokens: 10 }), batch));
  });

  test('is rounded once, up, to the smallest unit of money', () => {
    const rates = { input: 1n, cachedInput: null, cacheWrite: null, output: 1n };
    const price = makePrice({ ...gpt4o, lines: textLines(rates, 3) });
    expect(costOf(usage({ input_tokens: 1, output_tokens: 1 }), price)).toBe(1n);
    expect(costOf(usage({ input_tokens: 2, output_tokens: 2 }), price)).toBe(2n);
  });

  test('is zero for no usage, not unknown', () => {
    expect(costOf(usage({}), luna)).toBe(0n);
  });

  test.each([
    ['negative', { input_tokens: -1 }],
    ['fractional', { input_tokens: 1, output_tokens: 0.5 }],
    ['not a number', { output_tokens: Number.NaN }],
    ['beyond exact integers', { input_tokens: 2 ** 53 }],
    ['of more partitions than input', { input_tokens: 10, cached_input_tokens: 6, cache_write_tokens: 5 }],
    ['of a negative partition', { input_tokens: 10, cached_input_tokens: -5, cache_write_tokens: 5 }],
  ])('is unknown when the usage is %s', (_, counts) => {
    expect(costOf(usage(counts), luna)).toBeNull();
  });

  test('is unknown for a long context in a tier that publishes no price for one', () => {
    const priority = seedPrice('gpt-5.5/priority/2026-04-23');
    expect(costOf(usage({ input_tokens: 272_000 }), priority)).toBe(usd('3.4'));
    expect(costOf(usage({ input_tokens: 272_001 }), priority)).toBeNull();
  });
});

describe('the tier billed', () => {
  const card: RateCard = {
    model: 'gpt-4o-mini',
    limits: { maxInputTokens: null, maxOutputTokens: null, imageRule: null },
    unboundedReason: null,
    tiers: { default: gpt4o, priority: seedPrice('gpt-4o-mini/priority/2024-07-18') },
  };

  test.each([null, 'auto', 'default'])('is the standard one when the response says %s', (tier) => {
    expect(tierBilled(card, tier)).toBe('default');
  });

  test('is the one that the response names', () => {
    expect(tierBilled(card, 'priority')).toBe('priority');
  });

  test.each(['flex', 'scale', 'ultrafast', '', '__proto__', 'constructor'])(
    'is unknown when the response says %j, which the card does not price',
    (tier) => expect(tierBilled(card, tier)).toBeNull(),
  );
});
