import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Price, Prices } from '../../src/admin/contract.ts';
import { usd } from '../../src/domain/money.ts';
import { costOf } from '../../src/domain/price.ts';
import { readRateBook } from '../../src/store/rate-cards.ts';
import { loadSeed } from '../../src/store/seed-load.ts';
import { createTestAdmin, type Json, type TestAdmin } from './support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const NOW_MS = Date.parse(NOW);

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  await loadSeed(admin.database);
});
afterAll(() => admin.close());

const cardOf = async (model: string, atMs = NOW_MS) =>
  (await readRateBook(admin.database.sql)).find(model, atMs);

describe("an admin's price", () => {
  test('makes a model callable at its rates and divisor', async () => {
    expect(await cardOf('house-1')).toBeNull();
    const body = {
      model: 'house-1',
      input_usd: '0.0015',
      cached_input_usd: '0.0001',
      output_usd: '0.002',
      per_tokens: 1000,
      max_output_tokens: 4096,
      source: 'our contract of 2026',
    };
    const made = await admin.make('/prices', body);
    Price.parse(made);
    expect(made).toMatchObject({
      ...{ model: 'house-1', tier: 'default', input_usd: '0.0015', cache_write_usd: null, per_tokens: 1000 },
      ...{ effective_from: NOW, origin: 'admin', long_context: null, source: 'our contract of 2026' },
    });
    const card = await cardOf('house-1');
    expect(card?.limits.maxOutputTokens).toBe(4096);
    expect(card?.tiers.default).toMatchObject({
      id: made.id,
      lines: [
        { meter: 'input_tokens', per: 1000, rate: 1_500_000_000n },
        { meter: 'cached_input_tokens', per: 1000, rate: 100_000_000n },
        { meter: 'output_tokens', per: 1000, rate: 2_000_000_000n },
      ],
    });
  });

  test("names a model's limits and the rule for its images", async () => {
    const body = { model: 'house-eye', input_usd: '1', output_usd: '2', source: 'x' };
    await admin.make('/prices', { ...body, max_input_tokens: 5000, image_rule: 'gpt-4o' });
    expect((await cardOf('house-eye'))?.limits).toEqual({
      maxInputTokens: 5000,
      maxOutputTokens: null,
      imageRule: expect.objectContaining({ kind: 'tiles', base: 85, tile: 170 }),
    });
    await admin.make('/prices', { ...body, max_output_tokens: 7 });
    expect((await cardOf('house-eye'))?.limits).toMatchObject({ maxInputTokens: 5000, maxOutputTokens: 7 });
    const refused = await admin.ask('POST', '/prices', { ...body, image_rule: 'gpt-9' });
    expect(refused).toMatchObject({ status: 400, body: { error: { param: 'image_rule' } } });
  });

  test.each(['gpt-5.6-sol', 'gpt-6.3', 'gpt-10', 'ft:gpt-6-luna'])(
    'of %s needs a rate for cache writes, which that family bills',
    async (model) => {
      const body = { model, input_usd: '1', output_usd: '2', source: 'x' };
      const refused = await admin.ask('POST', '/prices', body);
      expect(refused).toMatchObject({ status: 400, body: { error: { param: 'cache_write_usd' } } });
      expect((await admin.ask('POST', '/prices', { ...body, cache_write_usd: '1.25' })).status).toBe(201);
    },
  );

  test('overrides what comes with Tollgate from its date on, until it is deleted', async () => {
    const body = { model: 'gpt-4o-mini', input_usd: '1', output_usd: '2', source: 'x' };
    const made = await admin.make('/prices', { ...body, effective_from: '2026-12-01' });
    const inForce = async (date: string) => (await cardOf('gpt-4o-mini', Date.parse(date)))?.tiers.default;
    expect((await inForce('2026-11-30'))?.origin).toBe('seed');
    expect((await inForce('2026-12-01'))?.id).toBe(made.id);
    const deleted = await admin.ask('DELETE', `/prices/${made.id}`);
    expect(deleted.body).toEqual({ ...made, deleted_at: NOW });
    expect(await admin.ask('DELETE', `/prices/${made.id}`)).toEqual(deleted);
    expect((await inForce('2026-12-01'))?.origin).toBe('seed');
  });

  test('needs a rate of output, which may be zero', async () => {
    const body = { model: 'house-embedding', input_usd: '0.5', source: 'x' };
    expect(await admin.ask('POST', '/prices', body)).toMatchObject({
      status: 400,
      body: { error: { param: 'output_usd' } },
    });
    expect(await admin.make('/prices', { ...body, output_usd: '0' })).toMatchObject({ output_usd: '0.00' });
  });

  test('can change its source, but not its rates', async () => {
    const made = await admin.make('/prices', {
      model: 'house-3',
      input_usd: '1',
      output_usd: '1',
      source: 'x',
    });
    const changed = await admin.ask('PATCH', `/prices/${made.id}`, { source: 'a better source' });
    expect(changed.body).toEqual({ ...made, source: 'a better source' });
    expect(await admin.ask('PATCH', `/prices/${made.id}`, { input_usd: '2' })).toMatchObject({ status: 400 });
  });
});

describe("an admin's price of lines", () => {
  test('prices other meters than tokens', async () => {
    const line = { meter: 'audio_seconds', per: 60, rate: '0.006' };
    const made = await admin.make('/prices', { model: 'house-whisper', lines: [line], source: 'x' });
    Price.parse(made);
    expect(made).toMatchObject({
      lines: [{ ...line, tier: 'default' }],
      ...{
        input_usd: null,
        cached_input_usd: null,
        output_usd: null,
        long_context: null,
        per_tokens: 1_000_000,
      },
    });
    const price = (await cardOf('house-whisper'))?.tiers.default;
    expect(price && costOf({ audio_seconds: 90_000_000 }, price)).toBe(usd('0.009'));
    expect(price && costOf({ audio_seconds: 1, input_tokens: 1 }, price)).toBeNull();
  });

  test('stands beside the rates of text, and shows them', async () => {
    const text = { input_usd: '1', cached_input_usd: '0.1', output_usd: '4', per_tokens: 1_000_000 };
    const lines = [{ meter: 'web_search_calls', per: 1000, rate: '10', tier: 'flex' }];
    const made = await admin.make('/prices', {
      model: 'house-search',
      tier: 'flex',
      ...text,
      lines,
      source: 'x',
    });
    expect(made).toMatchObject({ input_usd: '1.00', cached_input_usd: '0.10', cache_write_usd: null });
    expect((made.lines as Json[]).map((line) => [line.meter, line.per, line.rate, line.tier])).toEqual([
      ['input_tokens', 1_000_000, '1.00', 'flex'],
      ['cached_input_tokens', 1_000_000, '0.10', 'flex'],
      ['output_tokens', 1_000_000, '4.00', 'flex'],
      ['web_search_calls', 1000, '10.00', 'flex'],
    ]);
    const price = (await cardOf('house-search'))?.tiers.flex;
    const usage = { input_tokens: 1_000, output_tokens: 100, web_search_calls: 2 };
    expect(price && costOf(usage, price)).toBe(usd('0.0214'));
  });

  test('may have two bands, chosen by the input', async () => {
    const line = (meter: string, rate: string, band: string) => ({ meter, per: 1_000_000, rate, band });
    const lines = [
      ...[line('input_tokens', '1', 'short'), line('output_tokens', '2', 'short')],
      ...[line('input_tokens', '3', 'long'), line('output_tokens', '4', 'long')],
    ];
    const body = { model: 'house-long', lines, long_context_above_tokens: 1000, source: 'x' };
    const made = await admin.make('/prices', body);
    expect(made).toMatchObject({
      ...{ input_usd: '1.00', output_usd: '2.00', long_context_above_tokens: 1000 },
      long_context: { input_usd: '3.00', output_usd: '4.00' },
    });
    const price = (await cardOf('house-long'))?.tiers.default;
    expect(price && costOf({ input_tokens: 1000, output_tokens: 1 }, price)).toBe(usd('0.001002'));
    expect(price && costOf({ input_tokens: 1001, output_tokens: 1 }, price)).toBe(usd('0.003007'));
  });

  const input = { meter: 'input_tokens', per: 1, rate: '1' };
  test.each([
    ['a meter that does not exist', { lines: [{ ...input, meter: 'tokens' }] }, 'lines[0].meter'],
    ['no units', { lines: [{ ...input, per: 0 }] }, 'lines[0].per'],
    ['a rate that is a number', { lines: [{ ...input, rate: 1 }] }, 'lines[0].rate'],
    ['a line of another tier', { lines: [{ ...input, tier: 'flex' }] }, 'lines[0].tier'],
    ['a band without a threshold', { lines: [{ ...input, band: 'long' }] }, 'lines[0].band'],
    ['two lines of one meter', { lines: [input, input] }, 'lines'],
    ['a line of what a field says', { input_usd: '1', output_usd: '1', lines: [input] }, 'lines'],
    ['half of the rates of text', { output_usd: '1', lines: [input] }, 'input_usd'],
    ['no line', { lines: [] }, 'lines'],
  ])('ends in an error with %s', async (_, fields, param) => {
    const answer = await admin.ask('POST', '/prices', { model: 'house-4', source: 'x', ...fields });
    expect(answer).toMatchObject({ status: 400, body: { error: { param } } });
  });
});

describe('a price that comes with Tollgate', () => {
  test('is listed and shown by its id, but neither changed nor deleted', async () => {
    const rows: Json[] = [];
    let after = '';
    do {
      const page = await admin.get(`/prices?limit=100${after}`);
      Prices.parse(page);
      rows.push(...page.data);
      after = page.next === null ? '' : `&after=${page.next}`;
    } while (after !== '');
    expect(new Set(rows.map((row) => row.id)).size).toBe(rows.length);
    const seed = rows.find((row) => row.model === 'gpt-4o-mini' && row.tier === 'default')!;
    const path = `/prices/${encodeURIComponent(seed.id)}`;
    expect(await admin.get(path)).toEqual(seed);
    const own = (await admin.get('/prices?model=gpt-4o-mini')).data;
    expect(own.map((row) => row.id)).toContain(seed.id);
    expect(own.every((row) => row.model === 'gpt-4o-mini')).toBe(true);
    expect((await admin.ask('DELETE', path)).status).toBe(409);
    expect((await admin.ask('PATCH', path, { source: 'x' })).status).toBe(409);
  });
});
