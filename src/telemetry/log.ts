/**
 * The log: JSON lines on stdout. Owns: the line of a call, its rate, and that no secret gets into any line.
 * Invariants: writing is asynchronous and bounded, so the log can neither fail nor delay a call: with a reader that is
 * too slow, lines are dropped and counted. Usage events, not log lines, are the record of what was spent.
 */
import pino, { type Logger } from 'pino';
import type { ErrorCode } from '../domain/errors.ts';
import type { PicoUsd } from '../domain/money.ts';
import type { OutcomeName } from '../domain/outcome.ts';
import { formatUsd, inUnits } from '../domain/quantities.ts';
import type { Usage } from '../domain/usage.ts';
import { FIELDS, USAGE_FIELDS } from './fields.ts';
import type { StageDurationsUs } from './measurement.ts';

/** One ended call, as a line. The key itself has no place in it, only its id. */
export interface CallEntry {
  eventId: string;
  /** Names of the operation: Tollgate's, and OpenTelemetry's. */
  operation: { readonly name: string; readonly otel: string };
  outcome: OutcomeName;
  team: string;
  keyId: string;
  requestModel: string | null;
  responseModel: string | null;
  usage: Usage | null;
  costPicoUsd: PicoUsd;
  holdPicoUsd: PicoUsd;
  /** The status of the response. */
  status: number;
  /** Set when the response is Tollgate's own. */
  error: ErrorCode | null;
  upstreamRequestId: string | null;
  stageUs: StageDurationsUs;
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
  logCall(call: CallEntry): void;
  /** Writes out what is buffered, within a second; for the end of the process. Never rejects. */
  flush(): Promise<void>;
}

/** Lines waiting for a slow reader, in bytes; above it they are dropped. */
const MAX_BUFFER_BYTES = 4 * 1024 * 1024;
const FLUSH_INTERVAL_MS = 250;
const FLUSH_TIMEOUT_MS = 1000;
const MIN_WRITE_BYTES = 4096;
/** A shorter one is a placeholder; removing it would tear words apart. */
const MIN_SECRET_LENGTH = 8;
/** Anything shaped like a virtual key, an upstream key or a bearer header, wherever it comes from. */
const KEY_SHAPES = /\b(?:sk|tg)-[\w-]{8,}|\b[Bb]earer\s+[\w.~+/=-]{8,}/g;

/**
 * Makes the log. A call's line costs 6–10 µs, a tenth of the whole gateway, so their rate is bounded: 100 a second are
 * 0.1 % of a core, and a suppressed line costs 0.05 µs. The next line says how many were left out.
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
  // Not the stream's own `periodicFlush`: it writes to a file that could not be opened, and throws out of its timer.
  let isOpen = false;
  let isLost = false;
  // Set while lines wait: an idle log has no timer, because a flush of nothing is a write too.
  let flushTimer: NodeJS.Timeout | null = null;
  const flushSoon = () => {
    if (flushTimer !== null || !isOpen) return;
    flushTimer = setTimeout(() => {
      flushTimer = null;
      stream.flush();
    }, FLUSH_INTERVAL_MS).unref();
  };
  stream.on('ready', () => {
    isOpen = true;
    flushSoon();
  });
  stream.on('drop', onDroppedLine);
  // A closed pipe must not stop the gateway.
  stream.on('error', () => {
    isLost = !isOpen;
  });
  const redact = redactor(secrets);
  const streamWrite = (line: string) => {
    flushSoon();
    return redact(line);
  };
  const logger = pino({ level, base: fields, hooks: { streamWrite } }, stream);
  let second = 0;
  let linesThisSecond = 0;
  let suppressedLines = 0;

  function logCall(call: CallEntry): void {
    if (!logCalls) return;
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      second = now;
      linesThisSecond = 0;
    }
    if (++linesThisSecond > callsPerSecond && call.outcome !== 'unknown') {
      suppressedLines++;
      return;
    }
    const line = callLine(call, suppressedLines);
    suppressedLines = 0;
    if (call.outcome === 'unknown') logger.warn(line, 'call');
    else logger.info(line, 'call');
  }

  // Not the stream's synchronous flush: on a pipe without a reader it would block the end of the process for ever.
  function flush(): Promise<void> {
    return new Promise((resolve) => {
      setTimeout(resolve, FLUSH_TIMEOUT_MS).unref();
      if (isLost) resolve();
      else stream.flush(() => resolve());
    });
  }

  return { logger, logCall, flush };
}

function callLine(call: CallEntry, suppressedLines: number): Record<string, unknown> {
  const line: Record<string, unknown> = {
    [FIELDS.provider]: 'openai',
    [FIELDS.operation]: call.operation.otel,
    [FIELDS.api]: call.operation.name,
    [FIELDS.eventId]: call.eventId,
    [FIELDS.team]: call.team,
    [FIELDS.keyId]: call.keyId,
    [FIELDS.outcome]: call.outcome,
    [FIELDS.status]: call.status,
    [FIELDS.costUsd]: formatUsd(call.costPicoUsd),
    [FIELDS.holdUsd]: formatUsd(call.holdPicoUsd),
    [FIELDS.stageUs]: call.stageUs,
  };
  if (call.requestModel !== null) line[FIELDS.requestModel] = call.requestModel;
  if (call.responseModel !== null) line[FIELDS.responseModel] = call.responseModel;
  if (call.upstreamRequestId !== null) line[FIELDS.upstreamRequestId] = call.upstreamRequestId;
  if (call.error !== null) line[FIELDS.errorType] = call.error;
  for (const [meter, field] of USAGE_FIELDS) {
    const amount = call.usage?.[meter];
    if (amount !== undefined) line[field] = inUnits(meter, amount);
  }
  if (suppressedLines > 0) line[FIELDS.suppressedLines] = suppressedLines;
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
