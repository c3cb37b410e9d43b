/** A start on a database that the ledger cannot rest on ends with words that say what would do. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { checkServer } from '../../src/store/check-server.ts';
import { closeClient, openClient, type Sql } from '../../src/store/database.ts';
import { openStore } from '../../src/store/store.ts';
import { temporaryFolder } from '../support/folder.ts';

let server: Sql;
const made: string[] = [];
const at = (database: string, user = 'postgres') => ({ path: inject('postgresSocket'), user, database });
beforeAll(() => {
  server = openClient(at('postgres'), 1);
});
afterAll(async () => {
  for (const name of made) await server`drop database if exists ${server(name)} with (force)`;
  await closeClient(server);
});

async function make(options = ''): Promise<string> {
  const name = `check_${randomUUID().replaceAll('-', '')}`;
  await server.unsafe(`create database ${name} template template0 ${options}`);
  made.push(name);
  return name;
}

async function start(connection: string | ReturnType<typeof at>): Promise<void> {
  const dataDir = await temporaryFolder();
  const store = await openStore({ connection, dataDir, pgBin: null, onError: () => {} });
  await store.close();
}

it.each([
  ['LATIN1', /its encoding is LATIN1.*ENCODING 'UTF8' TEMPLATE template0/],
  ['SQL_ASCII', /its encoding is SQL_ASCII/],
])('refuses the encoding %s', async (encoding, message) => {
  const name = await make(`encoding '${encoding}' locale 'C'`);
  await expect(start(at(name))).rejects.toThrow(message);
  const sql = openClient(at(name), 1);
  expect(await sql`select tablename from pg_tables where schemaname = 'public'`).toEqual([]);
  await closeClient(sql);
});

it('refuses a read-only database', async () => {
  const name = await make();
  await server.unsafe(`alter database ${name} set default_transaction_read_only = on`);
  await expect(start(at(name))).rejects.toThrow(/it is read-only/);
});

it('refuses a search_path that leads nowhere', async () => {
  const name = await make();
  await server.unsafe(`alter database ${name} set search_path = nowhere`);
  await expect(start(at(name))).rejects.toThrow(/none of the schemas in its search_path \(nowhere\) exists/);
});

it('names every problem of an old standby', async () => {
  // Only the server's word is ours to make up here: there is no PostgreSQL 13 to run.
  const row = {
    version: 13,
    encoding: 'UTF8',
    client_encoding: 'UTF8',
    is_recovering: true,
    is_read_only: true,
    date_style: 'ISO, MDY',
    schema: 'public',
    search_path: 'public',
  };
  const sql = Object.assign(async () => [row], {}) as unknown as Sql;
  await expect(checkServer(sql)).rejects.toThrow(/PostgreSQL 13, and Tollgate needs 14 or newer; .*standby/);
});

it.each(['German', 'SQL, DMY', 'Postgres, MDY'])(
  'starts, and starts again, where DateStyle is %s',
  async (style) => {
    const name = await make();
    await server.unsafe(`alter database ${name} set datestyle = '${style}'`);
    await server.unsafe(`alter database ${name} set intervalstyle = 'sql_standard'`);
    await server.unsafe(`alter database ${name} set timezone = 'Asia/Kathmandu'`);
    await start(at(name));
    await start(at(name));
    const sql = openClient(at(name), 1);
    const [row] = await sql`select now() as now, timestamptz '2026-03-04T05:06:07Z' as moment`;
    expect(row).toEqual({ now: expect.any(Date), moment: new Date('2026-03-04T05:06:07Z') });
    await closeClient(sql);
  },
);

it('a transaction never runs with synchronous_commit off; another choice of the operator stays', async () => {
  for (const [set, used] of [
    ['off', 'on'],
    ['local', 'local'],
    ['remote_apply', 'remote_apply'],
  ]) {
    const name = await make();
    await server.unsafe(`alter database ${name} set synchronous_commit = ${set}`);
    const sql = openClient(at(name), 1);
    const inside = await sql.begin(async (tx) => (await tx`show synchronous_commit`)[0]);
    expect(inside).toEqual({ synchronous_commit: used });
    await closeClient(sql);
  }
});

it('no migration names a schema, which would be that of another installation', () => {
  const folder = new URL('../../drizzle/', import.meta.url);
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.sql')))
    expect([file, readFileSync(new URL(file, folder), 'utf8')]).toEqual([
      file,
      expect.not.stringContaining('"public"'),
    ]);
});

it('two installations share a database, each in its own schema', async () => {
  const name = await make();
  const url = `postgres:///${name}?host=${encodeURIComponent(inject('postgresSocket').replace(/\/[^/]*$/, ''))}&user=postgres`;
  const sql = openClient(at(name), 1);
  await sql.unsafe('create schema one; create schema two');
  await Promise.all([start(`${url}&schema=one`), start(`${url}&options=-csearch_path%3Dtwo`), start(url)]);
  const rows = await sql`
    select schemaname, count(*)::int4 > 20 as has_all from pg_tables
    where schemaname not in ('pg_catalog', 'information_schema') group by 1 order by 1`;
  expect(rows).toEqual([
    { schemaname: 'drizzle', has_all: false },
    { schemaname: 'one', has_all: true },
    { schemaname: 'public', has_all: true },
    { schemaname: 'two', has_all: true },
  ]);
  await closeClient(sql);
});
