import { describe, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { RateCards } from '../../src/domain/price.ts';
import { priceBook } from '../../src/planner/book.ts';
import { estimateUsage, type UsageQuestion } from '../../src/planner/usage.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const seed = readSeed();
const book = priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');

const QUESTION: UsageQuestion = {
  ...{ kind: 'usage', calls_per_day: 1000, prompt_tokens: 500, cached_tokens: 0, answer_tokens: 200 },
  ...{ days: 30, tier: 'default', credit_usd: '18.00' },
};

function estimated(question: Partial<UsageQuestion>) {
  const found = estimateUsage({ ...QUESTION, ...question }, book, NOW_MS);
  if (isApiError(found)) throw new Error(found.message);
  return found;
}

describe('an estimate of usage', () => {
  it('has the four models of 2022, from the fastest to the most powerful, and how far $18 went', () => {
    const { models, date } = estimated({ date: '2022-07-15' });
    expect(date).toBe('2022-07-15');
    expect(models.map(({ source: _, ...row }) => Object.values(row))).toEqual([
      ['ada', 'fastest', '0.00056', '16.80', '32142', '32.1', 'ada/default/2020-06-11'],
      ['babbage', null, '0.00084', '25.20', '21428', '21.4', 'babbage/default/2020-06-11'],
      ['curie', null, '0.0042', '126.00', '4285', '4.3', 'curie/default/2020-06-11'],
      ['davinci', 'most powerful', '0.042', '1260.00', '428', '0.4', 'davinci/default/2020-06-11'],
    ]);
    for (const { source } of models) expect(source).toMatch(/2022-07/);
  });

  it('follows a change of prices to the day', () => {
    const costs = (date: string) => estimated({ date }).models.map((row) => row.cost_usd);
    expect(costs('2022-08-31')).toEqual(['16.80', '25.20', '126.00', '1260.00']);
    expect(costs('2022-09-01')).toEqual(['8.40', '10.50', '42.00', '420.00']);
  });

  it('lists what is served now, cheapest first, and nothing that was shut down', () => {
    const { models } = estimated({});
    const names = models.map(({ model }) => model);
    expect(names).toEqual(
      expect.arrayContaining(['gpt-6-luna', 'gpt-6.2-sol', 'gpt-6-astra', 'gpt-4o-mini']),
    );
    for (const gone of ['ada', 'davinci', 'gpt-4', 'gpt-3.5-turbo-0125', 'o1', 'web_search'])
      expect(names).not.toContain(gone);
    expect(names.some((name) => name.startsWith('ft:') || name.includes('embedding'))).toBe(false);
    const costs = models.map(({ cost_usd }) => Number(cost_usd));
    expect(costs).toEqual(costs.toSorted((a, b) => a - b));
  });

  it('knows no model before the API began', () => {
    expect(estimateUsage({ ...QUESTION, date: '2019-01-01' }, book, NOW_MS)).toMatchObject({ param: 'date' });
  });

  it('bills cached input at its rate, long input at the long rate, and a tier at its own', () => {
    const of = (question: Partial<UsageQuestion>) =>
      estimated({ models: ['gpt-6-sol'], answer_tokens: 0, days: 1, calls_per_day: 1, ...question })
        .models[0]!;
    expect(of({ prompt_tokens: 1_000 }).cost_usd).toBe('0.002');
    expect(of({ prompt_tokens: 1_000, cached_tokens: 500 }).cost_usd).toBe('0.0011');
    expect(of({ prompt_tokens: 1_000, tier: 'batch' }).cost_usd).toBe('0.001');
    expect(of({ prompt_tokens: 300_000 }).cost_usd).toBe('1.20');
  });

  it('is exact where a float is not', () => {
    const question = { models: ['gpt-5-nano'], prompt_tokens: 1, answer_tokens: 0, days: 366 };
    expect(estimated({ ...question, calls_per_day: 999_999_999 }).models[0]!.cost_usd).toBe('18299.9999817');
  });

  it.each<[Partial<UsageQuestion>, string]>([
    [{ cached_tokens: 501 }, 'cached_tokens'],
    [{ models: ['gpt-99'] }, 'models'],
    [{ models: ['gpt-6-luna'], date: '2022-07-15' }, 'models'],
    [{ models: ['gpt-5.2-pro'], tier: 'priority' }, 'models'],
  ])('%j is refused, naming %s', (question, param) => {
    expect(estimateUsage({ ...QUESTION, ...question }, book, NOW_MS)).toMatchObject({ param });
  });
});
