import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Price, Prices } from '../../src/admin/contract.ts';
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
  test('makes a model callable, at the rates and the divisor that were given', async () => {
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

  test('names the price of output, be it zero', async () => {
    const body = { model: 'house-embedding', input_usd: '0.5', source: 'x' };
    expect(await admin.ask('POST', '/prices', body)).toMatchObject({
      status: 400,
      body: { error: { param: 'output_usd' } },
    });
    expect(await admin.make('/prices', { ...body, output_usd: '0' })).toMatchObject({ output_usd: '0.00' });
  });

  test('never changes its rates, only what is said of its source', async () => {
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
