import { describe, expect, test } from 'vitest';
import {
  costUpTo,
  type Estimate,
  estimate,
  outputTokensFor,
  smallestClaim,
} from '../../src/domain/estimate.ts';
import { usd } from '../../src/domain/money.ts';
import type { Operation } from '../../src/domain/operation.ts';
import { noneBeyondText } from '../../src/domain/operation.ts';
import type { RateCard } from '../../src/domain/price.ts';
import { book, NOW, operation } from './fixtures.ts';

function card(model: string): RateCard {
  const found = book.find(model, NOW);
  if (!found) throw new Error(`no card for ${model}`);
  return found;
}

function estimated(model: string, changes: Partial<Operation>, strict = true): Estimate {
  const result = estimate(operation({ model, ...changes }), card(model), { strict });
  if ('code' in result) throw new Error(result.message);
  return result;
}

/** The cost of a call with a limit of its own. */
function cost(model: string, changes: Partial<Operation>, strict = true) {
  return smallestClaim(estimated(model, changes, strict)).cost;
}

const inputCost = (of: Estimate) => costUpTo(of, 0);

function refused(changes: Partial<Operation>, rateCard: RateCard | null) {
  return estimate(operation(changes), rateCard, { strict: true });
}

describe('the bound of a call', () => {
  test('is its input at the dearest kind and its output limit in every choice, with the extra tokens', () => {
    // gpt-6.2-sol: cache writes cost 2.5, output 10. 1,000 × 2.5 + (100 × 3 + 7) × 10 = 5,570 USD per million.
    const result = estimated('gpt-6.2-sol', { choices: 3, extraOutputTokens: 7 });
    expect(smallestClaim(result)).toEqual({ input_tokens: 1_000, output_tokens: 307, cost: usd('0.00557') });
    expect(result.priceId).toBe('gpt-6.2-sol/default/2026-11-17');
  });

  test('takes the long-context rates from the threshold on, which some pages include and others do not', () => {
    const below = cost('gpt-5.4', { inputTokensBound: 271_999, outputTokensLimit: 0 });
    const at = cost('gpt-5.4', { inputTokensBound: 272_000, outputTokensLimit: 0 });
    expect(below).toBe(usd('0.6799975'));
    expect(at).toBe(usd('1.36'));
  });

  test('is that of the default tier for a cheaper one, because a flex call may be served as default', () => {
    const flex = estimated('gpt-5', { serviceTier: 'flex' });
    expect(smallestClaim(flex).cost).toBe(cost('gpt-5', {}));
    expect(flex.priceId).toBe('gpt-5/flex/2025-08-07');
  });

  test('is that of the priority tier where it is asked for, or where the account may choose it', () => {
    expect(cost('gpt-5', { serviceTier: 'priority' })).toBe(usd('0.0045'));
    expect(cost('gpt-5', {}, false)).toBe(usd('0.0045'));
    expect(cost('gpt-5', {})).toBe(usd('0.00225'));
  });

  test('of a tier that excludes long contexts is the dearer of that tier and the long default one', () => {
    const changes = { inputTokensBound: 300_000, outputTokensLimit: 1, serviceTier: 'priority' } as const;
    expect(cost('gpt-5.5', changes)).toBe(usd('3.750075'));
  });

  test("is the client's own limit, as it is sent, also above the sourced maximum of the model", () => {
    const result = estimated('gpt-4o', { outputTokensLimit: 1_000_000, choices: 2 });
    expect(smallestClaim(result).output_tokens).toBe(2_000_000);
    expect(estimated('gpt-6.2-sol', { outputTokensLimit: 1_000_000 }).outputTokensPerChoice).toBe(1_000_000);
  });

  test('never has less input than bytes, but for the maximum that the embeddings API sets for a request', () => {
    expect(estimated('gpt-4o', { inputTokensBound: 500_000 }).inputTokens).toBe(500_000);
    const embeddings = { inputAtMostModelMaximum: true, inputTokensBound: 500_000, outputTokensLimit: 0 };
    expect(estimated('text-embedding-3-small', embeddings).inputTokens).toBe(300_000);
    expect(estimated('text-similarity-ada-001', embeddings).inputTokens).toBe(500_000);
  });

  test("of what only the window bounds is the model's maximum input", () => {
    const beyondText = { ...noneBeyondText(), windowParam: 'messages' };
    expect(estimated('gpt-4o', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(128_000);
    // The larger counts.
    expect(estimated('gpt-4o', { beyondText, inputTokensBound: 200_000 }).inputTokens).toBe(200_000);
  });

  test('of images is what their pixels cost by the rule of the family', () => {
    const images = [
      { size: { width: 1024, height: 1024 }, detail: 'auto' as const },
      { size: null, detail: 'low' as const },
    ];
    const beyondText = { ...noneBeyondText(), images, imageParam: 'messages' };
    expect(estimated('gpt-4o', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(50 + 765 + 85);
    expect(estimated('gpt-5-mini', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(50 + 1659 + 2489);
    // Some models bill more for images than they read.
    const many = { ...beyondText, images: Array(400).fill({ size: null, detail: 'low' }) };
    expect(estimated('gpt-4o-mini', { beyondText: many, inputTokensBound: 50 }).inputTokens).toBe(1_133_250);
  });

  test('of images without a rule is the maximum input; without a size, the largest image of the rule', () => {
    const beyondText = {
      ...noneBeyondText(),
      images: [{ size: null, detail: 'auto' as const }],
      imageParam: 'messages',
    };
    expect(estimated('gpt-5.4-pro', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(1_050_000);
    expect(estimated('gpt-6-sol', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(36_050);
  });

  test('of documents counts the images that they may become', () => {
    const beyondText = { ...noneBeyondText(), windowParam: 'messages', hasFiles: true };
    expect(estimated('gpt-4o-mini', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(
      50 + 500 * 48_169,
    );
    expect(estimated('gpt-5.4', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(1_260_050);
    expect(estimated('gpt-5.4-pro', { beyondText, inputTokensBound: 50 }).inputTokens).toBe(1_050_000);
  });

  test('of a compaction is the window twice, and the longest output beside the answer', () => {
    const beyondText = { ...noneBeyondText(), windowParam: 'context_management', compactions: 1 };
    expect(estimated('gpt-5-mini', { beyondText })).toMatchObject({
      inputTokens: 544_000,
      extraOutputTokens: 128_000,
    });
  });

  test('is zero for a free operation, with or without a price', () => {
    const free = estimate(operation({ billable: false, outputTokensLimit: null }), null, { strict: true });
    expect(free).toMatchObject({ openEnded: false, priceId: null });
    expect('code' in free || smallestClaim(free).cost).toBe(0n);
  });
});

describe('an open-ended call', () => {
  test('has no cost before it has a limit', () => {
    const result = estimated('gpt-4o', { outputTokensLimit: null, choices: 2 });
    expect(result).toMatchObject({ openEnded: true, outputTokensPerChoice: null, maxOutputTokens: 16_384 });
    expect(costUpTo(result, 16_384)).toBe(usd('0.33018'));
  });

  test('affords nothing with an amount that does not pay for its input', () => {
    const result = estimated('gpt-4o', { outputTokensLimit: null });
    expect(outputTokensFor(result, inputCost(result) - 1n)).toBe(0);
    expect(outputTokensFor(result, -1n)).toBe(0);
    const embeddings = estimated('text-embedding-3-small', {
      inputAtMostModelMaximum: true,
      outputTokensLimit: 0,
    });
    expect(outputTokensFor(embeddings, inputCost(embeddings) - 1n)).toBe(0);
    expect(outputTokensFor(result, inputCost(result) + usd('0.00001'))).toBe(1);
  });

  test('cannot be limited to anything but a count', () => {
    const result = estimated('gpt-4o', { outputTokensLimit: null });
    for (const bad of [-1, 0.5, Number.NaN, 2 ** 53]) expect(() => costUpTo(result, bad)).toThrow(RangeError);
  });
});

describe('a call ends in an error', () => {
  test('when its model has no price, by name and cut to a readable length', () => {
    expect(refused({ model: 'gpt-7' }, null)).toMatchObject({ code: 'unknown_price', param: 'model' });
    expect(refused({ model: 'gpt-7' }, null)).toHaveProperty('message', expect.stringContaining("'gpt-7'"));
    const long = refused({ model: 'x'.repeat(100_000) }, null);
    expect('message' in long && long.message.length).toBeLessThan(200);
  });

  test('when the tier that it asks for has no price', () => {
    const result = refused({ serviceTier: 'flex' }, card('gpt-4o'));
    expect(result).toMatchObject({ code: 'unknown_price', param: 'service_tier' });
  });

  test('when the tier that it may be served in instead has no price', () => {
    const { flex } = card('gpt-5').tiers;
    const result = refused({ serviceTier: 'flex' }, { ...card('gpt-5'), tiers: flex ? { flex } : {} });
    expect(result).toMatchObject({ code: 'unknown_price', param: 'model' });
  });

  test('when it may pass the threshold of a default tier without a long-context price', () => {
    const { priority } = card('gpt-5.5').tiers;
    const only = { ...card('gpt-5.5'), tiers: priority ? { default: priority } : {} };
    expect(refused({ inputTokensBound: 272_001 }, only)).toMatchObject({ code: 'unknown_price' });
    expect(refused({ inputTokensBound: 271_999 }, only)).not.toHaveProperty('code');
  });

  test('when its model bills fees outside its tokens', () => {
    const result = refused({}, card('sora-2'));
    expect(result).toMatchObject({ code: 'unbounded_request', param: 'model' });
  });

  test('when only an unsourced maximum would bound its input, naming the field', () => {
    const beyondText = { ...noneBeyondText(), windowParam: 'messages' };
    const result = refused({ beyondText }, card('gpt-4-32k'));
    expect(result).toMatchObject({ code: 'unbounded_request', param: 'messages' });
  });
});
