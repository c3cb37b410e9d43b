/** The gateway as an operator runs it: `tollgate serve` as a process of its own, which can be killed at any moment. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const ADMIN_KEY = 'admin-key-of-the-crash-tests';
const POLL_MS = 5;
/** On a busy machine a first start makes its database for long. */
const SAYS_MS = 110_000;

/** What a test needs of the environment; nothing is taken from that of the test's own process but PATH and HOME. */
export type Environment = Record<string, string>;

export class GatewayProcess {
  readonly #child: ChildProcess;
  /** All that it said so far, on both streams. */
  output = '';
  /** Set once it listens. */
  url = '';

  constructor(env: Environment, argv: string[] = ['serve']) {
    const { PATH = '', HOME = '' } = process.env;
    // One process: this Node runs TypeScript, so the launcher hands over to nobody and its pid is the gateway's.
    this.#child = spawn(process.execPath, [join(ROOT, 'bin/tollgate.mjs'), ...argv], {
      env: { PATH, HOME, PORT: '0', TOLLGATE_ADMIN_KEY: ADMIN_KEY, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    }
  }

  /** Starts one and waits until it listens. Throws with its output when it ends instead. */
  static async serve(env: Environment): Promise<GatewayProcess> {
    const gateway = new GatewayProcess(env);
    const [, url] = await gateway.says(/listens on (http\S+)\n/);
    gateway.url = url!;
    return gateway;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const deadlineMs = performance.now() + SAYS_MS;
    for (;;) {
      const found = pattern.exec(this.output);
      if (found) return found;
      if (performance.now() > deadlineMs) throw new Error(`never said ${pattern}:\n${this.output}`);
      if (!this.running) throw new Error(`ended without ${pattern}:\n${this.output}`);
      await delay(POLL_MS);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** The exit code, once all of its output is here; null when a signal killed it. */
  async ended(): Promise<number | null> {
    if (this.running || !this.#child.stdout!.closed) await once(this.#child, 'close');
    return this.#child.exitCode;
  }

  kill(): Promise<number | null> {
    this.signal('SIGKILL');
    return this.ended();
  }

  /** Process ids of the workers that run, as the gateway says. */
  async workers(): Promise<number[]> {
    const response = await fetch(`${this.url}/healthz`);
    return ((await response.json()) as { workers: number[] }).workers;
  }

  /** Waits until so many workers run and are ready. */
  async ready(count: number): Promise<number[]> {
    await until(`${count} workers`, async () => {
      const page = await fetch(`${this.url}/metrics`, { headers: { connection: 'close' } });
      return new RegExp(`^tollgate_workers_reporting ${count}$`, 'm').test(await page.text());
    });
    return this.workers();
  }

  /** Kills the supervisor and all of its workers at once: the machine has lost its power. */
  async killAll(): Promise<void> {
    const pids = await this.workers();
    for (const pid of [this.pid, ...pids]) process.kill(pid, 'SIGKILL');
    await this.ended();
    await until('the end of all workers', () => !pids.some(isAlive));
  }

  /** POSTs to `/v1` with a key. */
  post(key: string, path: string, body: unknown, headers: Environment = {}): Promise<Response> {
    return fetch(`${this.url}/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
  }

  /** Calls the admin API; throws unless the answer is 2xx. */
  async admin<T = { id: string }>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.url}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** A new team with a grant, and a key of it. */
  async team(name: string, grantUsd: string): Promise<{ teamId: string; key: string }> {
    const { id } = await this.admin('POST', '/teams', { name, plan: null });
    await this.admin('POST', '/grants', { team_id: id, amount_usd: grantUsd });
    const { key } = await this.admin<{ key: string }>('POST', '/keys', { team_id: id, name });
    return { teamId: id, key };
  }
}

/** The pid of the data folder's database; null: none runs. */
export function postgresOf(dataDir: string): number | null {
  const path = join(dataDir, 'postgres/postmaster.pid');
  const pid = existsSync(path) ? Number.parseInt(readFileSync(path, 'utf8'), 10) : 0;
  return pid > 0 && isAlive(pid) ? pid : null;
}

/**
 * Lets the data folder's database stand still with all of its sessions: what was sent is not answered, and no connection
 * breaks. Returns what lets them go on; calling it again does nothing.
 */
export function standStill(dataDir: string): () => void {
  const server = postgresOf(dataDir)!;
  const parentOf = (pid: string) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    } catch {
      return 0;
    }
  };
  const children = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && parentOf(name) === server);
  const stopped = [server, ...children.map(Number)];
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  return () => {
    // Some may have ended with their gateway.
    for (const pid of stopped.splice(0)) if (isAlive(pid)) process.kill(pid, 'SIGCONT');
  };
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until a condition holds; throws after a minute, so that a test says which one never came. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`never came: ${what}`);
    await delay(POLL_MS);
  }
}
