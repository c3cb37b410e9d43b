/**
 * As whom the server runs. PostgreSQL refuses to run as root, so root lends it an unprivileged account; anyone else
 * runs it as themselves.
 */
import { lchown, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface Account {
  uid: number;
  gid: number;
}

/** The unprivileged user 65534, the same on Debian, Alpine and Red Hat. */
const UNPRIVILEGED: Account = { uid: 65534, gid: 65534 };

/** Why the server cannot run here, and what to do about it. Its message is meant for people. */
export class EmbeddedPostgresError extends Error {
  override name = 'EmbeddedPostgresError';
}

/** Whether this process is root, and so must not run the server under its own account. */
export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * The account for the database in `directory`; null: our own. Data with an owner keeps it;
 * data of root (a restored backup) is given away first, the folder itself last, so that an interruption is repaired
 * by the next start.
 */
export async function accountFor(directory: string): Promise<Account | null> {
  if (!isRoot()) return null;
  const owner = await stat(directory).catch(() => null);
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  if (owner) {
    for (const entry of await readdir(directory, { recursive: true })) await give(join(directory, entry));
    await give(directory);
  }
  return UNPRIVILEGED;
}

function give(path: string): Promise<void> {
  return lchown(path, UNPRIVILEGED.uid, UNPRIVILEGED.gid);
}

/** What PostgreSQL's programs get from us: their account, their folder, and none of our environment's secrets. */
export function spawnOptions(account: Account | null, cwd: string) {
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  return account === null ? { cwd, env } : { cwd, env, uid: account.uid, gid: account.gid };
}

/**
 * How a program whose working folder is `directory` names that folder. An unprivileged account may be unable to enter
 * it by its path (root's home is 0700); Linux lets it reach its working folder anyway, so data need not move.
 */
export function ownFolder(account: Account | null, directory: string): string {
  return account !== null && process.platform === 'linux' ? '/proc/self/cwd' : directory;
}
