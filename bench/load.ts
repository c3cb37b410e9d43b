/**
 * The load generator, in a process of its own, on raw keep-alive sockets. It runs one command at a time:
 * - `saturate`: a fixed number of connections, each with its next call as soon as the last one ended;
 * - `pace`: calls at random moments at a given mean rate, sent whether or not earlier ones were answered, so that a slow
 *   answer cannot hide behind the calls that it kept from being sent.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { SENT_AT_DIGITS, SENT_AT_MARK } from './answers.ts';
import { nowUs } from './child.ts';
import { Connection, type Failed } from './connection.ts';
import { readCpuUs, readDescendantsCpuUs } from './cpu.ts';
import { type Percentiles, percentiles } from './statistics.ts';
import type { Tick, TickerOptions } from './ticker.ts';

export interface Target {
  port: number;
  /** Headers that this gateway wants, beside those of every call. */
  headers: Record<string, string>;
}

interface Command {
  target: Target;
  body: string;
  connections: number;
  seconds: number;
}

export interface SaturateCommand extends Command {
  kind: 'saturate';
  /** The process whose CPU time is taken. */
  pid: number;
}

export interface SaturateResult {
  calls: number;
  elapsedMs: number;
  /** User + system of the process, of its threads too. */
  cpuUs: number;
  /** The same of the processes that it started. */
  descendantsCpuUs: number;
}

export interface PaceCommand extends Command {
  kind: 'pace';
  stream: boolean;
  callsPerSecond: number;
}

export interface PaceResult {
  /** From the sending of a call to its whole answer; to the first byte of a stream's body. */
  latency: Percentiles;
  /** Only of streams. From the upstream's write of a chunk to its arrival here. */
  chunkDelay: Percentiles | null;
}

/** Connections, pools and hidden classes settle before anything is counted. */
const WARMUP_SECONDS = 0.2;
/** A gateway may keep its books after the answer (batches to a database): that work belongs to the calls as well. */
const SETTLE_MS = 300;
/**
 * With this many calls under way a paced run sends no more: whatever holds them up already shows in their latency, and the
 * run has to end.
 */
const MAX_CALLS_UNDER_WAY = 1_024;

function prepare({ target, body }: Command): Buffer {
  const headers = {
    host: `127.0.0.1:${target.port}`,
    authorization: 'Bearer sk-bench',
    accept: 'application/json',
    'user-agent': 'OpenAI/JS 7.57.0',
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...target.headers,
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return Buffer.from(`POST /v1/chat/completions HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
}

function openConnections(command: Command, failed: Failed): Promise<Connection[]> {
  const opening = Array.from({ length: command.connections }, () =>
    Connection.open(command.target.port, failed),
  );
  return Promise.all(opening);
}

/** Calls without a pause; ends when the calls under way at the end of the time have been answered. Returns how many. */
async function loop(connections: Connection[], request: Buffer, seconds: number): Promise<number> {
  const endMs = performance.now() + seconds * 1_000;
  let calls = 0;
  const loopOn = (connection: Connection) =>
    new Promise<void>((resolve) => {
      const onEnd = () => {
        calls += 1;
        if (performance.now() < endMs) connection.start(call);
        else resolve();
      };
      const call = { request, onEnd };
      connection.start(call);
    });
  await Promise.all(connections.map(loopOn));
  return calls;
}

async function saturate(command: SaturateCommand, connections: Connection[]): Promise<SaturateResult> {
  const { pid, seconds } = command;
  const request = prepare(command);
  await loop(connections, request, WARMUP_SECONDS);
  await sleep(SETTLE_MS);
  const before = {
    ms: performance.now(),
    cpuUs: readCpuUs(pid),
    descendantsCpuUs: readDescendantsCpuUs(pid),
  };
  const calls = await loop(connections, request, seconds);
  const elapsedMs = performance.now() - before.ms;
  await sleep(SETTLE_MS);
  const cpuUs = readCpuUs(pid) - before.cpuUs;
  const descendantsCpuUs = readDescendantsCpuUs(pid) - before.descendantsCpuUs;
  return { calls, elapsedMs, cpuUs, descendantsCpuUs };
}

async function pace(command: PaceCommand, free: Connection[], failed: Failed): Promise<PaceResult> {
  const request = prepare(command);
  const latenciesUs: number[] = [];
  const chunkDelaysUs: number[] = [];
  let underWay = 0;
  let ended = false;
  const finished = Promise.withResolvers<void>();

  const send = (connection: Connection) => {
    const sentAtUs = nowUs();
    let first = true;
    const onBody = (data: Buffer) => {
      const arrivedAtUs = nowUs();
      if (first) latenciesUs.push(arrivedAtUs - sentAtUs);
      first = false;
      const mark = data.indexOf(SENT_AT_MARK);
      if (mark < 0) return;
      const start = mark + SENT_AT_MARK.length;
      const writtenAtUs = Number(data.toString('latin1', start, start + SENT_AT_DIGITS));
      chunkDelaysUs.push(arrivedAtUs - writtenAtUs);
    };
    const onEnd = () => {
      if (!command.stream) latenciesUs.push(nowUs() - sentAtUs);
      free.push(connection);
      underWay -= 1;
      if (ended && underWay === 0) finished.resolve();
    };
    connection.start(command.stream ? { request, onBody, onEnd } : { request, onEnd });
  };
  const due = () => {
    if (underWay === MAX_CALLS_UNDER_WAY) return;
    underWay += 1;
    let connection = free.pop();
    while (connection && !connection.usable) connection = free.pop();
    if (connection) send(connection);
    else Connection.open(command.target.port, failed).then(send, (error: Error) => failed(error.message));
  };

  const workerData: TickerOptions = { callsPerSecond: command.callsPerSecond, seconds: command.seconds };
  const ticker = new Worker(new URL('./ticker.ts', import.meta.url), { workerData });
  ticker.on('error', (error) => failed(String(error)));
  ticker.on('message', (tick: Tick) => {
    if (tick === 'due') return due();
    ended = true;
    if (underWay === 0) finished.resolve();
  });
  await finished.promise;
  const chunkDelay = command.stream ? percentiles(chunkDelaysUs) : null;
  return { latency: percentiles(latenciesUs), chunkDelay };
}

async function run(command: SaturateCommand | PaceCommand): Promise<SaturateResult | PaceResult> {
  const broken = Promise.withResolvers<never>();
  const failed = (reason: string) => broken.reject(new Error(reason));
  const connections = await openConnections(command, failed);
  const result =
    command.kind === 'saturate' ? saturate(command, connections) : pace(command, connections, failed);
  try {
    return await Promise.race([result, broken.promise]);
  } finally {
    for (const connection of connections) connection.close();
  }
}

process.on('disconnect', () => process.exit(1));
process.on('message', async (command: SaturateCommand | PaceCommand) => {
  process.send?.(await run(command));
});
process.send?.('ready');
