import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Connection, closeClient, openClient } from '../../../src/store/database.ts';
import { isAlive } from '../../../src/store/embedded/cluster.ts';
import { startEmbedded } from '../../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../../support/folder.ts';
import { spawnWriter } from '../../support/writer.ts';

const dataDir = await temporaryFolder();

async function serverProcess(): Promise<number> {
  return Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10);
}

async function highestRow(connection: Connection): Promise<number> {
  const sql = openClient(connection, 1);
  const [row] = await sql<{ number: number }[]>`select max(number) as number from acknowledged`;
  await closeClient(sql);
  return row!.number;
}

test('rows acknowledged before a kill -9 of the server and its parent are there after the next start', async () => {
  for (let round = 1; round <= 3; round++) {
    const writer = spawnWriter(dataDir);
    await writer.reached(round * 300);
    process.kill(await serverProcess(), 'SIGKILL');
    writer.process.kill('SIGKILL');
    await writer.exited;
    const server = await startEmbedded({ dataDir });
    expect(await highestRow(server.connection)).toBeGreaterThanOrEqual(writer.acknowledged);
    await server.stop();
  }
});

test.runIf(process.platform === 'linux')(
  'the server ends with its killed parent, and no row is lost',
  async () => {
    const writer = spawnWriter(dataDir);
    await writer.reached(1_000);
    const orphan = await serverProcess();
    writer.process.kill('SIGKILL');
    await writer.exited;
    await expect.poll(() => isAlive(orphan), { timeout: 60_000 }).toBe(false);
    const server = await startEmbedded({ dataDir });
    expect(await highestRow(server.connection)).toBeGreaterThanOrEqual(writer.acknowledged);
    await server.stop();
  },
);

test('a killed server is restarted, and its end is reported', async () => {
  let report: (reason: string) => void;
  const crashed = new Promise<string>((resolve) => {
    report = resolve;
  });
  const server = await startEmbedded({ dataDir, onCrash: (reason) => report(reason) });
  const before = await serverProcess();
  process.kill(before, 'SIGKILL');
  expect(await crashed).toContain('ready to accept connections');
  await expect.poll(() => serverProcess().catch(() => before), { timeout: 60_000 }).not.toBe(before);
  await expect.poll(() => answers(server.connection), { timeout: 60_000 }).toBe(true);
  await server.stop();
});

async function answers(connection: Connection): Promise<boolean> {
  const sql = openClient(connection, 1);
  const answered = await sql`select 1`.then(
    () => true,
    () => false,
  );
  await closeClient(sql);
  return answered;
}
