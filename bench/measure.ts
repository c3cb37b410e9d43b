/**
 * Measures one case in one round, all gateways after one another. Invariant: what a cell holds was taken from one gateway
 * while no other one had a call.
 */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Call,
  type Case,
  type EventsCase,
  type FramesCase,
  type HeldCase,
  type RateCase,
  RELEASE,
  type SaturateCase,
  type SessionsCase,
  type StartCase,
} from './cases.ts';
import type { Target } from './connection.ts';
import {
  type Contestant,
  type ContestantName,
  hasSessions,
  isPeer,
  rssMb,
  type startContestant,
} from './contestants.ts';
import { waitForEvents } from './events.ts';
import type { Generator } from './generator.ts';
import { stop } from './processes.ts';
import { percentiles } from './statistics.ts';
import { cpuBetween, gatewayPids, readCpu, readRssBytes } from './tree.ts';

/** What can be measured; units last. */
export type Measure =
  | 'callsPerSecond'
  | 'cpuUs'
  | 'frameCpuUs'
  | 'sessionKb'
  | 'usedSessionKb'
  | 'databaseCpuUs'
  | 'rssPeakMb'
  | 'addedP50Ms'
  | 'addedP99Ms'
  | 'chunkP50Ms'
  | 'chunkP99Ms'
  | 'eventsPerSecond'
  | 'eventsLagMs'
  | 'rssMb'
  | 'readyMs'
  | 'readyCpuMs'
  | 'readyRssMb'
  | 'firstCallMs'
  | 'warmCallMs'
  | 'firstCallExtraMs'
  | 'idlePercent'
  | 'databaseIdlePercent';

/** The numbers of one gateway in one case and round. */
export interface Cell {
  contestant: ContestantName;
  case: string;
  round: number;
  numbers: Partial<Record<Measure, number>>;
}

export interface Bench {
  generator: Generator;
  upstream: { child: ChildProcess; target: Target };
  /** How often a gateway has its turn in a saturated case of a round. */
  slices: number;
  /** Of one slice. */
  seconds: number;
  /** Whether latency is measured too. */
  latency: boolean;
  /** Starts a contestant on a data folder of its own that is kept for the next start. */
  startFresh(name: ContestantName): ReturnType<typeof startContestant>;
}

type Numbers = Cell['numbers'];

const RSS_SAMPLE_MS = 200;
/** Streams have been answered, and their heads are written: what start-up garbage there is may go. */
const HELD_SETTLE_MS = 3_000;
/** Leases are given back after 10 s without a call. */
const QUIET_MS = 12_000;
const IDLE_MS = 5_000;
const WARM_CALLS = 200;

/** Runs `work` and returns its result with the largest resident memory of the gateway meanwhile. */
async function withPeakRss<T>(rootPid: number, work: () => Promise<T>): Promise<[T, number]> {
  const pids = gatewayPids(rootPid);
  let peakBytes = readRssBytes(pids);
  const timer = setInterval(() => {
    peakBytes = Math.max(peakBytes, readRssBytes(pids));
  }, RSS_SAMPLE_MS);
  try {
    return [await work(), peakBytes / 1_000_000];
  } finally {
    clearInterval(timer);
  }
}

/** Returns who is measured when: all in turn, in every second slice in the reverse order. */
function turns(order: Contestant[], slices: number): Contestant[] {
  return Array.from({ length: slices }, (_, slice) => (slice % 2 === 0 ? order : order.toReversed())).flat();
}

/** Several short slices of each gateway in turn: what changes on the machine meanwhile hits all of them alike. */
async function saturateAll(bench: Bench, order: Contestant[], one: SaturateCase): Promise<Numbers[]> {
  const { call, connections } = one;
  const sums = new Map(
    order.map(({ name }) => [name, { calls: 0, ms: 0, gatewayUs: 0, databaseUs: 0, mb: 0 }]),
  );
  for (const contestant of turns(order, bench.slices)) {
    const [slice, peakMb] = await withPeakRss(contestant.rootPid, () =>
      bench.generator.saturate(contestant, call, connections, bench.seconds),
    );
    const sum = sums.get(contestant.name)!;
    sum.calls += slice.calls;
    sum.ms += slice.elapsedMs;
    sum.gatewayUs += slice.gatewayUs;
    sum.databaseUs += slice.databaseUs;
    sum.mb = Math.max(sum.mb, peakMb);
  }
  const numbers: Numbers[] = [];
  for (const contestant of order) {
    const { calls, ms, gatewayUs, databaseUs, mb } = sums.get(contestant.name)!;
    const callsPerSecond = calls / (ms / 1_000);
    const latency = bench.latency ? await addedLatency(bench, contestant, call, callsPerSecond / 2) : {};
    const cpu = { cpuUs: gatewayUs / calls, databaseCpuUs: databaseUs / calls };
    numbers.push({ callsPerSecond, ...cpu, rssPeakMb: mb, ...latency });
  }
  return numbers;
}

/** Latency through the gateway, less that of the same calls at the same rate without one. May be below zero by noise. */
async function addedLatency(
  { generator, upstream, seconds }: Bench,
  { target }: Contestant,
  call: Call,
  callsPerSecond: number,
): Promise<Numbers> {
  const direct = await generator.pace({ target: upstream.target }, call, callsPerSecond, seconds);
  const through = await generator.pace({ target }, call, callsPerSecond, seconds);
  const numbers: Numbers = {
    addedP50Ms: (through.latency.p50Us - direct.latency.p50Us) / 1_000,
    addedP99Ms: (through.latency.p99Us - direct.latency.p99Us) / 1_000,
  };
  if (through.chunkDelay && direct.chunkDelay) {
    numbers.chunkP50Ms = (through.chunkDelay.p50Us - direct.chunkDelay.p50Us) / 1_000;
    numbers.chunkP99Ms = (through.chunkDelay.p99Us - direct.chunkDelay.p99Us) / 1_000;
  }
  return numbers;
}

/** CPU for each frame that a client gets, in slices as those of calls. */
async function framesOfAll(bench: Bench, order: Contestant[], one: FramesCase): Promise<Numbers[]> {
  const sums = new Map(order.map(({ name }) => [name, { frames: 0, gatewayUs: 0 }]));
  for (const contestant of turns(order, bench.slices)) {
    const { frames, gatewayUs } = await bench.generator.frames(contestant, one, { seconds: bench.seconds });
    const sum = sums.get(contestant.name)!;
    sum.frames += frames;
    sum.gatewayUs += gatewayUs;
  }
  return order.map(({ name }) => {
    const { frames, gatewayUs } = sums.get(name)!;
    return { frameCpuUs: gatewayUs / frames };
  });
}

async function sessionsOf({ generator }: Bench, contestant: Contestant, one: SessionsCase): Promise<Numbers> {
  const { openBytes, usedBytes } = await generator.sessions(contestant, one);
  return { sessionKb: openBytes / 1_000, usedSessionKb: usedBytes / 1_000 };
}

async function rate({ generator }: Bench, contestant: Contestant, one: RateCase): Promise<Numbers> {
  const paced = await generator.pace(contestant, one.call, one.callsPerSecond, one.seconds);
  return { cpuUs: paced.gatewayUs / paced.calls, databaseCpuUs: paced.databaseUs / paced.calls };
}

async function events({ generator }: Bench, contestant: Contestant, one: EventsCase): Promise<Numbers> {
  const { dataDir, target } = contestant;
  if (dataDir === null) return {};
  const since = new Date();
  const { calls, elapsedMs } = await generator.count(target, one.call, one.connections, one.calls);
  const answeredMs = performance.now();
  await waitForEvents(dataDir, since, calls);
  const eventsLagMs = performance.now() - answeredMs;
  return {
    callsPerSecond: (1_000 * calls) / elapsedMs,
    eventsPerSecond: (1_000 * calls) / (elapsedMs + eventsLagMs),
    eventsLagMs,
  };
}

async function held(bench: Bench, { target, rootPid }: Contestant, one: HeldCase): Promise<Numbers> {
  const numbers: Numbers = {};
  await bench.generator.hold(target, one.call, one.connections, async () => {
    await sleep(HELD_SETTLE_MS);
    numbers.rssMb = rssMb(rootPid);
    bench.upstream.child.send(RELEASE);
  });
  return numbers;
}

/** The median of calls that are made one after the other when the first seconds are over is what the first is held against. */
async function startUp(bench: Bench, { name }: Contestant, one: StartCase): Promise<Numbers> {
  const { generator, upstream } = bench;
  // The generator's own code is warm, and only the gateway's is not.
  await generator.sequence(upstream.target, one.call, WARM_CALLS);
  const fresh = await bench.startFresh(name);
  try {
    const [firstUs] = (await generator.sequence(fresh.target, one.call, 1)).latenciesUs;
    const load = await generator.saturate(fresh, one.call, one.connections, one.seconds, true);
    const warm = await generator.sequence(fresh.target, one.call, WARM_CALLS);
    const firstCallMs = firstUs! / 1_000;
    const warmCallMs = percentiles(warm.latenciesUs).p50Us / 1_000;
    return {
      readyMs: fresh.startup.readyMs,
      readyCpuMs: fresh.startup.cpuMs,
      readyRssMb: fresh.startup.rssMb,
      firstCallMs,
      warmCallMs,
      firstCallExtraMs: firstCallMs - warmCallMs,
      cpuUs: load.gatewayUs / load.calls,
      databaseCpuUs: load.databaseUs / load.calls,
    };
  } finally {
    await stop(fresh.child);
  }
}

/** All at once, for they do nothing: waits until they are quiet, then measures `rounds` times. */
export async function measureIdle(name: string, contestants: Contestant[], rounds: number): Promise<Cell[]> {
  const cells: Cell[] = [];
  await sleep(QUIET_MS);
  for (let round = 0; round < rounds; round++) {
    const before = contestants.map(({ rootPid }) => ({ atMs: performance.now(), cpu: readCpu(rootPid) }));
    await sleep(IDLE_MS);
    contestants.forEach(({ name: contestant, rootPid }, index) => {
      const { atMs, cpu } = before[index]!;
      const { gatewayUs, databaseUs } = cpuBetween(cpu, readCpu(rootPid));
      const percent = (us: number) => us / 10 / (performance.now() - atMs);
      const numbers = {
        idlePercent: percent(gatewayUs),
        databaseIdlePercent: percent(databaseUs),
        rssMb: rssMb(rootPid),
      };
      cells.push({ contestant, case: name, round, numbers });
    });
  }
  return cells;
}

function measureOne(bench: Bench, contestant: Contestant, one: Case): Promise<Numbers> {
  switch (one.kind) {
    case 'rate':
      return rate(bench, contestant, one);
    case 'events':
      return events(bench, contestant, one);
    case 'held':
      return held(bench, contestant, one);
    case 'sessions':
      return sessionsOf(bench, contestant, one);
    case 'start':
      return startUp(bench, contestant, one);
    default:
      throw new Error(`${one.name} is not measured in rounds, gateway by gateway`);
  }
}

/** Measures one case, the gateways in the given order. */
export async function measureCase(
  bench: Bench,
  order: Contestant[],
  one: Case,
  round: number,
): Promise<Cell[]> {
  const cell = (index: number, numbers: Numbers): Cell => {
    return { contestant: order[index]!.name, case: one.name, round, numbers };
  };
  if (one.kind === 'saturate') {
    return (await saturateAll(bench, order, one)).map((numbers, index) => cell(index, numbers));
  }
  if (one.kind === 'frames') {
    const able = order.filter(({ name }) => hasSessions(name));
    const numbers = await framesOfAll(bench, able, one);
    return able.map(({ name }, index) => ({
      contestant: name,
      case: one.name,
      round,
      numbers: numbers[index] ?? {},
    }));
  }
  const cells: Cell[] = [];
  for (const [index, contestant] of order.entries()) {
    if (one.kind === 'sessions' && !hasSessions(contestant.name)) continue;
    if (one.kind !== 'rate' && isPeer(contestant.name)) continue;
    cells.push(cell(index, await measureOne(bench, contestant, one)));
  }
  return cells;
}
