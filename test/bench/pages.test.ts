import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adminPages, openAdmin } from '../../bench/pages/admin-pages.ts';
import { dashboardPages } from '../../bench/pages/list.ts';
import { rowsRead, rowsReadBy } from '../../bench/pages/rows.ts';
import { seedLedger } from '../../bench/pages/seed.ts';
import { SEARCHED_MAX } from '../../src/store/events.ts';
import { LOOKED_AT_MAX } from '../../src/store/savings.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** Not in order: of so few rows that lie together Postgres reads all, where of millions it goes by the index. */
const SIZE = { events: 60_000, teams: 10, days: 90 };
/** Days that dashboards show, and those of a month that began before them. */
const DAYS_SHOWN = 31;

/** Pages that look at many calls, and at how many: what is rare is searched for, and reports look at the latest. */
const CALLS_LOOKED_AT: Record<string, number> = {
  // Once to find where the search ends, and once for what matches.
  'calls: of nobody': 2 * SEARCHED_MAX + 1,
  'labels: calls to check': 2 * SEARCHED_MAX + 1,
  'savings: 30 days': LOOKED_AT_MAX + SIZE.events / 20,
  'models: 30 days': LOOKED_AT_MAX + SIZE.events / 20,
  // Those with a tag are searched for among the latest; here these are all of them.
  'models: 30 days of a tag': SIZE.events + 1,
};

/** A list shows fifty calls, of a model that every eighth call asks for, and every team's unknown outcomes are summed. */
const EVENTS_SHOWN = SIZE.events / 20;

let test: TestDatabase;
let sumsADay: number;
let quartersADay: number;

beforeAll(async () => {
  test = await createTestDatabase({ hotConnectionsMax: 1, adminConnectionsMax: 1 });
  await seedLedger(test.database.sql, SIZE, () => {});
  const [row] = await test.database.sql<{ most: number }[]>`
    select max(count)::int4 as most from (select count(*) from usage_days group by day) days`;
  sumsADay = row!.most;
  const [quarters] = await test.database.sql<{ most: number }[]>`
    select max(count)::int4 as most from (
      select count(*) from usage_rollups group by date_trunc('day', bucket_start, 'UTC')) days`;
  quartersADay = quarters!.most;
}, 120_000);
afterAll(() => test.drop());

it('sums are far fewer than events, or the test below would prove nothing', () => {
  expect(sumsADay * DAYS_SHOWN).toBeLessThan(SIZE.events / 8);
});

describe('a page reads no more rows than its days have sums, and never events', () => {
  it.each(dashboardPages(new Date()))('$name', async (query) => {
    const read = await rowsRead(test.database.sql, query);
    const tables = [...read.keys()];
    expect(tables.filter((table) => table.startsWith('usage_events'))).toEqual([]);
    const catalogue = 40 * SIZE.teams;
    const rows = [...read.values()].reduce((sum, count) => sum + count, 0);
    expect(rows).toBeLessThan(sumsADay * DAYS_SHOWN + catalogue);
  });
});

describe('a page of the console reads no more than it shows', () => {
  it.each(adminPages(new Date()))('$name', async ({ name, path }) => {
    const read = await rowsReadBy(test.database, () => openAdmin(test.database)(path));
    const rowsOf = (prefix: string) =>
      [...read].reduce((sum, [table, rows]) => (table.startsWith(prefix) ? sum + rows : sum), 0);
    expect(rowsOf('usage_events')).toBeLessThan(CALLS_LOOKED_AT[name] ?? EVENTS_SHOWN);
    // Two months and more of days; of quarters those of today, of the edges, and of hours that a midnight cuts off.
    expect(rowsOf('usage_days')).toBeLessThan(sumsADay * 2 * SIZE.days);
    expect(rowsOf('usage_rollups')).toBeLessThan(quartersADay * 6);
    // Sums by model are many times as many.
    if (name.endsWith('sums by value')) expect(rowsOf('usage_tag_days')).toBe(0);
  });
});
