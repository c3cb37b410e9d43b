import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  costUpTo,
  type Estimate,
  estimate,
  outputTokensFor,
  smallestClaim,
} from '../../src/domain/estimate.ts';
import type { Operation } from '../../src/domain/operation.ts';
import { costOf, type RateCard, type ServiceTier } from '../../src/domain/price.ts';
import { book, NOW, operation, seed } from './fixtures.ts';

const cards = seed.models.flatMap(({ model }): RateCard[] => {
  const card = book.find(model, NOW);
  const isOfTokens = card?.tiers.default?.short.text ?? null;
  return card && card.unboundedReason === null && isOfTokens !== null ? [card] : [];
});
const cardAndTier = fc.constantFrom(
  ...cards.flatMap((card) =>
    ([null, 'default', 'flex', 'priority'] as const)
      .filter((tier) => tier === null || card.tiers[tier])
      .map((tier) => ({ card, tier })),
  ),
);

const THRESHOLD = 272_000;
const inputBounds = fc.oneof(
  fc.nat(5_000),
  fc.integer({ min: THRESHOLD - 2, max: THRESHOLD + 2 }),
  fc.nat(2_000_000),
);
const shapes = fc.record({
  inputTokensBound: inputBounds,
  outputTokensLimit: fc.oneof(fc.nat(300), fc.nat(2 ** 31)),
  choices: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 128 })),
  extraOutputTokens: fc.oneof(fc.constant(0), fc.nat(10_000)),
  inputBoundByModel: fc.boolean(),
});

function estimateOrNull(operation: Operation, card: RateCard, strict: boolean): Estimate | null {
  const result = estimate(operation, card, { strict });
  return 'code' in result ? null : result;
}

/** A part of a whole, the extremes often: the bound must hold where everything is of the dearest kind. */
const fractions = fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true }));
const part = (whole: number, fraction: number): number => Math.min(whole, Math.floor(whole * fraction));

test('no usage within the bound costs more than the bound, in any tier that may be billed', () => {
  const mixes = fc.tuple(fractions, fractions, fractions, fractions);
  let compared = 0;
  fc.assert(
    fc.property(cardAndTier, shapes, fc.boolean(), mixes, ({ card, tier }, shape, strict, mix) => {
      const result = estimateOrNull(operation({ serviceTier: tier, ...shape }), card, strict);
      if (result === null) return;
      const { cost, input_tokens, output_tokens } = smallestClaim(result);
      const inputTokens = part(input_tokens, mix[0]);
      const cachedTokens = part(inputTokens, mix[1]);
      const usage = {
        input_tokens: inputTokens,
        cached_input_tokens: cachedTokens,
        cache_write_tokens: part(inputTokens - cachedTokens, mix[2]),
        output_tokens: part(output_tokens, mix[3]),
      };
      const billed: ServiceTier[] = tier === null && !strict ? ['default', 'flex', 'priority'] : ['default'];
      if (tier !== null) billed.push(tier);
      for (const each of billed) {
        const price = card.tiers[each];
        const actual = price ? costOf(usage, price) : null;
        if (actual === null) continue;
        compared++;
        expect(actual <= cost, `${price?.id}: ${actual} > ${cost}`).toBe(true);
      }
    }),
    { numRuns: 3_000 },
  );
  expect(compared).toBeGreaterThan(2_000);
});

test('the bound is tight: some usage within it costs all of it', () => {
  for (const card of cards) {
    const result = estimateOrNull(operation({ inputTokensBound: 1_000, outputTokensLimit: 50 }), card, true);
    const price = card.tiers.default;
    if (!result || !price) throw new Error(`${card.model} has no estimate`);
    const usages = [{}, { cached_input_tokens: 1_000 }, { cache_write_tokens: 1_000 }];
    const costs = usages.map((kind) => costOf({ input_tokens: 1_000, output_tokens: 50, ...kind }, price));
    expect(costs).toContain(smallestClaim(result).cost);
  }
});

test('the output tokens for an amount are the most that it pays for', () => {
  const perChoice = fc.oneof(fc.nat(100), fc.nat(1_000_000));
  fc.assert(
    fc.property(
      cardAndTier,
      shapes,
      perChoice,
      fc.bigInt({ min: -2_000_000n, max: 2_000_000n }),
      ({ card, tier }, shape, outputTokens, change) => {
        const open = operation({ serviceTier: tier, ...shape, outputTokensLimit: null });
        const result = estimateOrNull(open, card, true);
        if (result === null) return;
        const amount = costUpTo(result, outputTokens) + change;
        const affordable = outputTokensFor(result, amount);
        if (affordable === Number.MAX_SAFE_INTEGER) {
          expect(card.tiers.default?.short.factors.get('output_tokens')).toBe(0n);
          return;
        }
        if (affordable > 0) expect(costUpTo(result, affordable) <= amount).toBe(true);
        expect(costUpTo(result, affordable + 1) > amount).toBe(true);
      },
    ),
    { numRuns: 2_000 },
  );
});
