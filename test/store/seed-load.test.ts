import { afterEach, beforeEach, expect, test } from 'vitest';
import { catalogChanges } from '../../src/store/hot/catalog.ts';
import { createPrice } from '../../src/store/prices.ts';
import { readRateBook } from '../../src/store/rate-cards.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';
import { loadSeed } from '../../src/store/seed-load.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let testDatabase: TestDatabase;
beforeEach(async () => {
  testDatabase = await createTestDatabase();
});
afterEach(() => testDatabase.drop());

const version = async () => (await catalogChanges(testDatabase.database.sql, 0)).version;

test('the whole seed is loaded, and loading it again changes nothing', async () => {
  const { database } = testDatabase;
  const seed = readSeed();
  await loadSeed(database);
  const book = await readRateBook(database.sql);
  for (const { source, ...price } of seed.prices) {
    expect(source).not.toBe('');
    expect(book.find(price.model, price.effectiveFromMs)?.tiers[price.tier]).toEqual(price);
  }
  for (const { source: _, imageRuleName: __, model, unboundedReason, ...limits } of seed.models) {
    const card = book.find(model, Date.now());
    if (card) expect(card).toMatchObject({ unboundedReason, limits });
  }
  const loaded = await version();
  await loadSeed(database);
  expect(await version()).toBe(loaded);
});

test('replicas that start at once load it once', async () => {
  await Promise.all([1, 2, 3, 4].map(() => loadSeed(testDatabase.database)));
  const [row] = await testDatabase.database.sql`select count(*)::int4 as count from prices`;
  expect(row?.count).toBe(readSeed().prices.length);
});

test('a seed that changes the rates of a price that events may name stops the start', async () => {
  const { database } = testDatabase;
  const seed = readSeed();
  await loadSeed(database, seed);
  const [first, ...rest] = seed.prices;
  const [line, ...others] = first!.lines;
  const dearer = { ...first!, lines: [{ ...line!, rate: line!.rate + 1n }, ...others] };
  await expect(loadSeed(database, { ...seed, prices: [dearer, ...rest] })).rejects.toThrow(first!.id);
  const dated = { ...dearer, id: `${first!.id}-2`, effectiveFromMs: first!.effectiveFromMs + 86_400_000 };
  const before = await version();
  await loadSeed(database, { ...seed, prices: [dated, ...seed.prices] });
  expect(await version()).toBeGreaterThan(before);
});

test('a newer seed updates models, except what an admin has set', async () => {
  const { database } = testDatabase;
  const model = (name: string, maxOutputTokens: number) => ({
    model: name,
    maxInputTokens: null,
    maxOutputTokens,
    imageRule: null,
    imageRuleName: null,
    unboundedReason: null,
    source: 'the model map',
  });
  await loadSeed(database, { prices: [], models: [model('chat-1', 10), model('chat-2', 10)] });
  const lines = [{ meter: 'input_tokens', per: 1000, rate: '1' } as const];
  await createPrice(database, {
    ...{ model: 'chat-1', tier: 'default', lines, longContextAboveTokens: null, effectiveFrom: null },
    ...{ limits: { maxOutputTokens: 99 }, source: 'the vendor' },
  });
  await loadSeed(database, { prices: [], models: [model('chat-1', 20), model('chat-2', 20)] });
  const rows = await database.sql`select model, max_output_tokens as max from models order by model`;
  expect(rows).toEqual([
    { model: 'chat-1', max: 99 },
    { model: 'chat-2', max: 20 },
  ]);
});
