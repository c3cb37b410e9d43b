/** What becomes of the pools when connections to Postgres are cut or fall silent, at whatever moment. */
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { closeClient, openClient, openDatabase } from '../../src/store/database.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type PostgresProxy, startProxy } from '../support/proxy.ts';

/** What waits without a deadline waits for good. */
const SOON_MS = 20_000;

let proxy: PostgresProxy;
const address = () => ({ path: proxy.path, user: 'postgres', database: 'postgres' });
const cut = () => proxy.cut();
const freeze = () => proxy.freeze();
beforeAll(async () => {
  proxy = await startProxy();
});
beforeEach(() => {
  proxy.opened = 0;
});

it('rejects a transaction whose connection was cut, and serves the next one', async () => {
  const sql = openClient(address(), 1);
  for (let attempt = 0; attempt < 5; attempt++) {
    const cutOff = sql.begin(async (tx) => {
      await tx`select 1`;
      setTimeout(cut, 10);
      await tx`select pg_sleep(60)`;
    });
    await expect(cutOff).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    expect(await sql.begin((tx) => tx`select ${attempt}::int4 as attempt`)).toEqual([{ attempt }]);
  }
  await closeClient(sql);
});

it('writes again on a pool that was cut while writes were due', async () => {
  const sql = openClient(address(), 1);
  await sql`select 1`;
  for (let attempt = 0; attempt < 20; attempt++) {
    cut();
    // A query in each turn of the loop: one of them is due when the connection is found closed.
    const queries: Promise<unknown>[] = [];
    for (let turn = 0; turn < 10; turn++) {
      queries.push(sql`select 1`.catch((error) => error));
      await new Promise(setImmediate);
    }
    await Promise.all(queries);
    expect(await sql`select ${attempt}::int4 as attempt`).toEqual([{ attempt }]);
  }
  await closeClient(sql);
});

it('survives a connection that is cut while it is made', async () => {
  const sql = openClient(address(), 1);
  proxy.slamNext = true;
  // A rejection that is nobody's would end the process, and here the run.
  await expect(sql`select 1`).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
  expect(await sql`select ${['a', 'b']}::text[] as list`).toEqual([{ list: ['a', 'b'] }]);
  await closeClient(sql);
});

it('a statement on a silent connection fails in time, and the next one gets a new connection', async () => {
  const database = openDatabase(address(), { hotDeadlineMs: 3000 });
  await Promise.all([1, 2, 3].map(() => database.sql`select pg_sleep(0.05)`));
  await database.readSql`select 1`;
  expect(proxy.opened).toBe(4);
  freeze();
  const began = performance.now();
  await expect(database.sql`select 1`).rejects.toMatchObject({ code: 'CONNECTION_LOST', isSilence: true });
  // The others that idled were dropped with it, in every pool: none has to be tried.
  expect(await database.sql`select 1 as one`).toEqual([{ one: 1 }]);
  expect(await database.readSql`select 1 as one`).toEqual([{ one: 1 }]);
  expect(performance.now() - began).toBeLessThan(SOON_MS);
  expect(proxy.opened).toBe(6);
  await database.close();
});

it('a transaction that falls silent lets go of its locks', async () => {
  const database = openDatabase(address(), { hotDeadlineMs: 3000 });
  const { sql } = database;
  await sql`create table if not exists silent (id int primary key)`;
  await sql`insert into silent values (1) on conflict do nothing`;
  const silent = sql.begin(async (tx) => {
    await tx`select 1 from silent where id = 1 for update`;
    freeze();
    await tx`select 1`;
  });
  await expect(silent).rejects.toMatchObject({ isSilence: true });
  const [row] = await sql.within(30_000)`select id from silent where id = 1 for update`;
  expect(row).toEqual({ id: 1 });
  await sql`drop table silent`;
  await database.close();
});

it('a caller does not wait longer than the deadline for a connection that others use', async () => {
  const database = openDatabase(address(), { hotConnectionsMax: 1, hotDeadlineMs: 400 });
  const slow = database.sql.within(30_000)`select pg_sleep(1)`.execute();
  await expect(database.sql`select 1`).rejects.toThrow(/no connection to Postgres was free within 400 ms/);
  await slow;
  expect(await database.sql`select 1 as one`).toEqual([{ one: 1 }]);
  await database.close();
});

it('a server that takes connections and says nothing is given up in time', async () => {
  const mute = createServer();
  const folder = await temporaryFolder();
  await new Promise<void>((resolve) => mute.listen(join(folder, '.s.PGSQL.5432'), resolve));
  const url = `postgres:///postgres?host=${encodeURIComponent(folder)}&user=postgres&connect_timeout=1`;
  const sql = openClient(url, 1);
  const began = performance.now();
  await expect(sql`select 1`).rejects.toThrow(/no connection within 1000 ms/);
  expect(performance.now() - began).toBeLessThan(SOON_MS);
  await closeClient(sql);
  mute.close();
});
