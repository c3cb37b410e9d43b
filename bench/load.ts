/**
 * The load generator, in a process of its own, on raw keep-alive sockets. It runs one command at a time:
 * - `count`: a number of calls over some connections, for warming up;
 * - `saturate`: a fixed number of connections, each with its next call as soon as the last one ended;
 * - `pace`: calls at random moments at a given mean rate, sent whether or not earlier ones were answered, so that a slow
 *   answer cannot hide behind the calls that it kept from being sent;
 * - `sequence`: calls one after the other over one connection, each timed;
 * - `hold`: one stream per connection, open until the upstream ends them;
 * - `frames` and `sessions`: WebSockets (sessions.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from './cases.ts';
import { Connection, type Failed, requestOf, type Target } from './connection.ts';
import { pace } from './pace.ts';
import { type FramesCommand, frames, type SessionsCommand, sessions } from './sessions.ts';
import type { Percentiles } from './statistics.ts';
import { type CpuUse, cpuBetween, readCpu } from './tree.ts';

interface CommandBase extends Call {
  target: Target;
}

export interface CountCommand extends CommandBase {
  kind: 'count';
  connections: number;
  calls: number;
}

export interface SaturateCommand extends CommandBase {
  kind: 'saturate';
  connections: number;
  seconds: number;
  /** The process whose CPU time is taken, with what it started. */
  rootPid: number;
  /** Without connections and pools that had time to settle: a start is measured as it comes. */
  cold?: boolean;
}

export interface Load {
  calls: number;
  elapsedMs: number;
}

export interface SaturateResult extends Load, CpuUse {}

export interface PaceCommand extends CommandBase {
  kind: 'pace';
  connections: number;
  callsPerSecond: number;
  seconds: number;
  /** Absent: no CPU time is taken. */
  rootPid?: number;
}

export interface PaceResult extends CpuUse {
  calls: number;
  /** From the sending of a call to its whole answer; to the first byte of a stream's body. */
  latency: Percentiles;
  /** Only of streams. From the upstream's write of a chunk to its arrival here. */
  chunkDelay: Percentiles | null;
}

export interface SequenceCommand extends CommandBase {
  kind: 'sequence';
  calls: number;
}

export interface SequenceResult {
  latenciesUs: number[];
}

export interface HoldCommand extends CommandBase {
  kind: 'hold';
  connections: number;
}

/** Sent twice for `hold`: when every stream is open, and when every one has ended. */
export interface HoldResult {
  streams: 'open' | 'ended';
}

type CallCommand = CountCommand | SaturateCommand | PaceCommand | SequenceCommand | HoldCommand;
export type Command = CallCommand | FramesCommand | SessionsCommand;

/** Connections, pools and hidden classes settle before anything is counted. */
const WARMUP_SECONDS = 0.1;
/** A gateway may keep its books after the answer (batches to a database): that work belongs to the calls as well. */
const SETTLE_MS = 400;
const NO_CPU: CpuUse = { gatewayUs: 0, databaseUs: 0 };

/** Calls without a pause while `more()`; ends when the calls then under way have been answered. Returns how many. */
async function loop(connections: Connection[], request: Buffer, more: () => boolean): Promise<number> {
  let calls = 0;
  const loopOn = (connection: Connection) =>
    new Promise<void>((resolve) => {
      const onEnd = () => {
        calls += 1;
        if (more()) connection.start(call);
        else resolve();
      };
      const call = { request, onEnd };
      connection.start(call);
    });
  await Promise.all(connections.map(loopOn));
  return calls;
}

function forSeconds(seconds: number): () => boolean {
  const endMs = performance.now() + seconds * 1_000;
  return () => performance.now() < endMs;
}

async function count(command: CountCommand, connections: Connection[]): Promise<Load> {
  let left = command.calls - connections.length;
  const startedMs = performance.now();
  const calls = await loop(connections, requestOf(command), () => left-- > 0);
  return { calls, elapsedMs: performance.now() - startedMs };
}

async function saturate(command: SaturateCommand, connections: Connection[]): Promise<SaturateResult> {
  const { rootPid, seconds, cold } = command;
  const request = requestOf(command);
  if (!cold) {
    await loop(connections, request, forSeconds(WARMUP_SECONDS));
    await sleep(SETTLE_MS);
  }
  const before = readCpu(rootPid);
  const startedMs = performance.now();
  const calls = await loop(connections, request, forSeconds(seconds));
  const elapsedMs = performance.now() - startedMs;
  await sleep(SETTLE_MS);
  return { calls, elapsedMs, ...cpuBetween(before, readCpu(rootPid)) };
}

async function paceAndTakeCpu(
  command: PaceCommand,
  connections: Connection[],
  failed: Failed,
): Promise<PaceResult> {
  const { rootPid } = command;
  const before = rootPid === undefined ? null : readCpu(rootPid);
  const result = await pace(command, requestOf(command), connections, failed);
  if (rootPid === undefined || before === null) return { ...result, ...NO_CPU };
  await sleep(SETTLE_MS);
  return { ...result, ...cpuBetween(before, readCpu(rootPid)) };
}

async function sequence(command: SequenceCommand, [connection]: Connection[]): Promise<SequenceResult> {
  const request = requestOf(command);
  const latenciesUs: number[] = [];
  for (let call = 0; call < command.calls; call++) {
    const sentAtMs = performance.now();
    await new Promise<void>((onEnd) => connection?.start({ request, onEnd }));
    latenciesUs.push((performance.now() - sentAtMs) * 1_000);
  }
  return { latenciesUs };
}

async function hold(command: HoldCommand, connections: Connection[]): Promise<HoldResult> {
  const request = requestOf(command);
  const ended: Promise<void>[] = [];
  const opened = connections.map(
    (connection) =>
      new Promise<void>((onBody) => {
        ended.push(
          new Promise<void>((onEnd) => connection.start({ request, onBody: () => onBody(), onEnd })),
        );
      }),
  );
  await Promise.all(opened);
  process.send?.({ streams: 'open' } satisfies HoldResult);
  await Promise.all(ended);
  return { streams: 'ended' };
}

function execute(command: CallCommand, connections: Connection[], failed: Failed): Promise<object> {
  switch (command.kind) {
    case 'count':
      return count(command, connections);
    case 'saturate':
      return saturate(command, connections);
    case 'pace':
      return paceAndTakeCpu(command, connections, failed);
    case 'sequence':
      return sequence(command, connections);
    case 'hold':
      return hold(command, connections);
  }
}

async function run(command: Command): Promise<object> {
  if (command.kind === 'frames') return frames(command);
  if (command.kind === 'sessions') return sessions(command);
  const broken = Promise.withResolvers<never>();
  const failed = (reason: string) => broken.reject(new Error(reason));
  const wanted = command.kind === 'sequence' ? 1 : command.connections;
  const opening = Array.from({ length: wanted }, () => Connection.open(command.target.port, failed));
  const connections = await Promise.all(opening);
  try {
    return await Promise.race([execute(command, connections, failed), broken.promise]);
  } finally {
    for (const connection of connections) connection.close();
  }
}

process.on('disconnect', () => process.exit(1));
process.on('message', async (command: Command) => {
  process.send?.(await run(command));
});
process.send?.('ready');
