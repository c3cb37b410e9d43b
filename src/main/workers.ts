/**
 * The workers of a supervisor. Owns: their starts, restarts and ends, and what is asked of all of them. Invariants: a worker
 * that ended unasked is started again, later each time it fails at once; its journal is adopted by another without waiting;
 * no sum of the metrics falls because a worker ended or hangs.
 */
import cluster, { type Worker } from 'node:cluster';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Job, startJob } from '../jobs/every.ts';
import { type Family, pageText } from '../telemetry/exposition.ts';
import { MODEL_CAP, TEAM_CAP } from '../telemetry/labels.ts';
import type { Log } from '../telemetry/log.ts';
import { MergedMetrics } from '../telemetry/merge.ts';
import { workerFamilies } from '../telemetry/page.ts';
import { type Assignment, Channel, type ToSupervisor, type ToWorker } from './channel.ts';
import { closeUntaken } from './untaken.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/tollgate.mjs', import.meta.url));

/** A worker that ends sooner after it was ready has failed at once. */
const SETTLED_MS = 10_000;
/** So many times in a row each of them, with none left that serves, and the supervisor gives up. */
const FAILURES_MAX = 5;
const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 30_000;
const ANSWER_WITHIN_MS = 1000;
const ADOPT_WITHIN_MS = 60_000;
const LOOK_FOR_JOURNALS_MS = 5000;

export interface WorkersOptions {
  count: number;
  /** Settings of all workers; each also has its number. */
  assignment: Omit<Assignment, 'number'>;
  journals: string;
  log: Log;
}

interface Slot {
  readonly number: number;
  run: Run | null;
  /** How many workers in this slot failed at once, one after the other. */
  failures: number;
  restart: NodeJS.Timeout | null;
}

/** One process in a slot. */
interface Run {
  worker: Worker;
  channel: Channel<ToSupervisor, ToWorker>;
  ready: { url: string; instanceId: string; atMs: number } | null;
  lastReport: readonly Family[];
  ended: Promise<number>;
}

export class Workers {
  readonly #options: WorkersOptions;
  readonly #slots: Slot[];
  readonly #metrics = new MergedMetrics({ team: TEAM_CAP, model: MODEL_CAP });
  readonly #journals: Job;
  #restarts = 0;
  #phase: 'starting' | 'serving' | 'stopping' = 'starting';
  readonly #given = Promise.withResolvers<void>();

  constructor(options: WorkersOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.count }, (_, index) => ({
      number: index + 1,
      run: null,
      failures: 0,
      restart: null,
    }));
    cluster.setupPrimary({ exec: LAUNCHER, args: ['serve'], serialization: 'advanced' });
    this.#journals = startJob({ intervalMs: LOOK_FOR_JOURNALS_MS, run: () => this.#lookForJournals() });
  }

  /** Resolves when workers cannot be kept running. */
  get givenUp(): Promise<void> {
    return this.#given.promise;
  }

  /**
   * Starts the first worker, which prepares the database for all, then the others. Returns where the first listens, or its
   * exit code when it ended instead; then it has said why.
   */
  async start(): Promise<{ url: string } | { exitCode: number }> {
    const [first, ...others] = this.#slots;
    if (!first) throw new Error('there must be a worker');
    const outcome = await this.#fork(first);
    if ('exitCode' in outcome || this.#phase === 'stopping') return outcome;
    this.#phase = 'serving';
    for (const slot of others) void this.#fork(slot);
    return outcome;
  }

  /** Stops all in good order; what is left after the time limit, or soon after the signal, is killed. Returns the exit code. */
  async stop(reason: string, timeoutMs: number, hurry: AbortSignal, hurryMs: number): Promise<number> {
    this.#phase = 'stopping';
    void this.#journals.stop();
    for (const slot of this.#slots) if (slot.restart) clearTimeout(slot.restart);
    const runs = this.#runs();
    for (const { channel } of runs) channel.tell('stop', reason);
    const hurryUp = () => {
      for (const { channel } of runs) channel.tell('hurry', 'the supervisor was asked a second time');
      setTimeout(() => this.kill(), hurryMs).unref();
    };
    hurry.addEventListener('abort', hurryUp);
    if (hurry.aborted) hurryUp();
    const limit = setTimeout(() => this.kill(), timeoutMs);
    const codes = await Promise.all(runs.map(({ ended }) => ended));
    clearTimeout(limit);
    return Math.max(0, ...codes);
  }

  kill(): void {
    for (const { worker } of this.#runs()) {
      this.#options.log.logger.error({ pid: worker.process.pid }, 'a worker does not stop: it is killed');
      worker.process.kill('SIGKILL');
    }
  }

  /** They read the configuration file again. */
  hangUp(): void {
    for (const { worker } of this.#ready()) worker.process.kill('SIGHUP');
  }

  #runs(): Run[] {
    return this.#slots.flatMap(({ run }) => run ?? []);
  }

  #ready(): Run[] {
    return this.#runs().filter(({ ready }) => ready !== null);
  }

  /** Resolves when the worker listens, or has ended instead. */
  async #fork(slot: Slot): Promise<{ url: string } | { exitCode: number }> {
    const worker = cluster.fork({ npm_lifecycle_event: '' });
    closeUntaken(worker);
    const listening = Promise.withResolvers<{ url: string }>();
    const ended = Promise.withResolvers<number>();
    const channel = new Channel<ToSupervisor, ToWorker>((message) => worker.process.send(message, () => {}), {
      notices: {
        ready: (ready) => {
          run.ready = { ...ready, atMs: performance.now() };
          listening.resolve(ready);
          this.#options.log.logger.info({ worker: slot.number, pid: worker.process.pid }, 'worker is ready');
          this.#tellPids();
        },
        ended: (families) => {
          run.lastReport = families;
        },
        counts: (counts) => {
          for (const other of this.#ready()) if (other !== run) other.channel.tell('counts', counts);
        },
      },
      questions: { page: () => this.#page(), ready: () => this.#isAnyReady() },
    });
    const run: Run = { worker, channel, ready: null, lastReport: [], ended: ended.promise };
    slot.run = run;
    worker.on('message', (message: object) => channel.receive(message));
    let isOver = false;
    const over = (how: string, exitCode: number) => {
      if (isOver) return;
      isOver = true;
      this.#onEnd(slot, run, how);
      ended.resolve(exitCode);
    };
    worker.on('error', (error) => {
      this.#options.log.logger.error({ err: error }, 'a worker cannot be reached');
      // It never began, so no 'exit' follows.
      if (worker.process.pid === undefined) over('it could not be started', 1);
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      over(signal ?? `code ${code}`, code ?? 1);
    });
    channel.tell('start', { ...this.#options.assignment, number: slot.number });
    if (this.#phase === 'stopping') channel.tell('stop', 'the supervisor stops');
    return Promise.race([listening.promise, ended.promise.then((exitCode) => ({ exitCode }))]);
  }

  #onEnd(slot: Slot, run: Run, how: string): void {
    slot.run = null;
    run.channel.close();
    this.#metrics.retire(run.lastReport);
    this.#tellPids();
    if (this.#phase !== 'serving') return;
    const { logger } = this.#options.log;
    const livedMs = run.ready === null ? 0 : performance.now() - run.ready.atMs;
    slot.failures = livedMs > SETTLED_MS ? 0 : slot.failures + 1;
    const afterMs =
      slot.failures === 0 ? 0 : Math.min(RESTART_MS_MAX, RESTART_MS_MIN * 2 ** (slot.failures - 1));
    const facts = { worker: slot.number, pid: run.worker.process.pid, ended: how, failures: slot.failures };
    logger.error({ ...facts, restart_in_ms: afterMs }, 'a worker ended unasked: it is started again');
    if (this.#slots.every(({ failures }) => failures >= FAILURES_MAX) && this.#ready().length === 0) {
      logger.fatal({ failures: slot.failures }, 'no worker stays alive: giving up');
      this.#given.resolve();
      return;
    }
    // The new one would too, when it starts; but what the dead one held should not wait for that.
    void this.#adopt();
    slot.restart = setTimeout(() => {
      this.#restarts++;
      void this.#fork(slot);
    }, afterMs);
  }

  #tellPids(): void {
    const pids = this.#runs().flatMap(({ worker }) => worker.process.pid ?? []);
    for (const { channel } of this.#runs()) channel.tell('pids', pids);
  }

  async #adopt(): Promise<void> {
    await this.#ready()[0]?.channel.ask('adopt', ADOPT_WITHIN_MS);
  }

  /** Journals that no worker here writes: left by an earlier supervisor whose workers outlived it, for example. */
  #lookForJournals(): void {
    const ready = this.#ready();
    if (ready.length < this.#slots.length) return;
    const own = new Set(ready.map((run) => `${run.ready?.instanceId}.log`));
    let names: string[] = [];
    try {
      names = readdirSync(this.#options.journals);
    } catch (error) {
      this.#options.log.logger.error({ err: error }, 'the folder of the journals cannot be read');
    }
    if (names.some((name) => name.endsWith('.log') && !own.has(name))) void this.#adopt();
  }

  async #isAnyReady(): Promise<boolean> {
    const answers = this.#ready().map(async ({ channel }) => {
      if (!(await channel.ask('ready', ANSWER_WITHIN_MS))) throw new Error('not ready');
      return true;
    });
    return Promise.any(answers).catch(() => false);
  }

  /** One page of metrics for all. A worker that hangs has the counters of its last report. */
  async #page(): Promise<string> {
    const answers = await Promise.all(
      this.#ready().map(async (run) => {
        const families = await run.channel.ask('metrics', ANSWER_WITHIN_MS);
        if (families) run.lastReport = families;
        return { run, families };
      }),
    );
    const running = new Set(this.#runs());
    // One that has ended meanwhile is counted among the ended.
    const now = answers.flatMap(({ run, families }) => (families && running.has(run) ? [families] : []));
    const reported = new Set(answers.filter(({ families }) => families).map(({ run }) => run));
    const earlier = [...running].filter((run) => !reported.has(run)).map(({ lastReport }) => lastReport);
    const own = workerFamilies({
      set: this.#slots.length,
      reporting: now.length,
      restarts: this.#restarts,
    });
    const names = new Set(own.map(({ name }) => name));
    const merged = this.#metrics.merge([...now, ownProcess()], earlier);
    return pageText([...merged.filter(({ name }) => !names.has(name)), ...own]);
  }
}

/** What the supervisor itself uses: sums over the gateway's processes have it too. */
function ownProcess(): Family[] {
  const { user, system } = process.cpuUsage();
  const family = (name: string, type: Family['type'], value: number): Family => ({
    name,
    type,
    help: '',
    merge: 'sum',
    points: [{ suffix: '', labels: {}, value }],
  });
  return [
    family('process_cpu_user_seconds_total', 'counter', user / 1e6),
    family('process_cpu_system_seconds_total', 'counter', system / 1e6),
    family('process_cpu_seconds_total', 'counter', (user + system) / 1e6),
    family('process_resident_memory_bytes', 'gauge', process.memoryUsage.rss()),
  ];
}
