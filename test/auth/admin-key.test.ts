import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isAdmin, loadOrMakeAdminKey } from '../../src/auth/admin-key.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tollgate-admin-key-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('only the whole key as a bearer is the admin', () => {
  const key = 'a-key-of-the-admin';
  expect(isAdmin(`Bearer ${key}`, key)).toBe(true);
  expect(isAdmin(`bearer  ${key}`, key)).toBe(true);
  for (const header of [
    undefined,
    '',
    key,
    'Bearer',
    'Bearer ',
    `Bearer ${key}x`,
    `Bearer ${key.slice(1)}`,
  ]) {
    expect(isAdmin(header, key)).toBe(false);
  }
});

test('a configured key is used and written nowhere', async () => {
  const dataDir = join(folder, 'data');
  expect(await loadOrMakeAdminKey('configured', dataDir)).toEqual({ key: 'configured', made: false });
  expect(await readdir(folder)).toEqual([]);
});

test('a made key is kept in a file that only its owner reads, and is the same at the next start', async () => {
  const dataDir = join(folder, 'new', 'data');
  const first = await loadOrMakeAdminKey(null, dataDir);
  expect(first).toEqual({ key: expect.stringMatching(/^tga-[\w-]{43}$/), made: true });
  const { mode } = await stat(join(dataDir, 'admin-key'));
  expect(mode & 0o777).toBe(0o600);
  expect(await loadOrMakeAdminKey(null, dataDir)).toEqual({ key: first.key, made: false });
  expect(await readdir(dataDir)).toEqual(['admin-key']);
});

test('of many that start at once one makes the key and all have it', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => loadOrMakeAdminKey(null, folder)));
  expect(new Set(all.map(({ key }) => key)).size).toBe(1);
  expect(all.filter(({ made }) => made)).toHaveLength(1);
  expect((await readFile(join(folder, 'admin-key'), 'utf8')).trim()).toBe(all[0]!.key);
});

test('a file without a key stops the start instead of opening the door', async () => {
  await writeFile(join(folder, 'admin-key'), '\n');
  await expect(loadOrMakeAdminKey(null, folder)).rejects.toThrow('admin-key');
});
