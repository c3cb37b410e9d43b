/**
 * One measurement: one gateway, one kind of call, one round. CPU per call comes from a saturated run, latency from a run at
 * half of that rate, less the latency of the same calls at the same rate without a gateway.
 */
import type { ChildProcess } from 'node:child_process';
import type { Case } from './cases.ts';
import type { Contestant, ContestantName } from './contestants.ts';
import type { PaceCommand, PaceResult, SaturateCommand, SaturateResult, Target } from './load.ts';
import { nextMessage, startOwn } from './processes.ts';
import type { Percentiles } from './statistics.ts';

export interface Cell {
  contestant: ContestantName;
  case: string;
  round: number;
  calls: number;
  callsPerSecond: number;
  cpuUsPerCall: number;
  /** Of the processes that the gateway started: an embedded Postgres. */
  databaseCpuUsPerCall: number;
  /** Whole answers of JSON; first bytes of streams. May be below zero by noise. */
  addedLatency: Percentiles;
  /** Null for JSON. */
  addedChunkDelay: Percentiles | null;
}

/** Enough to saturate one core by calls that are answered at once. */
const JSON_CONNECTIONS = 64;
/** Streams are paced by the upstream: with this many the bare pipe's core is busy, and not yet merging chunks. */
const STREAM_CONNECTIONS = 48;

/** The load generator's process. */
export class Load {
  readonly #child: ChildProcess;
  readonly #logFile: string;

  private constructor(child: ChildProcess, logFile: string) {
    this.#child = child;
    this.#logFile = logFile;
  }

  static async start(logFile: string): Promise<Load> {
    const { child } = await startOwn({ script: 'load.ts', logFile });
    return new Load(child, logFile);
  }

  /** Throws when a single call failed: numbers of failing calls mean nothing. */
  async saturate({ target, pid }: Contestant, call: Case, seconds: number): Promise<SaturateResult> {
    const connections = call.stream ? STREAM_CONNECTIONS : JSON_CONNECTIONS;
    const command: SaturateCommand = { kind: 'saturate', target, pid, body: call.body, connections, seconds };
    return (await this.#run(command)) as SaturateResult;
  }

  /** Throws when a single call failed, or could not be sent in time. */
  async pace(target: Target, call: Case, callsPerSecond: number, seconds: number): Promise<PaceResult> {
    const { body, stream } = call;
    const connections = stream ? STREAM_CONNECTIONS : JSON_CONNECTIONS;
    const command: PaceCommand = { kind: 'pace', target, body, stream, connections, callsPerSecond, seconds };
    return (await this.#run(command)) as PaceResult;
  }

  async #run(command: SaturateCommand | PaceCommand): Promise<unknown> {
    const result = nextMessage(this.#child, this.#logFile);
    this.#child.send(command);
    return result;
  }
}

function minus(through: Percentiles, direct: Percentiles): Percentiles {
  return { p50Us: through.p50Us - direct.p50Us, p99Us: through.p99Us - direct.p99Us };
}

/** Measures one cell; takes about three times `seconds`. */
export async function measureCell(
  load: Load,
  contestant: Contestant,
  call: Case,
  round: number,
  seconds: number,
  upstream: Target,
): Promise<Cell> {
  const saturated = await load.saturate(contestant, call, seconds);
  const callsPerSecond = saturated.calls / (saturated.elapsedMs / 1_000);
  const direct = await load.pace(upstream, call, callsPerSecond / 2, seconds);
  const through = await load.pace(contestant.target, call, callsPerSecond / 2, seconds);
  return {
    contestant: contestant.name,
    case: call.name,
    round,
    calls: saturated.calls,
    callsPerSecond,
    cpuUsPerCall: saturated.cpuUs / saturated.calls,
    databaseCpuUsPerCall: saturated.descendantsCpuUs / saturated.calls,
    addedLatency: minus(through.latency, direct.latency),
    addedChunkDelay: through.chunkDelay && direct.chunkDelay && minus(through.chunkDelay, direct.chunkDelay),
  };
}
