/**
 * The database's files. Invariant: `<dataDir>/postgres` is either absent or a complete cluster: it is made under
 * another name and renamed, because a kill inside initdb leaves a folder that no server starts on.
 */
import { execFile } from 'node:child_process';
import { chown, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Account, EmbeddedPostgresError, ownFolder, spawnOptions } from './account.ts';
import type { Programs } from './programs.ts';

const run = promisify(execFile);

/**
 * Makes the cluster if there is none; several processes may try at once, one of their clusters stays.
 * @throws EmbeddedPostgresError when the folder holds something else or another major version
 */
export async function ensureCluster(directory: string, programs: Programs, account: Account | null) {
  const existing = await majorOf(directory);
  if (existing === null) return createCluster(directory, programs, account);
  if (existing === programs.major) return;
  throw new EmbeddedPostgresError(
    `${directory} holds a PostgreSQL ${existing} database, but the server found is ${programs.version} (${programs.directory}). ` +
      `Set PG_BIN to the programs of PostgreSQL ${existing}, or dump the data there and restore it into a new TOLLGATE_DATA_DIR`,
  );
}

/** The major version that made the cluster; null: there is none. */
async function majorOf(directory: string): Promise<number | null> {
  const entries = await readdir(directory).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === 'ENOENT') return [];
    throw new EmbeddedPostgresError(`cannot read ${directory}: ${error.message}`);
  });
  if (entries.length === 0) return null;
  if (entries.includes('PG_VERSION')) return Number(await readFile(join(directory, 'PG_VERSION'), 'utf8'));
  throw new EmbeddedPostgresError(`${directory} is not empty and holds no PostgreSQL database: move it away`);
}

async function createCluster(directory: string, programs: Programs, account: Account | null) {
  await removeDrafts(directory);
  const draft = `${directory}.${process.pid}.tmp`;
  await mkdir(draft, { mode: 0o700 });
  if (account !== null) await chown(draft, account.uid, account.gid);
  const target = ['-D', ownFolder(account, draft)];
  // Trust, because only who may enter the 0700 folder reaches its socket, and he could read the files as well.
  const how = ['--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-instructions'];
  try {
    await run(join(programs.directory, 'initdb'), [...target, ...how], spawnOptions(account, draft));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    const { stderr } = error as { stderr?: string };
    const cause = (stderr || String(error)).trim();
    throw new EmbeddedPostgresError(
      `cannot make the database ${directory}: ${cause}. Mend that, or set DATABASE_URL`,
    );
  }
  try {
    await rename(draft, directory);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if ((await majorOf(directory)) === null) throw error;
    return; // Another process was faster: its cluster is as good.
  }
  // Without this, a power cut could bring back the draft's name, and the next start would remove what was kept in it.
  const parent = await open(dirname(directory));
  await parent.sync().finally(() => parent.close());
}

/** Removes what killed starts left; a draft of a process that lives is still being made. */
async function removeDrafts(directory: string): Promise<void> {
  const parent = dirname(directory);
  for (const name of await readdir(parent)) {
    const [pid] = /(?<=\.)\d+(?=\.tmp$)/.exec(name) ?? [];
    if (pid === undefined || name !== `${basename(directory)}.${pid}.tmp`) continue;
    if (Number(pid) !== process.pid && isAlive(Number(pid))) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}

/** Whether a process with this id exists, ours or not. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
