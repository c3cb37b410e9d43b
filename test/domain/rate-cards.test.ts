import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import {
  type Model,
  makePrice,
  type Price,
  type PriceFields,
  RateCards,
  textLines,
  textPriceOf,
} from '../../src/domain/price.ts';
import { book, NOW } from './fixtures.ts';

function price(id: string, changes: Partial<PriceFields>): Price {
  return makePrice({
    id,
    model: 'm',
    tier: 'default',
    effectiveFromMs: 0,
    lines: textLines({ input: 1n, cachedInput: null, cacheWrite: null, output: 1n }, 1_000_000),
    longContextAboveTokens: null,
    origin: 'seed',
    ...changes,
  });
}

function idOf(rateCards: RateCards, model: string, atMs: number): string | undefined {
  return rateCards.find(model, atMs)?.tiers.default?.id;
}

describe('the price of a name', () => {
  test.each([
    ['gpt-4o', 'gpt-4o/default/2024-08-06'],
    ['gpt-4o-2024-11-20', 'gpt-4o/default/2024-08-06'],
    ['gpt-4o-2024-05-13', 'gpt-4o-2024-05-13/default/2024-05-13'],
    ['gpt-4-0613', 'gpt-4-0613/default/2020-06-11'],
    ['gpt-3.5-turbo-0125', 'gpt-3.5-turbo-0125/default/2020-06-11'],
    ['gpt-3.5-turbo-instruct-0914', 'gpt-3.5-turbo-instruct/default/2020-06-11'],
    ['gpt-3.5-turbo-0613', 'gpt-3.5-turbo-0613/default/2020-06-11'],
    ['ft:gpt-4o-mini-2024-07-18:acme::id', 'ft:gpt-4o-mini-2024-07-18/default/2024-07-18'],
    ['ft:gpt-4o-mini-2024-07-18:acme:name:id:ckpt-step-9', 'ft:gpt-4o-mini-2024-07-18/default/2024-07-18'],
    ['ft:gpt-3.5-turbo-0125:acme::id', 'ft:gpt-3.5-turbo/default/2020-06-11'],
  ])('%s is that of %s', (model, id) => expect(idOf(book, model, NOW)).toBe(id));

  test.each([
    'gpt-7',
    '',
    'gpt-4o-2024-13-01',
    'gpt-4o-preview',
    'GPT-4o',
    'gpt-4o-2024-11-20 ',
    'x'.repeat(10_000),
    `ft:gpt-4o-mini-2024-07-18:${'x'.repeat(300)}`,
    '__proto__',
  ])('%s has none', (model) => expect(book.find(model, NOW)).toBeNull());

  test.each(['gpt-4o-realtime-preview-2025-06-03', 'gpt-5.6', 'sora-2'])(
    '%s has a reason instead',
    (model) => {
      const card = book.find(model, NOW);
      expect(card).toMatchObject({ tiers: {}, unboundedReason: expect.stringMatching(/./) });
    },
  );

  test('a fine-tuned model without a price of its own never gets that of its plain base', () => {
    expect(book.find('ft:gpt-5-2025-08-07:acme::id', NOW)).toBeNull();
    expect(book.find('ft:gpt-4o', NOW)).toBeNull();
  });

  test('a snapshot with some tiers of its own gets no tier of its base', () => {
    const rows = [
      price('own', { model: 'm-2026-01-31' }),
      price('base', {}),
      price('base-flex', { tier: 'flex' }),
    ];
    const card = new RateCards(rows, []).find('m-2026-01-31', NOW);
    expect(Object.keys(card?.tiers ?? {})).toEqual(['default']);
    expect(card?.tiers.default?.id).toBe('own');
  });

  test('a snapshot keeps its own limits and otherwise has those of its base', () => {
    expect(book.find('gpt-4o-2024-05-13', NOW)?.limits.maxOutputTokens).toBe(4_096);
    expect(book.find('gpt-4o-2024-11-20', NOW)?.limits.maxOutputTokens).toBe(16_384);
    expect(book.find('sora-2-2025-12-08', NOW)?.unboundedReason).toMatch(/shut down/);
  });
});

describe('the price of a moment', () => {
  const change = Date.parse('2025-06-10');

  test('is the newest row at or before it, whatever was read before', () => {
    for (const [atMs, input] of [
      [change, '2'],
      [change - 1, '10'],
      [change, '2'],
      [change - 1, '10'],
    ] as const) {
      const lines = book.find('o3', atMs)?.tiers.default?.lines ?? [];
      expect(textPriceOf(lines, 'short')?.input).toBe(usd(input));
    }
    expect(book.find('o3', change - 1)?.tiers.priority).toBeUndefined();
  });

  test('does not exist before the first row', () => {
    expect(book.find('gpt-6.2-sol', Date.parse('2026-11-16'))).toBeNull();
  });

  test("is an admin's row whatever the seed's date, from the admin's date on", () => {
    const rows = [
      price('admin', { origin: 'admin', effectiveFromMs: 100 }),
      price('old', { effectiveFromMs: 0 }),
      price('new', { effectiveFromMs: 200 }),
      price('flex', { tier: 'flex', effectiveFromMs: 0 }),
    ];
    const overridden = new RateCards(rows, []);
    expect([0, 99, 100, 200].map((atMs) => idOf(overridden, 'm', atMs))).toEqual([
      'old',
      'old',
      'admin',
      'admin',
    ]);
    expect(overridden.find('m', 300)?.tiers.flex?.id).toBe('flex');
  });

  test('is the same with and without the cache, in any order of questions', () => {
    const models = fc.constantFrom('m', 'm-2026-01-31', 'm-0613', 'ft:m:acme::1');
    const rows = fc.array(
      fc.record({ model: models, effectiveFromMs: fc.nat(10), origin: fc.constantFrom('seed', 'admin') }),
      { maxLength: 8 },
    );
    const questions = fc.array(fc.tuple(models, fc.nat(12)), { maxLength: 20 });
    fc.assert(
      fc.property(rows, questions, (changes, asked) => {
        const prices = changes.map((row, index) =>
          price(`${index}`, { ...row, origin: row.origin as 'seed' }),
        );
        const known: Model[] = [];
        const cached = new RateCards(prices, known);
        for (const [model, atMs] of asked) {
          expect(cached.find(model, atMs)).toEqual(new RateCards(prices, known).find(model, atMs));
        }
      }),
    );
  });

  test('is one object for as long as it applies', () => {
    expect(book.find('gpt-4o', NOW)).toBe(book.find('gpt-4o', NOW + 1));
  });
});
