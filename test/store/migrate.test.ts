import { readFile } from 'node:fs/promises';
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api';
import { afterEach, expect, test } from 'vitest';
import { openDatabase } from '../../src/store/database.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import * as schema from '../../src/store/schema.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const made: TestDatabase[] = [];
async function emptyDatabase() {
  const test = await createTestDatabase({ migrated: false });
  made.push(test);
  return test;
}
afterEach(async () => {
  await Promise.all(made.splice(0).map((test) => test.drop()));
});

const MIGRATIONS = new URL('../../drizzle/', import.meta.url);
const journal = JSON.parse(await readFile(new URL('meta/_journal.json', MIGRATIONS), 'utf8')) as {
  entries: { tag: string }[];
};

test('four first starts at once on an empty database all succeed, and each migration runs once', async () => {
  const { connection, database } = await emptyDatabase();
  await Promise.all(Array.from({ length: 4 }, () => migrateDatabase(connection)));
  const [row] = await database.sql<{ count: number }[]>`
    select count(*)::int4 as count from drizzle.__drizzle_migrations`;
  expect(row!.count).toBe(journal.entries.length);
});

test('a migrated database is left as it is', async () => {
  const { connection, database } = await emptyDatabase();
  await migrateDatabase(connection);
  await database.sql`update catalog_version set version = 7`;
  await migrateDatabase(connection);
  expect([...(await database.sql`select version::int4 from catalog_version`)]).toEqual([{ version: 7 }]);
});

test('the tables of the schema are the tables of the migrations', async () => {
  const last = `meta/${journal.entries.at(-1)!.tag.slice(0, 4)}_snapshot.json`;
  const migrated = JSON.parse(await readFile(new URL(last, MIGRATIONS), 'utf8'));
  const drawn = generateDrizzleJson(schema, migrated.id);
  expect(await generateMigration(migrated, drawn)).toEqual([]);
});

test('events are partitioned by month, with a place for those that no month takes', async () => {
  const { connection, database } = await emptyDatabase();
  await migrateDatabase(connection);
  const [row] = await database.sql`
    select pg_get_partkeydef('usage_events'::regclass) as key,
      pg_get_expr(relpartbound, oid) as bound from pg_class where relname = 'usage_events_default'`;
  expect(row).toEqual({ key: 'RANGE (created_at)', bound: 'DEFAULT' });
});

test('the clock of SQL is the real one, unless a session sets another', async () => {
  const { connection, database } = await emptyDatabase();
  await migrateDatabase(connection);
  const [real] = await database.sql<{ skew: number }[]>`
    select abs(extract(epoch from tollgate_now() - clock_timestamp()))::float8 as skew`;
  expect(real!.skew).toBeLessThan(1);
  const stopped = openDatabase(connection, { settings: { 'tollgate.now': '2026-01-31T23:59:59Z' } });
  const [row] = await stopped.sql`select tollgate_now() as now`;
  await stopped.close();
  expect(row).toEqual({ now: new Date('2026-01-31T23:59:59Z') });
});
