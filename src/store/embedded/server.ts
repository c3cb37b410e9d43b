/** One run of the server's process: how it is spawned, tied to us, stopped, and what it said last. */

import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { defined } from '../../domain/defined.ts';
import { type Account, ownFolder, spawnOptions } from './account.ts';
import { isAlive } from './cluster.ts';
import type { Programs } from './programs.ts';

const LOG_BYTES_MAX = 1024 * 1024;
const FAST_STOP_MS = 30_000;
const WATCH_MS = 250;
const SETPRIV = '/usr/bin/setpriv';

/** The socket lies in the cluster, named relative to it: such a name is never too long for the server. */
const SETTINGS = {
  listen_addresses: '',
  unix_socket_directories: '.',
  unix_socket_permissions: '0700',
  port: '5432',
  cluster_name: 'tollgate',
  log_checkpoints: 'off',
  timezone: 'UTC',
  // As for any disk without heads: with the default of 4 the sums of a month read whole tables, past the index.
  random_page_cost: '1.1',
};

/** Tells whose server a process is; PostgreSQL allows settings of our own and ignores this one. */
const FOLDER_SETTING = 'tollgate.folder';

export interface ServerRun {
  pid: number | undefined;
  /** True: another process spawned it. */
  adopted: boolean;
  hasExited: boolean;
  exited: Promise<unknown>;
  /** What the server logged in this run. */
  log(): string;
  stop(): Promise<void>;
}

/** Spawns the server; whether it comes up is for the caller to find out. */
export function spawnServer(directory: string, programs: Programs, account: Account | null): ServerRun {
  const settings = Object.entries({ ...SETTINGS, [FOLDER_SETTING]: directory });
  const options = settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = [join(programs.directory, 'postgres'), '-D', ownFolder(account, directory), ...options];
  const [command, ...args] = [...tieToParent(), ...server];
  // A file, not a pipe: the server may outlive us, and a closed pipe would break its logging.
  const logged = statSync(logPath(directory), { throwIfNoEntry: false })?.size ?? 0;
  const logStart = logged > LOG_BYTES_MAX ? 0 : logged;
  const log = openSync(logPath(directory), logStart === logged ? 'a' : 'w', 0o600);
  const child = spawn(defined(command, 'the command of the server'), args, {
    ...spawnOptions(account, directory),
    stdio: ['ignore', log, log],
    // Out of our process group: a Ctrl-C on the terminal must reach the server only after we have drained.
    detached: true,
  });
  closeSync(log);
  child.unref();
  const run: ServerRun = {
    pid: child.pid,
    adopted: false,
    hasExited: false,
    exited: new Promise((resolve) => child.once('exit', resolve).once('error', resolve)),
    log: () => readLog(directory, logStart),
    stop: async () => {
      if (child.pid !== undefined && !run.hasExited) await stopServer(child.pid);
    },
  };
  run.exited.then(() => {
    run.hasExited = true;
  });
  return run;
}

/** A server that another process spawned: we watch it, and stop it only when sure that it is the cluster's. */
export async function adoptServer(directory: string): Promise<ServerRun> {
  const pid = await runningServer(directory);
  const run: ServerRun = {
    pid: pid ?? undefined,
    adopted: true,
    hasExited: false,
    exited: pid === null ? new Promise(() => {}) : watch(pid),
    log: () => readLog(directory, 0),
    stop: async () => {
      if (pid !== null && !run.hasExited) await stopServer(pid);
    },
  };
  run.exited.then(() => {
    run.hasExited = true;
  });
  return run;
}

async function watch(pid: number): Promise<void> {
  while (isAlive(pid)) await delay(WATCH_MS, undefined, { ref: false });
}

function logPath(directory: string): string {
  return `${directory}.log`;
}

function readLog(directory: string, start: number): string {
  return existsSync(logPath(directory))
    ? readFileSync(logPath(directory)).subarray(start).toString().trim()
    : '';
}

let tie: string[] | undefined;

/** Where the kernel offers it (Linux), the server stops by itself when its parent is killed. */
function tieToParent(): string[] {
  if (tie === undefined) {
    const prefix = [SETPRIV, '--pdeathsig', 'INT', '--'];
    const works =
      existsSync(SETPRIV) &&
      spawnSync(defined(prefix[0], 'the command before the server'), [...prefix.slice(1), 'true']).status ===
        0;
    tie = works ? prefix : [];
  }
  return tie;
}

/** The process that the cluster's lock file names; it may be gone. Null: no lock file. */
export async function lockHolder(directory: string): Promise<number | null> {
  const file = await readFile(join(directory, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(file, 10);
  return pid > 0 ? pid : null;
}

/**
 * The running server of the cluster, if we can be sure of it; else null. In a folder shared between containers the
 * lock file may name a process of the other one, whose number may be any process here.
 */
async function runningServer(directory: string): Promise<number | null> {
  const pid = await lockHolder(directory);
  if (pid === null || !isAlive(pid)) return null;
  if (process.platform !== 'linux') return pid;
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return commandLine.split('\0').includes(`${FOLDER_SETTING}=${directory}`) ? pid : null;
}

/** Stops a server: sessions are cut, everything committed is on disk. */
async function stopServer(pid: number): Promise<void> {
  signal(pid, 'SIGINT');
  const deadlineMs = performance.now() + FAST_STOP_MS;
  while (isAlive(pid)) {
    if (performance.now() > deadlineMs) signal(pid, 'SIGQUIT');
    await delay(10);
  }
}

function signal(pid: number, name: 'SIGINT' | 'SIGQUIT') {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
