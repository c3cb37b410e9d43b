import { afterAll, expect, test } from 'vitest';
import { closeClient, openClient, openDatabase } from '../../src/store/database.ts';
import { plans } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { connection, database, drop } = await createTestDatabase();
afterAll(drop);

test('no value loses a digit in the raw client', async () => {
  const [row] = await database.sql`
    select 123456789012.123456789012::numeric(24, 12) as money, 9223372036854775807::int8 as count,
      '2026-02-03T04:05:06.789Z'::timestamptz as moment, '{"a": [1, null]}'::jsonb as json`;
  expect(row).toEqual({
    money: '123456789012.123456789012',
    count: '9223372036854775807',
    moment: new Date('2026-02-03T04:05:06.789Z'),
    json: { a: [1, null] },
  });
});

test('drizzle beside it does not change what the raw client reads and writes', async () => {
  await database.db
    .insert(plans)
    .values({ name: 'p', grants: [{ amount_usd: '1', months: 3 }], createdAt: new Date(0) });
  const [row] = await database.sql`select created_at, grants from plans where name = 'p'`;
  expect(row).toEqual({ created_at: new Date(0), grants: [{ amount_usd: '1', months: 3 }] });
  const json = database.sql.json([{ amount_usd: '1', months: 4 }]);
  await database.sql`update plans set grants = ${json} where name = 'p'`;
  const [plan] = await database.db.select().from(plans);
  expect(plan).toMatchObject({ name: 'p', grants: [{ amount_usd: '1', months: 4 }], createdAt: new Date(0) });
});

const { path, database: name } = connection;
const url = `postgres:///${name}?host=${encodeURIComponent(path.slice(0, path.lastIndexOf('/')))}&user=postgres`;

async function preparedStatements(url: string) {
  const client = openClient(url, 1);
  await client`select ${'text'}::text`;
  const rows = await client`select name from pg_prepared_statements`;
  await closeClient(client);
  return rows.length;
}

test('a URL may forbid prepared statements, for poolers that cannot keep them', async () => {
  expect(await preparedStatements(url)).toBeGreaterThan(0);
  expect(await preparedStatements(`${url}&prepare=false`)).toBe(0);
});

test('opening does not wait for the database, and a query on an absent one fails with its cause', async () => {
  const absent = openDatabase({ path: '/nonexistent/.s.PGSQL.5432', user: 'postgres', database: 'none' });
  await expect(absent.sql`select 1`).rejects.toMatchObject({ code: 'ENOENT' });
  await absent.close();
});

test('pages read from the replica that is named, all else from the database', async () => {
  const replica = await createTestDatabase();
  const both = openDatabase(connection, { readConnection: replica.connection });
  const nameOf = async (sql: typeof both.sql) =>
    (await sql<{ name: string }[]>`select current_database() as name`)[0]!.name;
  try {
    expect(await nameOf(both.readSql)).toBe(replica.connection.database);
    expect(await nameOf(both.sql)).toBe(connection.database);
  } finally {
    await both.close();
    await replica.drop();
  }
});
