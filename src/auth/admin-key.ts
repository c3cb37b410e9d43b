/**
 * The admin key: the bearer key of the admin API. Owns: its check, and the file in which a made one is kept.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Whether an `Authorization` header carries the admin key; the time it takes tells nothing about the key. */
export function isAdmin(authorization: string | undefined, adminKey: string): boolean {
  const [, bearer] = /^Bearer +(\S+) *$/i.exec(authorization ?? '') ?? [];
  return bearer !== undefined && isSame(bearer, adminKey);
}

/** Whether two secrets are the same, in a time that tells nothing about either. */
export function isSame(given: string, wanted: string): boolean {
  // Digests have one length, which timingSafeEqual needs.
  return timingSafeEqual(digest(given), digest(wanted));
}

function digest(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/**
 * The configured key, else the one kept in `<dataDir>/admin-key` (0600), else a new one that is kept there.
 * `made` says that it is new, so that it is printed once. Of several processes that start at once one makes the key.
 * @throws when the folder cannot be written, or the file holds no key
 */
export async function loadOrMakeAdminKey(
  configured: string | null,
  dataDir: string,
): Promise<{ key: string; made: boolean }> {
  if (configured !== null) return { key: configured, made: false };
  const path = join(dataDir, 'admin-key');
  const kept = await readKey(path);
  if (kept !== null) return { key: kept, made: false };
  const key = `tga-${randomBytes(32).toString('base64url')}`;
  if (await keep(dataDir, path, key)) return { key, made: true };
  return { key: (await readKey(path)) ?? key, made: false };
}

async function readKey(path: string): Promise<string | null> {
  try {
    const key = (await readFile(path, 'utf8')).trim();
    if (!/^\S+$/.test(key)) throw new Error(`${path} holds no key: remove it to have a new one made`);
    return key;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** A link appears at once, whole, and never over a file that exists; so no process reads half a key. */
async function keep(dataDir: string, path: string, key: string): Promise<boolean> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`;
  await writeFile(draft, `${key}\n`, { mode: 0o600, flag: 'wx' });
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await unlink(draft);
  }
}
