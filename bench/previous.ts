/**
 * An earlier build of Tollgate, made beside this one from its commit: the bench starts both alike and takes the ratio. It
 * lies in `bench/.peers` and is kept there for the next run.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { NPM_INSTALL_FLAGS, PEERS_DIR } from './peers.ts';

/** The last release, and the build that the goals of docs/BENCH.md are relative to. */
export const PREVIOUS_COMMIT = '7add4f556af46b928a1b264aed40c54023f868cd';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

function git(...parameters: string[]): string {
  return execFileSync('git', ['-C', ROOT, ...parameters], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  }).trim();
}

/** Returns the whole name of a commit. Throws with advice when the repository has no such commit. */
export function resolveCommit(commit: string): string {
  try {
    return git('rev-parse', '--verify', '--quiet', '--end-of-options', `${commit}^{commit}`);
  } catch {
    throw new Error(
      `--previous: this clone has no commit ${commit}; fetch the whole history (git fetch --unshallow), or name another`,
    );
  }
}

function exportTree(sha: string, dir: string): void {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  git('archive', '--format=tar', `--output=${dir}.tar`, sha);
  execFileSync('tar', ['-xf', `${dir}.tar`, '-C', dir], { stdio: ['ignore', 'inherit', 'inherit'] });
  rmSync(`${dir}.tar`);
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
}

/**
 * Gives the build the packages of its own lock file. When it is the lock file of this tree, the packages of this tree
 * serve both; otherwise npm installs them once.
 */
function providePackages(dir: string): void {
  const packages = `${dir}/node_modules`;
  const same =
    readFileSync(`${dir}/package-lock.json`, 'utf8') === readFileSync(`${ROOT}package-lock.json`, 'utf8');
  if (isLink(packages)) rmSync(packages);
  if (same) {
    rmSync(packages, { recursive: true, force: true });
    symlinkSync(`${ROOT}node_modules`, packages);
    return;
  }
  if (existsSync(`${packages}/.package-lock.json`)) return;
  process.stderr.write(`installing the packages of ${dir}\n`);
  // Not `npm ci`: it refuses a lock file without the optional packages of all platforms, which earlier releases have.
  execFileSync('npm', ['install', '--no-save', '--omit=dev', ...NPM_INSTALL_FLAGS], {
    cwd: dir,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

export interface Build {
  /** With a slash at its end. */
  dir: string;
  version: string;
}

const made = new Map<string, Build>();

/** Returns a build of `commit` that can be started; its version is the commit's short name. */
export function previousBuild(commit: string): Build {
  const known = made.get(commit);
  if (known) return known;
  const build = makeBuild(commit);
  made.set(commit, build);
  return build;
}

function makeBuild(commit: string): Build {
  const sha = resolveCommit(commit);
  const version = sha.slice(0, 12);
  const dir = `${PEERS_DIR}/previous-${version}`;
  const complete = `${dir}/.exported`;
  if (!existsSync(complete)) {
    exportTree(sha, dir);
    writeFileSync(complete, '');
  }
  providePackages(dir);
  return { dir: `${dir}/`, version };
}
