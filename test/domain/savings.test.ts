import { expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { makePrice, RateCards, textLines } from '../../src/domain/price.ts';
import { batchSaving, cacheSaving, cheaperModel, familyOf, isCacheable } from '../../src/domain/savings.ts';

const price = (model: string, input: string, output: string, tier: 'default' | 'batch' = 'default') =>
  makePrice({
    id: `${model}-${tier}`,
    model,
    tier,
    effectiveFromMs: 0,
    lines: textLines(
      { input: usd(input), cachedInput: usd(input) / 10n, cacheWrite: null, output: usd(output) },
      1_000_000,
    ),
    longContextAboveTokens: null,
    origin: 'seed',
  });
const cards = new RateCards(
  [
    price('gpt-5', '2', '10'),
    price('gpt-5-mini', '0.5', '2'),
    price('gpt-5-nano', '0.1', '0.4'),
    price('gpt-4o', '1', '1'),
    price('gpt-5', '1', '5', 'batch'),
  ],
  [],
);
const names = ['gpt-5', 'gpt-5-mini', 'gpt-5-nano', 'gpt-4o'];
const use = (model: string, spent = '2.10') => ({
  model,
  calls: 2,
  spent: usd(spent),
  usage: { input_tokens: 1_000_000, cached_input_tokens: 500_000, output_tokens: 100_000 },
});

it.each([
  ['gpt-5-mini', 'gpt-5'],
  ['gpt-5-nano-2026-01-31', 'gpt-5'],
  ['gpt-5-mini-audio', 'gpt-5-audio'],
  ['gpt-4o-mini', 'gpt-4o'],
  ['ft:gpt-4o-mini:acme::1', null],
])('%s is of the family %s', (model, family) => {
  expect(familyOf(model)).toBe(family);
});

it('the cheapest model of the family is by how much the same tokens would have cost less', () => {
  // 0.5 × $2 + 0.5 × $0.2 + 0.1 × $10 = $2.10, and a twentieth of each price.
  expect(cheaperModel(cards, names, use('gpt-5'), 0)).toEqual({
    model: 'gpt-5-nano',
    saving: usd('1.995') + usd('0.01'),
  });
  expect(cheaperModel(cards, names, use('gpt-5-nano'), 0)).toBeNull();
  expect(cheaperModel(cards, names, use('gpt-4o'), 0)).toBeNull();
  expect(cheaperModel(cards, names, use('gpt-9'), 0)).toBeNull();
});

it('batches and the cache save by their prices, and nothing is said where there is no price', () => {
  expect(batchSaving(cards, use('gpt-5'), 0)).toBe(usd('1.05'));
  expect(batchSaving(cards, use('gpt-5-mini'), 0)).toBeNull();
  expect(cacheSaving(cards, use('gpt-5'), 0)).toBe(usd('0.90'));
  expect(cacheSaving(cards, use('gpt-9'), 0)).toBeNull();
  expect(['gpt-5', 'gpt-9'].map((model) => isCacheable(cards, model, 0))).toEqual([true, false]);
});

it('what cost half of the standard price saves half as much, and what cost nothing saves nothing', () => {
  for (const [spent, parts] of [
    ['1.05', 2n],
    ['0', null],
  ] as const) {
    const part = (saving: bigint) => (parts === null ? 0n : saving / parts);
    expect(cheaperModel(cards, names, use('gpt-5', spent), 0)?.saving).toBe(part(usd('2.005')));
    expect(batchSaving(cards, use('gpt-5', spent), 0)).toBe(part(usd('1.05')));
    expect(cacheSaving(cards, use('gpt-5', spent), 0)).toBe(part(usd('0.90')));
  }
});
