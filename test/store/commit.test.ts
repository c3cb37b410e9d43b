/** A commit counts only when the server answered COMMIT, whatever stands between. */
import { sql as drizzleSql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { closeClient, openClient, openDatabase, runOn, type Sql } from '../../src/store/database.ts';
import { type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { programOrSkip } from '../support/programs.ts';

const { database, connection, drop } = await createTestDatabase({ migrated: false });
const { sql } = database;
await sql`create table written (id int primary key)`;
afterAll(drop);
const pgbouncer = programOrSkip('pgbouncer', 'pgbouncer');

async function written(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`select count(*)::int4 as count from written`;
  return row!.count;
}

it('a transaction that the server undid is not committed', async () => {
  const undone = sql.begin(async (tx) => {
    await tx`insert into written values (1)`;
    // Its error is lost on the way, as a pooler or a caller may lose it.
    await tx`select 1 / 0`.catch(() => {});
    return 'done';
  });
  await expect(undone).rejects.toMatchObject({ code: 'NOT_COMMITTED', message: /answered with ROLLBACK/ });
  expect(await written()).toBe(0);
  // The connection is of use again.
  await sql.begin((tx) => tx`insert into written values (1)`);
  expect(await written()).toBe(1);
});

it("neither is one of Drizzle's", async () => {
  const undone = database.db.transaction(async (tx) => {
    await tx.execute(drizzleSql`insert into written values (2)`);
    await tx.execute(drizzleSql`select 1 / 0`).catch(() => {});
  });
  await expect(undone).rejects.toMatchObject({ cause: { code: 'NOT_COMMITTED' } });
  expect(await written()).toBe(1);
  await database.db.transaction((tx) => tx.execute(drizzleSql`delete from written`));
});

it('a savepoint undoes its own part alone', async () => {
  await sql.begin(async (tx) => {
    await tx`insert into written values (1)`;
    await tx.savepoint((inner) => inner`select 1 / 0`.execute()).catch(() => {});
    await tx`insert into written values (2)`;
  });
  expect(await written()).toBe(2);
  await sql`delete from written`;
});

/** A server that another client of the pooler has told to forget its statements. */
it('a server that lost a prepared statement is asked again', async () => {
  const client = openClient(connection, 1);
  const ask = (id: number) => client<{ id: number }[]>`select ${id}::int4 as id`;
  expect(await ask(1)).toEqual([{ id: 1 }]);
  await client.unsafe('deallocate all');
  expect(await ask(2)).toEqual([{ id: 2 }]);
  await closeClient(client);

  const other = openClient(connection, 1);
  const insert = (id: number) => other.begin((tx) => tx`insert into written values (${id})`);
  await insert(1);
  await other.unsafe('deallocate all');
  await insert(2);
  expect(await written()).toBe(2);
  await sql`delete from written`;
  await closeClient(other);
});

it('a statement whose result has changed is prepared anew', async () => {
  const client = openClient(connection, 1);
  expect(await client`select * from written`).toEqual([]);
  await client`alter table written add column note text`;
  expect(await client`select * from written`).toEqual([]);
  await client`alter table written drop column note`;
  await closeClient(client);
});

describe.skipIf(pgbouncer.missing).each(['session', 'transaction'] as const)(
  'behind PgBouncer in %s mode',
  (mode) => {
    let pooler: PgBouncer;
    beforeAll(async () => {
      pooler = await startPgBouncer(pgbouncer.path, mode, mode === 'session' ? 20 : 3);
    });
    afterAll(() => pooler.stop());

    it('what was committed is there, and nothing else; no statement needs a setting for it', async () => {
      const through = openDatabase(pooler.url(connection.database));
      const insert = (client: Sql, id: number) =>
        client.begin(async (tx) => {
          await tx`insert into written values (${id})`;
          await tx`select ${'x'.repeat(id % 5)}::text, ${id}::int4`;
        });
      const outcomes = await Promise.allSettled(
        Array.from({ length: 200 }, (_, id) => insert(id % 2 ? through.sql : through.readSql, id)),
      );
      const committed = outcomes.filter(({ status }) => status === 'fulfilled');
      expect(await written()).toBe(committed.length);
      expect(committed).toHaveLength(200);
      await sql`delete from written`;
      // Drizzle's, and what each session has set.
      await through.db.transaction((tx) => tx.execute(drizzleSql`insert into written values (1)`));
      const rows = await runOn(through.db)<{ now: string }>(drizzleSql`select now()::text as now`);
      expect(rows[0]!.now).toMatch(/^\d{4}-\d\d-\d\d .*\+00$/);
      expect(await written()).toBe(1);
      await sql`delete from written`;
      await through.close();
    });
  },
);
