/**
 * Files that are counted while they pass: what jobs will read of them is known before a job is asked for. Owns: the threads, how many
 * there are, and that an upload is never faster than its count. Invariant: a count that fails, or finds no thread, costs
 * nothing but a larger hold: the upload goes on.
 */
import { Worker } from 'node:worker_threads';
import type { RateCards } from '../domain/price.ts';
import { boundaryOf, MultipartReader } from '../openai/multipart.ts';
import type { TrainingPrice } from '../planner/book.ts';
import type { FileCount } from '../planner/file-count.ts';
import type { FileMessage } from '../planner/file-thread.ts';

/** Each has two tokenisers, which take a hundred megabytes each. */
const THREADS_MAX = 2;
const THREAD_MB = 288;
/** What may wait for a thread before its upload waits too. */
const BEHIND_BYTES_MAX = 2 * 1024 * 1024;
/** How lines of JSON begin. */
const OPENING_BRACE = 0x7b;
const BYTE_ORDER_MARK = 0xef;
/** Purposes whose files jobs read. */
const COUNTED = new Set(['fine-tune', 'batch']);

/** One file on its way. */
export interface CountedUpload {
  push(piece: Buffer): void;
  /** So much waits for its count that the upload is to wait. */
  readonly isBehind: boolean;
  /** Called when the upload may go on. */
  onCaughtUp: (() => void) | null;
  /** Returns the count after the last piece; null: the file has none. */
  end(): Promise<FileCount | null>;
  /** The upload failed. */
  stop(): void;
}

export class FileCounts {
  readonly #training: readonly TrainingPrice[];
  readonly #onError: (error: unknown) => void;
  readonly #threads = new Set<Worker>();

  /** @param training what training costs, as published: it says which models a file may train */
  constructor(training: readonly TrainingPrice[], onError: (error: unknown) => void) {
    this.#training = training;
    this.#onError = onError;
  }

  /** Begins with the body of an upload, at the prices of its upstream now; null: it is not counted. */
  begin(contentType: string, rates: RateCards, nowMs: number): CountedUpload | null {
    const boundary = boundaryOf(contentType);
    return boundary === null ? null : new Upload(boundary, () => this.#start(rates, nowMs));
  }

  #start(rates: RateCards, nowMs: number): Worker | null {
    if (this.#threads.size >= THREADS_MAX) return null;
    const thread = new Worker(new URL('../planner/file-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MB, maxYoungGenerationSizeMb: 16 },
    });
    this.#threads.add(thread);
    thread.on('error', this.#onError);
    thread.once('exit', () => this.#threads.delete(thread));
    const begin: FileMessage = { ...rates.rows(), training: this.#training, nowMs };
    thread.postMessage(begin);
    return thread;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }
}

class Upload implements CountedUpload {
  onCaughtUp: (() => void) | null = null;
  readonly #reader: MultipartReader;
  readonly #start: () => Worker | null;
  #thread: Worker | null = null;
  #part: 'file' | 'purpose' | 'other' = 'other';
  #purpose = '';
  #hasBegun = false;
  #behindBytes = 0;
  #isOver = false;
  #counted: ((count: FileCount | null) => void) | null = null;

  constructor(boundary: string, start: () => Worker | null) {
    this.#start = start;
    this.#reader = new MultipartReader(boundary, {
      onPart: ({ name }) => {
        this.#part = name === 'file' || name === 'purpose' ? name : 'other';
      },
      onData: (piece) => this.#take(piece),
    });
  }

  get isBehind(): boolean {
    return this.#behindBytes > BEHIND_BYTES_MAX;
  }

  push(piece: Buffer): void {
    // Of a file that is not counted nothing is read: its copies would be tens of megabytes before they are collected.
    if (this.#hasBegun && this.#thread === null) return;
    this.#reader.push(piece);
  }

  /** The purpose may come behind the file: then its first byte says whether there is anything to count. */
  #begin(piece: Buffer): void {
    this.#hasBegun = true;
    const first = piece[0] === BYTE_ORDER_MARK ? piece[3] : piece[0];
    if (first !== OPENING_BRACE || (this.#purpose !== '' && !COUNTED.has(this.#purpose))) return;
    const thread = this.#start();
    this.#thread = thread;
    thread?.on('message', (message: { taken: number } | { count: FileCount | null }) => {
      if ('count' in message) this.#end(message.count);
      else {
        const was = this.isBehind;
        this.#behindBytes -= message.taken;
        if (was && !this.isBehind) this.onCaughtUp?.();
      }
    });
    thread?.once('exit', () => this.#end(null));
  }

  #take(piece: Buffer): void {
    if (this.#part === 'purpose') this.#purpose += piece.toString('latin1').slice(0, 64);
    if (this.#part !== 'file') return;
    if (!this.#hasBegun) this.#begin(piece);
    if (this.#thread === null) return;
    const { buffer } = new Uint8Array(piece);
    this.#behindBytes += piece.length;
    this.#thread.postMessage({ piece: buffer }, [buffer]);
  }

  end(): Promise<FileCount | null> {
    if (this.#thread === null || this.#isOver) return Promise.resolve(null);
    if (this.#purpose !== '' && !COUNTED.has(this.#purpose)) {
      this.stop();
      return Promise.resolve(null);
    }
    const ended = new Promise<FileCount | null>((resolve) => {
      this.#counted = resolve;
    });
    this.#thread.postMessage({ piece: null });
    return ended;
  }

  stop(): void {
    this.#end(null);
  }

  #end(count: FileCount | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#behindBytes = 0;
    void this.#thread?.terminate();
    this.#thread = null;
    this.#counted?.(count);
    this.onCaughtUp?.();
  }
}
