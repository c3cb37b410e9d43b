/** What becomes of the pools when connections to Postgres are cut, at whatever moment. */
import { connect as connectTo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { closeClient, openClient } from '../../src/store/database.ts';
import { temporaryFolder } from '../support/folder.ts';

/** A door to the tests' server that can be slammed. */
const doors = new Set<Socket>();
/** The door is slammed on who says this, and stays shut; empty: on nobody. */
let slamOn = '';
const server = createServer((client) => {
  const upstream = connectTo(inject('postgresSocket'));
  client.pipe(upstream).pipe(client);
  client.on('data', (bytes) => {
    if (slamOn === '' || !bytes.includes(slamOn)) return;
    slamOn = '';
    server.close();
    client.destroy();
  });
  for (const socket of [client, upstream]) socket.on('error', () => socket.destroy());
  client.on('close', () => doors.delete(client) && upstream.destroy());
  doors.add(client);
});
const cut = () => {
  for (const door of doors) door.end();
};

let path: string;
beforeAll(async () => {
  path = join(await temporaryFolder(afterAll), '.s.PGSQL.5432');
  await new Promise<void>((resolve) => server.listen(path, resolve));
});
afterAll(() => {
  for (const door of doors) door.destroy();
  server.close();
});

it('rejects a transaction whose connection was cut, and serves the next one', async () => {
  const sql = openClient({ path, user: 'postgres', database: 'postgres' }, 1);
  for (let attempt = 0; attempt < 5; attempt++) {
    const cutOff = sql.begin(async (tx) => {
      await tx`select 1`;
      setTimeout(cut, 10);
      await tx`select pg_sleep(60)`;
    });
    await expect(cutOff).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    expect(await sql.begin((tx) => tx`select ${attempt}::int4 as attempt`)).toEqual([{ attempt }]);
  }
  await closeClient(sql);
});

it('writes again on a connection that was cut while a write was due', async () => {
  const sql = openClient({ path, user: 'postgres', database: 'postgres' }, 1);
  await sql`select 1`;
  for (let attempt = 0; attempt < 20; attempt++) {
    cut();
    // A query in each turn of the loop: one of them is due when the connection is found closed.
    const queries: Promise<unknown>[] = [];
    while (doors.size > 0) {
      queries.push(sql`select 1`.catch((error) => error));
      await new Promise(setImmediate);
    }
    await Promise.all(queries);
    expect(await sql`select ${attempt}::int4 as attempt`).toEqual([{ attempt }]);
  }
  await closeClient(sql);
});

it('survives a connection that is cut while the driver prepares it for itself', async () => {
  const sql = openClient({ path, user: 'postgres', database: 'postgres' }, 1);
  slamOn = 'typcategory';
  // A rejection that is nobody's would end the process, and here the run.
  await expect(sql`select 1`).rejects.toMatchObject({ code: 'ENOENT' });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  expect(await sql`select ${['a', 'b']}::text[] as list`).toEqual([{ list: ['a', 'b'] }]);
  await closeClient(sql);
});
