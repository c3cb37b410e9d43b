/** The bench's side of the load generator: starts its process and sends it one command at a time. */
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Call, FramesCase, SessionsCase } from './cases.ts';
import type { Target } from './connection.ts';
import type { Contestant } from './contestants.ts';
import type { Command, HoldResult, Load, PaceResult, SaturateResult, SequenceResult } from './load.ts';
import { nextMessage, startOwn } from './processes.ts';
import type { FramesResult, SessionsResult } from './sessions.ts';

/** Longer than a warm-up takes at two hundred calls a second. */
const RESULT_TIMEOUT_MS = 600_000;

/** Every method throws when a single call failed: numbers of failing calls mean nothing. */
export class Generator {
  readonly #child: ChildProcess;
  readonly #logFile: string;

  private constructor(child: ChildProcess, logFile: string) {
    this.#child = child;
    this.#logFile = logFile;
  }

  static async start(logFile: string): Promise<Generator> {
    const { child } = await startOwn({ script: 'load.ts', logFile });
    return new Generator(child, logFile);
  }

  /** Makes so many calls. */
  async count(target: Target, call: Call, connections: number, calls: number): Promise<Load> {
    return (await this.#run({ kind: 'count', target, ...call, connections, calls })) as Load;
  }

  /** Keeps the connections busy for `seconds`; `cold`: counts from the first call on. */
  async saturate(
    { target, rootPid }: Contestant,
    call: Call,
    connections: number,
    seconds: number,
    cold = false,
  ): Promise<SaturateResult> {
    const command: Command = { kind: 'saturate', target, rootPid, ...call, connections, seconds, cold };
    return (await this.#run(command)) as SaturateResult;
  }

  /** Calls at random moments. Without `rootPid` the CPU times are 0. */
  async pace(
    { target, rootPid }: { target: Target; rootPid?: number },
    call: Call,
    callsPerSecond: number,
    seconds: number,
  ): Promise<PaceResult> {
    const connections = Math.min(64, Math.ceil(callsPerSecond / 10));
    const common = { target, ...call, connections, callsPerSecond, seconds };
    const command: Command = { kind: 'pace', ...common, ...(rootPid === undefined ? {} : { rootPid }) };
    return (await this.#run(command)) as PaceResult;
  }

  /** Returns how long each of so many calls took, one after the other. */
  async sequence(target: Target, call: Call, calls: number): Promise<SequenceResult> {
    return (await this.#run({ kind: 'sequence', target, ...call, calls })) as SequenceResult;
  }

  /** Opens a stream on each connection, runs `whileOpen` once all are open, and returns when all have ended. */
  async hold(target: Target, call: Call, connections: number, whileOpen: () => Promise<void>): Promise<void> {
    const { streams } = (await this.#run({ kind: 'hold', target, ...call, connections })) as HoldResult;
    if (streams !== 'open') throw new Error('the streams ended before they were released');
    const ended = this.#next('hold');
    ended.catch(() => {});
    await whileOpen();
    await ended;
  }

  /** Keeps sessions busy until so many responses have begun or so many seconds are over. */
  async frames(
    { target, rootPid }: Contestant,
    { message, sessions }: FramesCase,
    { responses = Number.MAX_SAFE_INTEGER, seconds = 600 }: { responses?: number; seconds?: number },
  ): Promise<FramesResult> {
    const common = { target, rootPid, message, sessions };
    return (await this.#run({ kind: 'frames', ...common, responses, seconds })) as FramesResult;
  }

  /** Returns what open sessions cost in memory. */
  async sessions({ target, rootPid }: Contestant, one: SessionsCase): Promise<SessionsResult> {
    const { message, sessions } = one;
    return (await this.#run({ kind: 'sessions', target, rootPid, message, sessions })) as SessionsResult;
  }

  async #run(command: Command): Promise<unknown> {
    this.#child.send(command);
    return this.#next(command.kind);
  }

  /** Returns what the generator says next. Throws when it says nothing for ten minutes. */
  async #next(kind: Command['kind']): Promise<unknown> {
    const waiting = new AbortController();
    const late = sleep(RESULT_TIMEOUT_MS, null, { signal: waiting.signal }).then(() => {
      throw new Error(`${kind}: the calls have not ended after ${RESULT_TIMEOUT_MS / 60_000} minutes`);
    });
    late.catch(() => {});
    try {
      return await Promise.race([nextMessage(this.#child, this.#logFile), late]);
    } finally {
      waiting.abort();
    }
  }
}
