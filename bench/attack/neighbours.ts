/**
 * Neighbours: ten honest teams beside one that is hostile in every way that costs it nothing, and beside an honest one that
 * makes as many requests. What counts is what the gateway adds to the honest teams' calls, that none of them fails, and
 * how much memory and how long a turn of the event loop the hostile team can force.
 */
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { nextMessage, startOwn } from '../processes.ts';
import { percentiles } from '../statistics.ts';
import { makeTeam } from './gateways.ts';
import { type House, inHouse } from './house.ts';
import {
  HONEST_RATE,
  HONEST_TEAMS,
  type HostileCommand,
  type HostileReport,
  SMALL_CALL,
} from './neighbours-plan.ts';

export interface NeighboursRun {
  seconds: number;
  progress(text: string): void;
}

export interface NeighboursPhase {
  calls: number;
  /** Honest calls that did not end in 200, by what they ended in. */
  failed: Record<string, number>;
  /** What the gateway added to the honest calls beyond what the upstream says that it took, in milliseconds. */
  addedP50Ms: number;
  addedP99Ms: number;
  /** Of the gateway's process. */
  rssMaxMb: number;
  /** CPU of the event loop's thread; apart of turns that had waited for a processor, and so had more to do. */
  longestTurnMs: number;
  longestLateTurnMs: number;
  eleventh: HostileReport;
}

export interface NeighboursRow {
  seconds: number;
  /** Beside an honest eleventh team, and beside a hostile one. */
  honest: NeighboursPhase;
  hostile: NeighboursPhase;
}

/** The hostile team's p99 may be so many times the honest one's. */
const P99_TIMES_MOST = 3;
/** docs/CONFIG.md: the process itself, and the memory of all bodies, which are copied once on their way. */
const RSS_MOST_MB = 300 + 2 * 256;
/** A request may hold the loop for 20 ms of CPU. A turn takes what came by then of all connections, so it may serve several. */
const TURN_MOST_MS = 100;
const WARM_UP_ROUNDS = 20;
const SAMPLE_MS = 100;
/** Few, so that the hostile team's streams would take them all. */
const ENV = {
  TOLLGATE_UPSTREAM_CONNECTIONS: '128',
  TOLLGATE_CLIENT_STALL_MS: '10000',
  TOLLGATE_DRAIN_TIMEOUT_MS: '2000',
};

export async function runNeighbours({ seconds, progress }: NeighboursRun): Promise<NeighboursRow> {
  const turns = fileURLToPath(new URL('longest-turn.ts', import.meta.url));
  const options = {
    gateway: 'tollgate' as const,
    replicas: 1,
    workers: 1,
    budgetUsd: '5.00',
    simulator: null,
    upstreamScript: 'attack/paced-upstream.ts',
    nodeFlags: ['--import', turns],
    env: { ...ENV, LONGEST_TURN_FILE: join(tmpdir(), `tollgate-turns-${process.pid}`) },
  };
  return inHouse(options, async (house) => {
    const street = await Street.make(house, options.env.LONGEST_TURN_FILE);
    await street.warmUp();
    const phase = async (name: string, honest: boolean) => {
      const measured = await street.live(seconds, honest);
      progress(`${name}: ${describePhase(measured)}`);
      return measured;
    };
    return {
      seconds,
      honest: await phase('beside an honest eleventh team', true),
      hostile: await phase('beside a hostile one', false),
    };
  });
}

/** The eleven teams on one gateway. */
class Street {
  readonly #house: House;
  readonly #keys: string[];
  readonly #turnsFile: string;
  readonly #agent = new Agent({ connections: 256 });
  #addedUs: number[] = [];
  #failed: Record<string, number> = {};

  private constructor(house: House, keys: string[], turnsFile: string) {
    this.#house = house;
    this.#keys = keys;
    this.#turnsFile = turnsFile;
  }

  static async make(house: House, turnsFile: string): Promise<Street> {
    const keys: string[] = [];
    for (let team = 0; team < HONEST_TEAMS; team++) {
      keys.push((await makeTeam(house.replicas[0]!.url, `honest ${team}`, '50.00')).key);
    }
    return new Street(house, keys, turnsFile);
  }

  async warmUp(): Promise<void> {
    for (let round = 0; round < WARM_UP_ROUNDS; round++) {
      await Promise.all(this.#keys.map((key) => this.#call(key)));
    }
    await this.#call(this.#house.key);
  }

  async live(seconds: number, honest: boolean): Promise<NeighboursPhase> {
    this.#addedUs = [];
    this.#failed = {};
    const { folder, replicas, key } = this.#house;
    const logFile = join(folder, 'eleventh.log');
    const { child } = await startOwn({ script: 'attack/hostile.ts', logFile });
    const command: HostileCommand = { port: replicas[0]!.port, key, seconds, honest };
    const reported = nextMessage(child, logFile);
    child.send(command);
    const startedMs = Date.now();
    const memory = this.#watchMemory();
    const calls: Promise<void>[] = [];
    const everyMs = 1000 / (HONEST_RATE * HONEST_TEAMS);
    for (let turn = 0; turn * everyMs < seconds * 1000; turn++) {
      await delay(Math.max(0, startedMs + turn * everyMs - Date.now()));
      calls.push(this.#call(this.#keys[turn % this.#keys.length]!));
    }
    await Promise.all(calls);
    const eleventh = (await reported) as HostileReport;
    child.kill();
    const { p50Us, p99Us } = percentiles(this.#addedUs);
    return {
      calls: calls.length,
      failed: this.#failed,
      addedP50Ms: p50Us / 1000,
      addedP99Ms: p99Us / 1000,
      rssMaxMb: memory.stop(),
      ...longestTurnsSince(this.#turnsFile, startedMs),
      eleventh,
    };
  }

  async #call(key: string): Promise<void> {
    const startMs = performance.now();
    const ending = await request(`${this.#house.replicas[0]!.url}/v1/chat/completions`, {
      method: 'POST',
      dispatcher: this.#agent,
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: SMALL_CALL,
    }).then(
      async ({ statusCode, headers, body }) => {
        const text = await body.text();
        const addedMs = performance.now() - startMs - Number(headers['openai-processing-ms']);
        if (statusCode === 200) this.#addedUs.push(Math.max(0, addedMs) * 1000);
        return statusCode === 200 ? '200' : `${statusCode} ${text}`;
      },
      (error: Error) => error.message,
    );
    if (ending !== '200') this.#failed[ending] = (this.#failed[ending] ?? 0) + 1;
  }

  #watchMemory(): { stop(): number } {
    let mostMb = 0;
    const { pid } = this.#house.replicas[0]!;
    const timer = setInterval(() => {
      const [, kb = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
      mostMb = Math.max(mostMb, Number(kb) / 1024);
    }, SAMPLE_MS);
    return {
      stop() {
        clearInterval(timer);
        return mostMb;
      },
    };
  }
}

function longestTurnsSince(file: string, sinceMs: number) {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const turns = lines.map((line) => line.split(' ').map(Number) as [number, number, number]);
  const since = turns.filter(([atMs]) => atMs > sinceMs);
  return {
    longestTurnMs: Math.max(0, ...since.map(([, ms]) => ms)),
    longestLateTurnMs: Math.max(0, ...since.map(([, , ms]) => ms)),
  };
}

function describePhase({
  calls,
  failed,
  addedP50Ms,
  addedP99Ms,
  rssMaxMb,
  longestTurnMs,
  longestLateTurnMs,
}: NeighboursPhase): string {
  const failures = Object.values(failed).reduce((sum, count) => sum + count, 0);
  return (
    `${calls} honest calls, ${failures} failed, added p50 ${addedP50Ms.toFixed(1)} ms, p99 ${addedP99Ms.toFixed(1)} ms, ` +
    `RSS at most ${rssMaxMb.toFixed(0)} MB, longest turn ${longestTurnMs.toFixed(0)} ms of CPU ` +
    `(${longestLateTurnMs.toFixed(0)} ms when it had waited for a processor)`
  );
}

/** A row in words. */
export function describeNeighbours({ honest, hostile }: NeighboursRow): string {
  const acts = Object.entries(hostile.eleventh).map(
    ([act, statuses]) =>
      `  ${act}: ${Object.entries(statuses)
        .map(([status, count]) => `${count} × ${status}`)
        .join(', ')}`,
  );
  return [
    `beside an honest eleventh team: ${describePhase(honest)}`,
    `beside a hostile one:           ${describePhase(hostile)}`,
    ...acts,
  ].join('\n');
}

/** Every promise that a row breaks by counts alone, whatever else the machine does. */
export function brokenNeighbourCounts({ honest, hostile }: NeighboursRow): string[] {
  const broken: string[] = [];
  for (const { failed } of [honest, hostile]) {
    for (const [ending, count] of Object.entries(failed))
      broken.push(`${count} honest calls ended in ${ending}`);
  }
  if (hostile.rssMaxMb > RSS_MOST_MB) broken.push(`RSS of ${hostile.rssMaxMb.toFixed(0)} MB`);
  if (hostile.longestTurnMs > TURN_MOST_MS)
    broken.push(`a turn of the event loop took ${hostile.longestTurnMs.toFixed(0)} ms of CPU`);
  return broken;
}

/** Every promise that a row breaks. */
export function brokenNeighbourPromises(row: NeighboursRow): string[] {
  const broken = brokenNeighbourCounts(row);
  const times = row.hostile.addedP99Ms / row.honest.addedP99Ms;
  if (times > P99_TIMES_MOST) broken.push(`the honest teams' p99 is ${times.toFixed(1)} times what it was`);
  return broken;
}
