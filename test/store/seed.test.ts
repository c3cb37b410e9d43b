import { calcPrice } from '@pydantic/genai-prices';
import { describe, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { type Price, type TextPrice, textPriceOf } from '../../src/domain/price.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const { prices, models } = readSeed();
const byId = new Map(prices.map((price) => [price.id, price]));

function standardOf(price: Price): TextPrice {
  const text = textPriceOf(price.lines, 'short');
  if (!text) throw new Error(`${price.id} is no price of text`);
  return text;
}

function input(id: string): string | null {
  const price = byId.get(id);
  return price ? formatUsd(standardOf(price).input) : null;
}

const isPriced = (model: string) => prices.some((price) => price.model === model);

describe('the seed', () => {
  test('names a source of every price and of every model', () => {
    for (const row of [...prices, ...models]) expect(row.source.length).toBeGreaterThan(3);
  });

  test('prices only models that it describes, and describes only models that it prices', () => {
    const described = models.filter((row) => row.unboundedReason === null || isPriced(row.model));
    expect(new Set(prices.map((price) => price.model))).toEqual(new Set(described.map((row) => row.model)));
  });

  test('has a default price for every model: any tier may be served as default', () => {
    for (const { model, unboundedReason } of models) {
      if (unboundedReason !== null && !isPriced(model)) continue;
      expect(prices.some((price) => price.model === model && price.tier === 'default')).toBe(true);
    }
  });

  test('changes the whole request to long-context rates above 272,000 tokens, never to lower ones', () => {
    const long = prices.filter((price) => price.longContextAboveTokens !== null);
    expect(long.length).toBeGreaterThan(40);
    for (const price of long) {
      expect(price.longContextAboveTokens).toBe(272_000);
      const longContext = price.long && textPriceOf(price.lines, 'long');
      if (longContext) expect(longContext.input > standardOf(price).input).toBe(true);
    }
  });

  test('marks the tiers that publish no long-context price beside a default tier that does', () => {
    const without = prices.filter((price) => price.longContextAboveTokens !== null && !price.long);
    expect(without.map((price) => price.id).sort()).toEqual([
      'gpt-5.4/priority/2026-03-05',
      'gpt-5.5-pro/batch/2026-04-23',
      'gpt-5.5-pro/flex/2026-04-23',
      'gpt-5.5/priority/2026-04-23',
    ]);
  });

  test('keeps the prices of 2022, a thousand times those for 1,000 tokens', () => {
    expect(input('davinci/default/2020-06-11')).toBe('60.00');
    expect(input('davinci/default/2022-09-01')).toBe('20.00');
    expect(input('ada/default/2020-06-11')).toBe('0.80');
    expect(input('ada/default/2022-09-01')).toBe('0.40');
    expect(input('text-similarity-davinci-001/default/2020-06-11')).toBe('600.00');
  });

  test('prices moderations at zero', () => {
    expect(input('omni-moderation-latest/default/2020-06-11')).toBe('0.00');
  });

  test('does not understate a maximum output that the page of the model states', () => {
    const maximum = new Map(models.map((row) => [row.model, row.maxOutputTokens]));
    expect(maximum.get('gpt-4-0613')).toBe(8_192);
    expect(maximum.get('davinci-002')).toBe(16_384);
    expect(maximum.get('gpt-5-pro')).toBe(272_000);
    expect(maximum.get('babbage-002')).toBeNull();
  });

  test('marks models with search fees as unbounded, and says why a name has no price', () => {
    const reasons = models.filter((row) => row.unboundedReason !== null);
    const tools = reasons.filter((row) => isPriced(row.model)).map((row) => row.model);
    const searches = ['web_search', 'web_search_preview', 'web_search_preview/non-reasoning'];
    expect(tools).toEqual([...searches, 'file_search']);
    expect(reasons.length).toBeGreaterThanOrEqual(20);
  });
});

const UNDATED = 'it knows no price before 2022-09-01 and gives the later one';
const FINE_TUNED = 'it knows no cached rate of fine-tuned models; the pricing page lists one';

/** What genai-prices says otherwise, and why we do not follow it: `<id> <meter>`. */
const DISAGREEMENTS: Record<string, string> = {
  'ada/default/2020-06-11 input': UNDATED,
  'ada/default/2020-06-11 output': UNDATED,
  'babbage/default/2020-06-11 input': UNDATED,
  'babbage/default/2020-06-11 output': UNDATED,
  'curie/default/2020-06-11 input': UNDATED,
  'curie/default/2020-06-11 output': UNDATED,
  'davinci/default/2020-06-11 input': UNDATED,
  'davinci/default/2020-06-11 output': UNDATED,
  'ft:gpt-4o-2024-08-06/default/2024-08-06 cachedInput': FINE_TUNED,
  'ft:gpt-4o-mini-2024-07-18/default/2024-07-18 cachedInput': FINE_TUNED,
  'o3/default/2025-04-16 cachedInput': 'it repeats the later cached rate; we take cached input as input then',
};

/** Floats of USD per million tokens, as decimals again: no published price has more than six places. */
function decimal(price: number): bigint {
  return usd(price.toFixed(6));
}

/** Both bands of one of their prices; without tiers the second is missing. */
function bandsOf(value: unknown): (bigint | null)[] {
  if (typeof value === 'number') return [decimal(value), null];
  if (typeof value !== 'object' || value === null) return [null, null];
  const { base, tiers } = value as { base: number; tiers: { price: number }[] };
  return [decimal(base), tiers[0] ? decimal(tiers[0].price) : null];
}

const METERS: [keyof TextPrice, string][] = [
  ['input', 'input_mtok'],
  ['cachedInput', 'cache_read_mtok'],
  ['cacheWrite', 'cache_write_mtok'],
  ['output', 'output_mtok'],
];

function disagreements(price: Price, theirs: Record<string, unknown>): string[] {
  const short = standardOf(price);
  const longContext = price.long && textPriceOf(price.lines, 'long');
  return METERS.flatMap(([meter, key]) => {
    const [standard, long] = bandsOf(theirs[key]);
    const differs =
      (short[meter] || null) !== (standard || null) || (longContext?.[meter] || null) !== (long || null);
    return differs ? [`${price.id} ${meter}`] : [];
  });
}

describe('the seed against genai-prices', () => {
  const compared = prices
    .filter((price) => price.tier === 'default' && textPriceOf(price.lines, 'short') !== null)
    .flatMap((price) => {
      const next = prices.filter(
        (row) =>
          row.model === price.model && row.tier === 'default' && row.effectiveFromMs > price.effectiveFromMs,
      );
      const atMs = Math.min(Date.parse('2026-11-20'), ...next.map((row) => row.effectiveFromMs - 1));
      const options = { providerId: 'openai', timestamp: new Date(atMs) };
      const theirs = calcPrice({ input_tokens: 1 }, price.model, options)?.model_price;
      return theirs ? [{ price, theirs }] : [];
    });

  test('all standard prices that both know agree, but for the known disagreements', () => {
    expect(compared.length).toBeGreaterThan(40);
    const found = compared.flatMap(({ price, theirs }) => disagreements(price, theirs));
    expect(found.sort()).toEqual(Object.keys(DISAGREEMENTS).sort());
  });
});
