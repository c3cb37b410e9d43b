/**
 * Threads that read large bodies, so that no body holds the event loop. Owns: the threads and the queue in front of them.
 * Does not own: what a body says (openai/request.ts, which runs there). Invariants: a body moves to a
 * thread, or is read by it where it lies, and comes back; teams take turns, so that the bodies of one wait behind its own.
 */
import { Worker } from 'node:worker_threads';
import { ApiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import type { Route } from '../openai/operations/paths.ts';
import type { ParsedRequest } from '../openai/request.ts';
import { type JsonScan, type RequestBounds, type Scanned, tooLargeForThread } from '../openai/scan.ts';
import { decode } from '../openai/wire/decode.ts';
import { Slabs } from './bodies.ts';

/** A body for a thread. */
export interface ParseJob {
  /** Name of the operation, and the rest of its route: a descriptor has functions, which cannot be sent. */
  operation: string;
  route: Omit<Route, 'descriptor'>;
  /** Its own, or slabs that others use again afterwards. */
  body: ArrayBuffer | SharedArrayBuffer[];
  length: number;
  bounds: RequestBounds;
  scanned: Scanned;
  /** Which calls' inputs are read for what others may share. */
  parts: 'all' | 'none';
}

/** What a thread sends back. */
export type ParseReply =
  | {
      kind: 'request';
      request: Omit<ParsedRequest, 'descriptor' | 'body'>;
      body: ArrayBuffer;
      length: number;
    }
  | { kind: 'error'; error: ApiError };

type Outcome = ParsedRequest | ApiError | 'busy';

interface Waiting {
  job: ParseJob;
  route: Route;
  resolve(outcome: Outcome): void;
  reject(error: unknown): void;
}

export interface ParseThreadsOptions {
  threads: number;
  /** Bodies that may wait; more are refused. */
  queueMax: number;
  /** Megabytes of heap that a thread may have. */
  heapMb: number;
}

const DECODED_AT_ONCE = 4;

export class ParseThreads {
  readonly #options: ParseThreadsOptions;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  readonly #queues = new Map<TeamId, Waiting[]>();
  #waiting = 0;
  #isClosed = false;
  #decoding = 0;
  readonly #toDecode: (() => void)[] = [];

  constructor(options: ParseThreadsOptions) {
    this.#options = options;
  }

  /**
   * Reads a body whose bytes were scanned; a buffer is of no use to the caller afterwards. Returns 'busy' when too many wait.
   * Rejects on a bug of ours.
   */
  read(
    teamId: TeamId,
    route: Route,
    body: Buffer | Slabs,
    bounds: RequestBounds,
    scan: JsonScan,
    parts: ParseJob['parts'] = 'none',
  ): Promise<Outcome> {
    if (this.#waiting >= this.#options.queueMax || this.#isClosed) return Promise.resolve('busy');
    const { values, names, exceeded, ambiguous, unusual } = scan;
    const job: ParseJob = {
      operation: route.descriptor.name,
      route: { path: route.path, model: route.model, objects: route.objects },
      body: body instanceof Slabs ? body.memory : ownBuffer(body),
      length: body.length,
      bounds,
      scanned: { values, names, exceeded, ambiguous, unusual },
      parts,
    };
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(teamId);
      const waiting = { job, route, resolve, reject };
      if (queue) queue.push(waiting);
      else this.#queues.set(teamId, [waiting]);
      this.#waiting++;
      this.#next();
    });
  }

  /**
   * Decodes a compressed body, a few at a time: how much memory it takes is known only when it is done. The work itself is
   * done outside of the event loop.
   */
  async decode(encoding: string, body: Buffer, maxBytes: number): ReturnType<typeof decode> {
    while (this.#decoding >= DECODED_AT_ONCE)
      await new Promise<void>((resolve) => this.#toDecode.push(resolve));
    this.#decoding++;
    try {
      return await decode(encoding, body, maxBytes);
    } finally {
      this.#decoding--;
      this.#toDecode.shift()?.();
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#all].map((thread) => thread.terminate()));
  }

  #next(): void {
    while (this.#waiting > 0) {
      const thread = this.#idle.pop() ?? this.#start();
      if (thread === null) return;
      const waiting = this.#take();
      if (waiting === undefined) return;
      this.#run(thread, waiting);
    }
  }

  /** The team that was served longest ago comes first. */
  #take(): Waiting | undefined {
    const [first] = this.#queues;
    if (first === undefined) return undefined;
    const [teamId, queue] = first;
    const waiting = queue.shift();
    this.#queues.delete(teamId);
    if (queue.length > 0) this.#queues.set(teamId, queue);
    this.#waiting--;
    return waiting;
  }

  #start(): Worker | null {
    if (this.#all.size >= this.#options.threads) return null;
    const thread = new Worker(new URL('./parse-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: this.#options.heapMb, maxYoungGenerationSizeMb: 16 },
    });
    this.#all.add(thread);
    thread.on('exit', () => this.#all.delete(thread));
    return thread;
  }

  #run(thread: Worker, { job, route, resolve, reject }: Waiting): void {
    const over = () => {
      thread.off('message', onReply);
      thread.off('error', onError);
      thread.unref();
    };
    const onReply = (reply: ParseReply) => {
      over();
      this.#idle.push(thread);
      resolve(outcomeOf(reply, route));
      this.#next();
    };
    // The thread has ended; another takes its place.
    const onError = (error: Error & { code?: string }) => {
      over();
      this.#all.delete(thread);
      if (error.code === 'ERR_WORKER_OUT_OF_MEMORY') resolve(tooLargeForThread());
      else reject(error);
      this.#next();
    };
    thread.on('message', onReply);
    thread.on('error', onError);
    thread.ref();
    thread.postMessage(job, job.body instanceof ArrayBuffer ? [job.body] : []);
  }
}

function outcomeOf(reply: ParseReply, { descriptor }: Route): ParsedRequest | ApiError {
  if (reply.kind === 'request') {
    return { ...reply.request, descriptor, body: Buffer.from(reply.body, 0, reply.length) };
  }
  // Its class did not survive the way.
  const { code, message, ...detail } = reply.error;
  return new ApiError(code, message, detail);
}

/** Returns the memory of a buffer, with its bytes at the start and nothing else in it. */
function ownBuffer(body: Buffer): ArrayBuffer {
  const { buffer } = body;
  if (
    buffer instanceof ArrayBuffer &&
    body.byteOffset === 0 &&
    buffer.byteLength - body.length < 2 * body.length
  )
    return isPooled(body) ? copyOf(body) : buffer;
  return copyOf(body);
}

/** Node cuts small buffers from a common one. */
function isPooled({ length }: Buffer): boolean {
  return length < Buffer.poolSize;
}

function copyOf(body: Buffer): ArrayBuffer {
  const copy = new ArrayBuffer(body.length);
  new Uint8Array(copy).set(body);
  return copy;
}
