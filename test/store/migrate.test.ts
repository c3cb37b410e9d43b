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

test('the migration to denials and errors keeps every count and gives each its kind', async () => {
  const { database } = await emptyDatabase();
  const { sql } = database;
  const tags = journal.entries.map(({ tag }) => tag);
  const at = tags.indexOf('0011_denials_and_errors');
  const run = async (tag: string) => {
    const text = await readFile(new URL(`${tag}.sql`, MIGRATIONS), 'utf8');
    for (const statement of text.split('--> statement-breakpoint')) await sql.unsafe(statement);
  };
  for (const tag of tags.slice(0, at)) await run(tag);
  const codes = [
    'insufficient_quota',
    'rate_limit_exceeded',
    'hold_too_large',
    'too_many_users',
    'unknown_price',
  ];
  await sql`
    insert into refusal_rollups (team_id, bucket_start, reason, calls)
    select gen_random_uuid(), timestamptz '2026-11-24', code, n * 10 from unnest(${codes}::text[]) with ordinality u (code, n)`;
  await run(tags[at]!);
  expect(await sql`select code, kind, calls::int4 from api_error_rollups order by calls`).toEqual(
    codes.map((code, index) => ({
      code,
      kind: code === 'unknown_price' ? 'error' : 'denial',
      calls: 10 * (index + 1),
    })),
  );
});
