/** What a cluster of Citus would get; that it works there is shown by `npm run attack -- --citus`. */
import { afterAll, expect, test } from 'vitest';
import { CannotDistribute, distribute, SPREAD_TABLES } from '../../src/store/distribute.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { connection, database, drop } = await createTestDatabase();
afterAll(drop);

test('every table whose key begins with the team is spread, and no other', async () => {
  const rows = await database.sql<{ name: string }[]>`
    select c.relname as name from pg_index i
    join pg_class c on c.oid = i.indrelid
    join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
    where i.indisprimary and a.attname = 'team_id' and not c.relispartition`;
  expect(rows.map((row) => row.name).sort()).toEqual(SPREAD_TABLES.toSorted());
});

test('a unique index of a spread table has the team in it', async () => {
  const rows = await database.sql<{ name: string }[]>`
    select i.indexrelid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indrelid
    where i.indisunique and c.relname = any(${[...SPREAD_TABLES]}::text[]) and not exists (
      select 1 from pg_attribute a where a.attrelid = c.oid and a.attname = 'team_id' and a.attnum = any(i.indkey))`;
  expect(rows).toEqual([]);
});

test('no spread table has a trigger, but for the one that distribute drops', async () => {
  const rows = await database.sql<{ name: string }[]>`
    select tgrelid::regclass || ': ' || tgname as name from pg_trigger
    where not tgisinternal and tgrelid::regclass::text = any(${[...SPREAD_TABLES]}::text[])`;
  expect(rows.map((row) => row.name)).toEqual(['leases: expect_generation']);
});

test('on one Postgres a team has no place, and distributing it says what is missing', async () => {
  const [row] = await database.sql<{ place: string | null }[]>`
    select tollgate_place('00000000-0000-0000-0000-000000000000') as place`;
  expect(row).toEqual({ place: null });
  const refused = distribute(connection);
  await expect(refused).rejects.toThrow(CannotDistribute);
  await expect(refused).rejects.toThrow('has no extension citus');
});
