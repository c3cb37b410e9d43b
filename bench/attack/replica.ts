/** One replica of a gateway: a process that can be killed at any moment and started again on the same folder and port. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { apiKeyIdOf } from '../../src/simulator/keys.ts';
import { endOfLog, start, stop, waitUntilReady } from '../processes.ts';
import { childrenOf, killIfAlive } from './postgres.ts';

const START_ATTEMPTS = 20;
const START_AGAIN_MS = 500;

export interface ReplicaOptions {
  /** The gateway's script and its arguments. */
  nodeArguments: string[];
  env: Record<string, string>;
  port: number;
  /** Its own, so that the upstream can tell the replicas apart. */
  upstreamKey: string;
  logFile: string;
}

export class Replica {
  readonly #options: ReplicaOptions;
  #child: ChildProcess | null = null;
  /** Whether a load balancer would send it calls: it was ready, and nobody has killed it since. */
  up = false;
  /** How it ended without being told to, each time; a service manager would start it again, and so do we. */
  readonly deaths: string[] = [];

  constructor(options: ReplicaOptions) {
    this.#options = options;
  }

  /** Null: it does not run. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get port(): number {
    return this.#options.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#options.port}`;
  }

  /** How the upstream's books name the key that this replica uses. */
  get upstreamKeyId(): string {
    return apiKeyIdOf(`Bearer ${this.#options.upstreamKey}`)!;
  }

  /** Starts it; returns when it can admit calls. Throws, with the end of its log, when it ends instead. */
  async start(): Promise<void> {
    const { nodeArguments, logFile, port, upstreamKey, env } = this.#options;
    const all = { ...env, PORT: String(port), HOST: '127.0.0.1', OPENAI_API_KEY: upstreamKey };
    const child = start({ nodeArguments, logFile, env: all });
    this.#child = child;
    await waitUntilReady(child, `${this.url}/readyz`, logFile);
    this.up = true;
    child.once('exit', (code, signal) => {
      if (!this.up || child !== this.#child) return;
      this.up = false;
      this.deaths.push(`ended by itself with ${signal ?? code}: ${endOfLog(logFile)}`);
      void this.#startAgain();
    });
  }

  async #startAgain(): Promise<void> {
    for (let attempt = 0; attempt < START_ATTEMPTS && !this.up; attempt++) {
      await delay(START_AGAIN_MS);
      await this.start().catch(() => {});
    }
  }

  /** SIGKILL to all of its processes at once. */
  async kill(): Promise<void> {
    this.up = false;
    const child = this.#child!;
    const workers = childrenOf(child.pid!);
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    for (const pid of workers) killIfAlive(pid);
    await gone;
  }

  /** SIGKILL to one of its workers, which its supervisor starts again. */
  killWorker(): void {
    const [pid] = childrenOf(this.#child!.pid!);
    if (pid === undefined) throw new Error('this replica has no workers');
    killIfAlive(pid);
  }

  /** The orderly end: it may finish what it has begun. */
  async stop(): Promise<void> {
    this.up = false;
    if (this.#child) await stop(this.#child);
  }
}
