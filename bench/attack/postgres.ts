/**
 * The one PostgreSQL of an attack and of tests that need one, as production has it: over TCP with a password, run by nobody of Tollgate's, fsync on.
 * Owns: that it can be killed with all of its sessions at any moment, and started again on the same files.
 */
import { type ChildProcess, execFile, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { closeClient, openClient } from '../../src/store/database.ts';
import { type Account, accountFor, ownFolder, spawnOptions } from '../../src/store/embedded/account.ts';
import { findPrograms } from '../../src/store/embedded/programs.ts';
import { freePort, keep } from '../processes.ts';

const HOST = '127.0.0.1';
/** With characters that a URL has to escape. */
const PASSWORD = 'open sesame / 100%';
/** Four replicas with all of their pools, and the judge. */
const SESSIONS_MAX = '200';
const START_MS_MAX = 60_000;
const POLL_MS = 50;

/** What an attack needs of its database, however many servers it is. */
export interface Server {
  /** `DATABASE_URL` of the database `books`. */
  readonly url: string;
  start(): Promise<void>;
  kill(): Promise<void>;
}

export interface PostgresOptions {
  /** Within the folder; its files are in it. */
  name?: string;
  /** Where `postgres` and `initdb` lie; default: as Tollgate finds them. */
  programs?: string;
  settings?: Record<string, string>;
}

export class Postgres implements Server {
  readonly #cluster: string;
  readonly #programs: string;
  readonly #account: Account | null;
  readonly #settings: Record<string, string>;
  /** What the server says. */
  readonly logFile: string;
  readonly port: number;
  #child: ChildProcess | null = null;

  private constructor(
    cluster: string,
    programs: string,
    account: Account | null,
    settings: Record<string, string>,
    port: number,
  ) {
    this.#cluster = cluster;
    this.#programs = programs;
    this.#account = account;
    this.#settings = settings;
    this.logFile = `${cluster}.log`;
    this.port = port;
  }

  /** Makes a cluster in a folder and starts it, with an empty database `books`. */
  static async make(folder: string, given: PostgresOptions = {}): Promise<Postgres> {
    const account = await accountFor(join(folder, 'absent'));
    const programs = given.programs ?? (await findPrograms({}, account)).directory;
    const directory = join(folder, given.name ?? 'server');
    const cluster = join(directory, 'cluster');
    const passwordFile = join(directory, 'password');
    await mkdir(cluster, { recursive: true, mode: 0o700 });
    await writeFile(passwordFile, PASSWORD);
    const owned = account === null ? [] : [directory, cluster, passwordFile];
    for (const path of owned) await chown(path, account!.uid, account!.gid);
    const here = ownFolder(account, cluster);
    const login = ['--username=owner', '--auth=scram-sha-256', `--pwfile=${here}/../password`];
    const options = spawnOptions(account, cluster);
    await promisify(execFile)(
      join(programs, 'initdb'),
      ['-D', here, '--no-sync', '--no-locale', '--encoding=UTF8', ...login],
      options,
    );
    const postgres = new Postgres(cluster, programs, account, given.settings ?? {}, await freePort());
    await postgres.start();
    await postgres.#ask('postgres', 'create database books');
    return postgres;
  }

  /** With the password, as `DATABASE_URL`. */
  get url(): string {
    return this.#url('books');
  }

  #url(database: string): string {
    return `postgres://owner:${encodeURIComponent(PASSWORD)}@${HOST}:${this.port}/${database}`;
  }

  /** Starts the server; returns when it accepts sessions. Throws after a minute without. */
  async start(): Promise<void> {
    const settings = {
      listen_addresses: HOST,
      port: String(this.port),
      unix_socket_directories: '',
      max_connections: SESSIONS_MAX,
      ...this.#settings,
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const deadlineMs = performance.now() + START_MS_MAX;
    do {
      // After a kill it refuses to start until the last session of the killed one has left: then once more.
      if (this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null) {
        const server = [join(this.#programs, 'postgres'), '-D', ownFolder(this.#account, this.#cluster)];
        const log = openSync(this.logFile, 'a');
        const stdio: StdioOptions = ['ignore', log, log];
        const how = { ...spawnOptions(this.#account, this.#cluster), stdio };
        this.#child = keep(spawn(server[0]!, [...server.slice(1), ...options], how));
        closeSync(log);
      }
      await delay(POLL_MS);
      if (await this.#ask('postgres', 'select 1')) return;
    } while (performance.now() < deadlineMs);
    const said = readFileSync(this.logFile, 'utf8').trim().split('\n').slice(-3).join(' | ');
    throw new Error(`PostgreSQL does not start: ${said}`);
  }

  /** SIGKILL to the server and to each of its sessions: as if the machine had lost its power, but for the disk. */
  async kill(): Promise<void> {
    const child = this.#child!;
    const sessions = childrenOf(child.pid!);
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    for (const pid of sessions) killIfAlive(pid);
    await gone;
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGINT');
    await gone;
  }

  async #ask(database: string, query: string): Promise<boolean> {
    const sql = openClient(this.#url(database), 1);
    try {
      await sql.unsafe(query);
      return true;
    } catch {
      return false;
    } finally {
      await closeClient(sql);
    }
  }
}

/** SIGKILL, unless it saw its parent go and went first. */
export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Processes that a process has started. */
export function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}
