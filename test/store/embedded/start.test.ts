import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closeClient, openClient } from '../../../src/store/database.ts';
import { startEmbedded } from '../../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../../support/folder.ts';
import { spawnWriter } from '../../support/writer.ts';

/** A database is made once where a test is not about making it, and where a path is too long for a socket. */
const madeDataDir = join(await temporaryFolder(), 'long'.repeat(30));

const postmasterFile = (dataDir: string) => join(dataDir, 'postgres', 'postmaster.pid');

test('the server flushes to disk, listens on no network, and leaves nothing running', async () => {
  const dataDir = madeDataDir;
  const server = await startEmbedded({ dataDir });
  const sql = openClient(server.connection, 1);
  const [settings] = await sql`
    select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit,
      current_setting('listen_addresses') as listen_addresses, current_database() as database`;
  await closeClient(sql);
  await server.stop();
  expect(settings).toEqual({
    fsync: 'on',
    synchronous_commit: 'on',
    listen_addresses: '',
    database: 'tollgate',
  });
  expect(existsSync(postmasterFile(dataDir))).toBe(false);
});

test('the URL of the server works, also with a folder whose path is too long for a socket', async () => {
  const server = await startEmbedded({ dataDir: madeDataDir });
  const sql = openClient(server.url, 1);
  expect([...(await sql`select current_database() as name`)]).toEqual([{ name: 'tollgate' }]);
  await closeClient(sql);
  await server.stop();
});

test('a second process shares the running server, and does not stop it when it leaves', async () => {
  const dataDir = await temporaryFolder();
  const writer = spawnWriter(dataDir);
  await writer.started;
  const second = await startEmbedded({ dataDir });
  expect(second.adopted).toBe(true);
  await second.stop();
  await writer.reached(writer.acknowledged + 10);
  writer.process.kill('SIGTERM');
  await writer.exited;
  expect(existsSync(postmasterFile(dataDir))).toBe(false);
});

test('the last process that leaves a shared server stops it', async () => {
  const dataDir = madeDataDir;
  const first = await startEmbedded({ dataDir });
  const second = await startEmbedded({ dataDir });
  await second.stop();
  expect(existsSync(postmasterFile(dataDir))).toBe(false);
  await first.stop();
});

test('two first starts at once share one database', async () => {
  const dataDir = await temporaryFolder();
  const writer = spawnWriter(dataDir);
  const server = await startEmbedded({ dataDir });
  await writer.reached(10);
  const sql = openClient(server.connection, 1);
  const [row] = await sql<{ count: number }[]>`select count(*)::int4 as count from acknowledged`;
  expect(row!.count).toBeGreaterThanOrEqual(10);
  await closeClient(sql);
  writer.process.kill('SIGTERM');
  await writer.exited;
  await server.stop();
  expect(await readdir(dataDir)).toEqual(['postgres', 'postgres.log']);
});

/** Kills a first start inside of initdb; returns the folder that it left. On a busy machine some are done before they are killed. */
async function killedInInitdb(): Promise<string> {
  for (let tries = 1; ; tries++) {
    const dataDir = await temporaryFolder();
    const writer = spawnWriter(dataDir);
    const draft = join(dataDir, `postgres.${writer.process.pid}.tmp`);
    const begun = () => existsSync(join(draft, 'base', '1')) || existsSync(postmasterFile(dataDir));
    await expect.poll(begun, { timeout: 60_000, interval: 5 }).toBe(true);
    process.kill(-writer.process.pid!, 'SIGKILL');
    await writer.exited;
    if (existsSync(draft)) return dataDir;
    expect(tries).toBeLessThan(10);
  }
}

test('a start after a kill inside initdb begins again', async () => {
  const dataDir = await killedInInitdb();
  const server = await startEmbedded({ dataDir });
  await server.stop();
  expect(await readdir(dataDir)).toEqual(['postgres', 'postgres.log']);
});

test('data of another major version stops the start and is not changed', async () => {
  const dataDir = await temporaryFolder();
  await mkdir(join(dataDir, 'postgres'));
  await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '12\n');
  await expect(startEmbedded({ dataDir })).rejects.toThrow(/holds a PostgreSQL 12 database, .* Set PG_BIN/);
  expect(await readFile(join(dataDir, 'postgres', 'PG_VERSION'), 'utf8')).toBe('12\n');
});

test('a folder with other files stops the start', async () => {
  const dataDir = await temporaryFolder();
  await mkdir(join(dataDir, 'postgres'));
  await writeFile(join(dataDir, 'postgres', 'letter.txt'), 'dear');
  await expect(startEmbedded({ dataDir })).rejects.toThrow(/holds no PostgreSQL database: move it away/);
});

test('without the programs of Postgres the error says what to set', async () => {
  const dataDir = await temporaryFolder();
  const pgBin = join(dataDir, 'nothing');
  await expect(startEmbedded({ dataDir, pgBin })).rejects.toThrow(
    /PG_BIN=.*nothing has no postgres.*DATABASE_URL/,
  );
});

test('the error of a server that does not start has its own message', async () => {
  const dataDir = madeDataDir;
  await writeFile(join(dataDir, 'postgres', 'postgresql.conf'), 'shared_buffers = lots\n');
  await expect(startEmbedded({ dataDir })).rejects.toThrow(/does not start on .*\n(.*\n)*.*shared_buffers/);
});
