/**
 * PostgreSQL servers that fail over and are restored: a primary, its standby, copies of its files, and the one address that
 * gateways know, behind which they are swapped as a virtual IP or a pooler swaps them. With Debian's programs, since the
 * embedded ones lack `pg_basebackup`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { connect as connectTo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { closeClient, openClient } from '../../src/store/database.ts';
import { freePort, keep } from '../processes.ts';
import { childrenOf, killIfAlive } from './postgres.ts';

const HOST = '127.0.0.1';
const START_MS_MAX = 60_000;
const POLL_MS = 50;
/** The unprivileged user of most systems: PostgreSQL refuses to run as root. */
const NOBODY = 65_534;

/** The newest installation that can make standbys; null: there is none. */
export function programsFolder(): string | null {
  const root = '/usr/lib/postgresql';
  if (!existsSync(root)) return null;
  const versions = readdirSync(root).sort((a, b) => Number(b) - Number(a));
  const folders = versions.map((version) => join(root, version, 'bin'));
  return folders.find((folder) => existsSync(join(folder, 'pg_basebackup'))) ?? null;
}

function account() {
  return process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
}

/** One server and its files. */
export class PgServer {
  readonly folder: string;
  readonly port: number;
  readonly #programs: string;
  #child: ChildProcess | null = null;

  private constructor(programs: string, folder: string, port: number) {
    this.#programs = programs;
    this.folder = folder;
    this.port = port;
  }

  /** An empty cluster, which may have standbys. */
  static async make(programs: string, folder: string): Promise<PgServer> {
    const server = new PgServer(programs, folder, await freePort());
    makeFolder(folder);
    server.#run('initdb', ['-D', '.', '--no-sync', '--username=owner', '--auth=trust', '--encoding=UTF8']);
    appendFileSync(
      join(folder, 'postgresql.conf'),
      "listen_addresses='127.0.0.1'\nunix_socket_directories=''\nmax_connections=200\nwal_level=replica\n" +
        "max_wal_senders=5\nwal_keep_size='256MB'\nhot_standby=on\n",
    );
    await server.start();
    await server.ask('create database books', 'postgres');
    return server;
  }

  /** A copy of the files of a running server, to be started later or now. */
  async copy(folder: string): Promise<PgServer> {
    makeFolder(folder);
    const source = ['-h', HOST, '-p', String(this.port), '-U', 'owner'];
    this.#run('pg_basebackup', [...source, '-D', folder, '-X', 'stream', '-c', 'fast']);
    return new PgServer(this.#programs, folder, await freePort());
  }

  /** A standby that follows this server. */
  async standby(folder: string): Promise<PgServer> {
    const standby = await this.copy(folder);
    const source = `host=${HOST} port=${this.port} user=owner application_name=standby`;
    appendFileSync(join(folder, 'postgresql.auto.conf'), `primary_conninfo='${source}'\n`);
    writeFileSync(join(folder, 'standby.signal'), '');
    standby.#own('standby.signal');
    await standby.start();
    return standby;
  }

  /** To be called before the first start of a copy: it ends its recovery on a timeline of its own, as from an archive. */
  beginTimeline(): void {
    appendFileSync(join(this.folder, 'postgresql.auto.conf'), "restore_command='false'\n");
    writeFileSync(join(this.folder, 'recovery.signal'), '');
    this.#own('recovery.signal');
  }

  get url(): string {
    return `postgres://owner@${HOST}:${this.port}/books`;
  }

  /** Starts it; returns when it accepts sessions. */
  async start(): Promise<void> {
    const deadlineMs = performance.now() + START_MS_MAX;
    do {
      if (this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null) {
        const how = { cwd: this.folder, stdio: 'ignore' as const, ...account() };
        const program = join(this.#programs, 'postgres');
        this.#child = keep(spawn(program, ['-D', '.', '-c', `port=${this.port}`], how));
      }
      await delay(POLL_MS);
      if (await this.ask('select 1', 'postgres').catch(() => null)) return;
    } while (performance.now() < deadlineMs);
    throw new Error('PostgreSQL does not start');
  }

  /** SIGKILL to the server and to each of its sessions. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const sessions = childrenOf(child.pid!);
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    for (const pid of sessions) killIfAlive(pid);
    await gone;
  }

  /** A standby gets nothing more of its primary's write-ahead log. */
  async cutOff(): Promise<void> {
    await this.ask("alter system set primary_conninfo = ''", 'postgres');
    await this.ask('select pg_reload_conf()', 'postgres');
    await this.#until('select 1 where not exists (select 1 from pg_stat_wal_receiver)');
  }

  /** Makes a primary of a standby. */
  async promote(): Promise<void> {
    await this.ask('select pg_promote(false)', 'postgres');
    await this.#until('select 1 where not pg_is_in_recovery()');
  }

  /** Returns once a standby has all that this server has written. */
  async caughtUp(): Promise<void> {
    await this.#until(
      'select 1 from pg_stat_replication where replay_lsn >= pg_current_wal_flush_lsn() - 1000000',
    );
  }

  async ask(query: string, database = 'books'): Promise<Record<string, unknown>[]> {
    const sql = openClient(`postgres://owner@${HOST}:${this.port}/${database}`, 1);
    try {
      return await sql.unsafe(query, []);
    } finally {
      await closeClient(sql);
    }
  }

  async #until(query: string): Promise<void> {
    for (let waited = 0; waited < START_MS_MAX; waited += POLL_MS) {
      const rows = await this.ask(query, 'postgres').catch(() => []);
      if (rows.length > 0) return;
      await delay(POLL_MS);
    }
    throw new Error(`PostgreSQL never came so far: ${query}`);
  }

  #run(program: string, args: string[]): void {
    execFileSync(join(this.#programs, program), args, { cwd: this.folder, stdio: 'pipe', ...account() });
  }

  #own(file: string): void {
    if ('uid' in account()) chownSync(join(this.folder, file), NOBODY, NOBODY);
  }
}

function makeFolder(folder: string): void {
  mkdirSync(folder, { mode: 0o700 });
  chmodSync(folder, 0o700);
  if ('uid' in account()) chownSync(folder, NOBODY, NOBODY);
}

/** The address that gateways know. */
export class Switch {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #silent = new Set<Socket>();
  #target: number;
  port = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#take(socket));
  }

  static async open(target: number): Promise<Switch> {
    const made = new Switch(target);
    made.#server.listen(0, HOST);
    await once(made.#server, 'listening');
    made.port = (made.#server.address() as { port: number }).port;
    return made;
  }

  /** From now on another server is behind it; what was open breaks. */
  to(target: number): void {
    this.#target = target;
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Connections that are open pass no byte any more, and none of them is closed; new ones work. */
  silence(): void {
    for (const socket of this.#sockets) {
      socket.pause();
      socket.removeAllListeners('data');
      this.#silent.add(socket);
    }
  }

  /** Nothing listens any more, and what was open breaks. */
  die(): void {
    this.close();
  }

  /** It listens again, at the same port. */
  async revive(): Promise<void> {
    this.#server.listen(this.port, HOST);
    await once(this.#server, 'listening');
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(client: Socket): void {
    const server = connectTo(this.#target, HOST);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes) => to.write(bytes));
      from.on('error', () => {});
      from.on('close', () => {
        this.#sockets.delete(from);
        if (!this.#silent.has(to)) to.destroy();
      });
    }
  }
}
