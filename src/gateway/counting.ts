/**
 * Counting: the tokens of an input where its bytes would hold too much of what is left. Owns: the thread that counts by
 * published encodings, questions to the upstream's own `/responses/input_tokens`, and how long either may take. Does not own: when it
 * is worth it (stages/estimate.ts). Invariant: whatever fails, the bytes' bound stays.
 */
import { Worker } from 'node:worker_threads';
import { findSpans, isObject, parseJson } from '../openai/body.ts';
import type { InputParts } from '../openai/input-parts.ts';
import type { ParsedRequest } from '../openai/request.ts';
import { upstreamHeaders } from '../openai/response.ts';
import type { RequestBounds } from '../openai/scan.ts';
import { publishedEncoding } from '../openai/usage/tokeniser.ts';
import type { Upstream, UpstreamHandler } from '../wire/upstream.ts';
import { COUNTING, type CountJob } from './count-job.ts';

interface Waiting {
  job: CountJob;
  /** Null: its call waits no longer, and the thread has its request. */
  resolve: ((parts: InputParts | null) => void) | null;
  deadline: NodeJS.Timeout;
}

/** How long a call waits for its count, and how long a count may take once its encoding is loaded. */
const WITHIN_MS = 2_000;
/** Larger bodies would hold up the others: some 100 ms of one core for each megabyte. */
const BODY_BYTES_MAX = 4 * 1024 * 1024;
const WAITING_MAX = 16;
const HEAP_MB = 512;
/** A tokeniser takes some 60 MB, which are given back when nothing was counted for so long. */
const IDLE_MS = 10 * 60_000;

/** Counts by published encodings, in one thread that starts with the first count. */
export class EncodingCounts {
  #thread: Worker | null = null;
  readonly #waiting: Waiting[] = [];
  /** Until the count that is made now takes too long; null: the thread loads, or rests. */
  #running: NodeJS.Timeout | null = null;
  #idle: NodeJS.Timeout | null = null;
  #isClosed = false;
  readonly #withinMs: number;
  readonly #countingMs: number;

  /**
   * @param withinMs how long a call waits for its count
   * @param countingMs how long a count may take once its encoding is loaded
   */
  constructor(withinMs = WITHIN_MS, countingMs = withinMs) {
    this.#withinMs = withinMs;
    this.#countingMs = countingMs;
  }

  canCount({ operation, body }: ParsedRequest): boolean {
    return body.length <= BODY_BYTES_MAX && publishedEncoding(operation.model ?? '') !== null;
  }

  /** Returns the parts of the input with their counts; null: they could not be counted, or not in time. */
  count(
    { descriptor, path, operation, body }: ParsedRequest,
    bounds: RequestBounds,
  ): Promise<InputParts | null> {
    const { model } = operation;
    const encoding = publishedEncoding(model ?? '');
    if (encoding === null || this.#isClosed || this.#waiting.length >= WAITING_MAX)
      return Promise.resolve(null);
    const { buffer: bytes } = new Uint8Array(body);
    const job: CountJob = { operation: descriptor.name, path, model, bytes, bounds, encoding };
    return new Promise((resolve) => {
      const waiting = { job, resolve, deadline: setTimeout(() => this.#late(waiting), this.#withinMs) };
      this.#waiting.push(waiting);
      if (this.#waiting.length === 1) this.#next();
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#stop();
  }

  /** The first one waits for the thread, the others for the first. */
  #next(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = null;
    const [first] = this.#waiting;
    const thread = this.#thread ?? (first === undefined ? null : this.#start());
    if (first !== undefined) {
      thread?.ref();
      thread?.postMessage(first.job, [first.job.bytes]);
      return;
    }
    thread?.unref();
    this.#idle = setTimeout(() => void this.#stop(), IDLE_MS).unref();
  }

  #start(): Worker {
    const thread = new Worker(new URL('./count-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 16 },
    });
    this.#thread = thread;
    thread.on('message', (said: InputParts | typeof COUNTING | null) => {
      if (said !== COUNTING) this.#counted(said);
      // All that waits would wait for it in vain.
      else this.#running = setTimeout(() => void this.#stop(), this.#countingMs);
    });
    thread.on('error', () => {
      this.#thread = null;
      this.#counted(null);
    });
    return thread;
  }

  #counted(parts: InputParts | null): void {
    this.#endRun();
    const done = this.#waiting.shift();
    if (done === undefined) return;
    clearTimeout(done.deadline);
    done.resolve?.(parts);
    this.#next();
  }

  /** The thread goes on: a busy machine would load the encoding once more for each call. */
  #late(waiting: Waiting): void {
    waiting.resolve?.(null);
    waiting.resolve = null;
    const at = this.#waiting.indexOf(waiting);
    if (at > 0) this.#waiting.splice(at, 1);
  }

  #endRun(): void {
    if (this.#running !== null) clearTimeout(this.#running);
    this.#running = null;
  }

  async #stop(): Promise<void> {
    this.#endRun();
    const thread = this.#thread;
    this.#thread = null;
    for (const { resolve, deadline } of this.#waiting.splice(0)) {
      clearTimeout(deadline);
      resolve?.(null);
    }
    thread?.removeAllListeners();
    await thread?.terminate();
  }
}

/** What the upstream's count depends on. Nothing that it keeps: its ids may be another team's. */
const COUNTED_FIELDS =
  'model input instructions tools tool_choice parallel_tool_calls text reasoning truncation'.split(' ');
const ASKED_AT_ONCE = 8;
/** Until it is asked again: an upstream that has no such operation, and one that failed. */
const MISSING_MS = 3_600_000;
const FAILED_MS = 10_000;
const REPLY_BYTES_MAX = 64 * 1024;

export interface UpstreamCountsOptions {
  upstream: Upstream;
  apiKey: string;
  /** Milliseconds on the monotonic clock. */
  monotonicMs(): number;
}

/** Asks the upstream for its own count, which costs nothing but a second upload. */
export class UpstreamCounts {
  readonly #options: UpstreamCountsOptions;
  #asked = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(options: UpstreamCountsOptions) {
    this.#options = options;
  }

  canCount({ descriptor, operation, body, modelFromPath }: ParsedRequest): boolean {
    if (descriptor.countPath === null || body.length > BODY_BYTES_MAX) return false;
    const { beyondText, hosted } = operation;
    // What is kept upstream, or read again by each call, is no part of what is asked.
    if (modelFromPath || hosted !== null || (beyondText?.references ?? null) !== null) return false;
    if ((beyondText?.windowParam ?? null) !== null) return false;
    return this.#asked < ASKED_AT_ONCE && this.#options.monotonicMs() >= this.#notBeforeMs;
  }

  /** Returns the input tokens that the upstream counts now; null: it did not say in time. */
  async count({ descriptor, body }: ParsedRequest, eventId: string): Promise<number | null> {
    const { apiKey, monotonicMs } = this.#options;
    const pieces: Buffer[] = [];
    for (const [name, [start, end]] of findSpans(body, COUNTED_FIELDS))
      pieces.push(Buffer.from(`${pieces.length === 0 ? '{' : ','}"${name}":`), body.subarray(start, end));
    pieces.push(Buffer.from('}'));
    const headers = upstreamHeaders(['content-type', 'application/json'], { apiKey, eventId });
    this.#asked++;
    const { status, tokens } = await this.#ask(descriptor.countPath ?? '', headers, Buffer.concat(pieces));
    this.#asked--;
    if (tokens === null) {
      const isMissing = status === 404 || status === 405 || status === 501;
      this.#notBeforeMs = monotonicMs() + (isMissing ? MISSING_MS : FAILED_MS);
    }
    return tokens;
  }

  #ask(path: string, headers: string[], body: Buffer): Promise<{ status: number; tokens: number | null }> {
    return new Promise((resolve) => {
      let status = 0;
      let length = 0;
      const chunks: Buffer[] = [];
      const deadline = setTimeout(() => call.abort(), WITHIN_MS);
      const end = (tokens: number | null) => {
        clearTimeout(deadline);
        resolve({ status, tokens });
      };
      const handler: UpstreamHandler = {
        onHeaders: (code) => {
          status = code;
        },
        onData: (chunk) => {
          length += chunk.length;
          if (length > REPLY_BYTES_MAX) throw new Error('a count is no long text');
          chunks.push(chunk);
        },
        onEnd: () => end(status === 200 ? tokensIn(Buffer.concat(chunks)) : null),
        onError: () => end(null),
      };
      const call = this.#options.upstream.send({ method: 'POST', path, headers, body }, handler);
    });
  }
}

function tokensIn(reply: Buffer): number | null {
  const json = parseJson(reply.toString());
  const tokens = isObject(json) && json.object === 'response.input_tokens' ? json.input_tokens : null;
  return typeof tokens === 'number' && Number.isSafeInteger(tokens) && tokens > 0 ? tokens : null;
}
