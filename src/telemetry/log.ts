/**
 * The log: JSON lines on stdout. Owns: the line of a call, its rate, and that no secret gets into any line.
 * Invariants: writing is asynchronous and bounded, so the log can neither fail nor delay a call: with a reader that is
 * too slow, lines are dropped and counted. Usage events, not log lines, are the record of what was spent.
 */
import pino, { type Logger } from 'pino';
import { callFields, FIELDS } from './fields.ts';
import type { CallEntry } from './measurement.ts';

/** Ended calls whose lines are not written yet: together they are, a few times a second, so that no call waits for its line. */
export interface CallLines {
  readonly entries: CallEntry[];
  /** How many more may get one in this second. Calls of unknown outcome get one all the same. */
  room: number;
  /** Calls that got none since the last line. */
  omitted: number;
}

export interface LogOptions {
  level: string;
  logCalls: boolean;
  /** Values that must never appear: the upstream's key, the admin key, the database URL. Nulls are skipped. */
  secrets: readonly (string | null)[];
  /** Settled and voided calls logged per second at most; calls of unknown outcome are always logged. */
  callsPerSecond?: number;
  /** What every line says besides; null: nothing. */
  fields?: Record<string, unknown> | null;
  /** Path of a file, or 1 for stdout. */
  destination?: string | number;
  onDroppedLine?: () => void;
}

export interface Log {
  /** For everything but calls: start, stop, jobs, faults. */
  readonly logger: Logger;
  /** Calls to be logged; null: none are. */
  readonly calls: CallLines | null;
  /** To be called when the first entry was added. */
  writeSoon(): void;
  /** Writes out what is buffered, within a second; for the end of the process. Never rejects. */
  flush(): Promise<void>;
}

/** Lines waiting for a slow reader, in bytes; above it they are dropped. */
const MAX_BUFFER_BYTES = 4 * 1024 * 1024;
/** How long a line waits for others. */
const FLUSH_INTERVAL_MS = 250;
const FLUSH_TIMEOUT_MS = 1000;
const MIN_WRITE_BYTES = 4096;
/** A shorter one is a placeholder; removing it would tear words apart. */
const MIN_SECRET_LENGTH = 8;
/** Anything shaped like a virtual key, an upstream key or a bearer header, wherever it comes from. */
const KEY_SHAPES = /\b(?:sk|tg)-[\w-]{8,}|\b[Bb]earer\s+[\w.~+/=-]{8,}/g;

/**
 * Makes the log. A call's line costs 6–10 µs, a tenth of the whole gateway, so their rate is bounded: 100 a second are
 * 0.1 % of a core, and an omitted line costs next to nothing. The next line says how many were left out.
 */
export function createLog({
  level,
  logCalls,
  secrets,
  callsPerSecond = 100,
  fields = null,
  destination = 1,
  onDroppedLine = () => {},
}: LogOptions): Log {
  const stream = pino.destination({
    dest: destination,
    sync: false,
    minLength: MIN_WRITE_BYTES,
    maxLength: MAX_BUFFER_BYTES,
  });
  let isOpen = false;
  let isLost = false;
  stream.on('ready', () => {
    isOpen = true;
    soon();
  });
  stream.on('drop', onDroppedLine);
  // A closed pipe must not stop the gateway.
  stream.on('error', () => {
    isLost = !isOpen;
    // As the process ends pino flushes the stream, which throws if it was never open (pino 10.4.0): the exit code would be 1.
    if (isLost) stream.flushSync = () => {};
  });
  const redact = redactor(secrets);
  const streamWrite = (line: string) => {
    soon();
    return redact(line);
  };
  const writer = new CallWriter(callsPerSecond);
  const logger = pino({ level, base: fields, timestamp: writer.timestamp, hooks: { streamWrite } }, stream);
  // Set while something waits: an idle log has no timer, because a flush of nothing is a write too. Not the stream's own
  // `periodicFlush`: it writes to a file that could not be opened, and throws out of its timer.
  let timer: NodeJS.Timeout | null = null;

  function soon(): void {
    if (timer === null) timer = setTimeout(writeOut, FLUSH_INTERVAL_MS).unref();
  }

  function writeOut(): void {
    const isFull = writer.write(logger);
    timer = null;
    if (isOpen) stream.flush();
    if (isFull) soon();
  }

  // Not the stream's synchronous flush: on a pipe without a reader it would block the end of the process for ever.
  function flush(): Promise<void> {
    writer.write(logger);
    return new Promise((resolve) => {
      setTimeout(resolve, FLUSH_TIMEOUT_MS).unref();
      if (isLost) resolve();
      else stream.flush(() => resolve());
    });
  }

  return { logger, calls: logCalls ? writer.calls : null, writeSoon: soon, flush };
}

/** Writes the lines of calls, at a bounded rate. */
class CallWriter {
  readonly calls: CallLines;
  readonly #callsPerSecond: number;
  #secondFromMs = performance.now();
  /** When the call ended whose line is written now; null: the line is of something else. */
  #endedMs: number | null = null;

  constructor(callsPerSecond: number) {
    this.#callsPerSecond = callsPerSecond;
    this.calls = { entries: [], room: callsPerSecond, omitted: 0 };
  }

  /** The time of a line, as pino puts it in. */
  readonly timestamp = (): string => `,"time":${this.#endedMs ?? Date.now()}`;

  /** Writes what waits. Returns whether no more calls get a line until this was called again. */
  write(logger: Logger): boolean {
    const { calls } = this;
    for (const call of calls.entries.splice(0)) {
      const line = callLine(call, calls.omitted);
      calls.omitted = 0;
      this.#endedMs = call.endedMs;
      if (call.outcome === 'unknown') logger.warn(line, 'call');
      else logger.info(line, 'call');
    }
    this.#endedMs = null;
    const nowMs = performance.now();
    if (nowMs - this.#secondFromMs >= 1000) {
      this.#secondFromMs = nowMs;
      calls.room = this.#callsPerSecond;
    }
    return calls.room <= 0;
  }
}

function callLine(call: CallEntry, omittedLines: number): Record<string, unknown> {
  const line: Record<string, unknown> = callFields(call);
  line[FIELDS.stageUs] = call.stageUs;
  if (omittedLines > 0) line[FIELDS.suppressedLines] = omittedLines;
  return line;
}

/** Works on the finished line, so that no error message, header or nested object can slip past it. */
function redactor(secrets: readonly (string | null)[]): (line: string) => string {
  const values = secrets
    .filter((secret) => secret !== null && secret.length >= MIN_SECRET_LENGTH)
    .map((secret) => JSON.stringify(secret).slice(1, -1));
  return (line) => {
    let clean = line.replace(KEY_SHAPES, '[redacted]');
    for (const value of values) clean = clean.replaceAll(value, '[redacted]');
    return clean;
  };
}

/** Reports an error at most once in five seconds: enough to know that a server is away. */
export function rateLimited(report: (error: unknown) => void): (error: unknown) => void {
  let quietUntilMs = 0;
  return (error) => {
    const now = performance.now();
    if (now < quietUntilMs) return;
    quietUntilMs = now + 5000;
    report(error);
  };
}
