/**
 * Files that are counted while they pass: what jobs will read of them is known before a job is asked for. Owns: the threads, how many
 * there are, whose turn it is, and that an upload is never faster than its count. Invariant: a count that fails, or finds no thread in
 * time, does not end the upload: jobs of its file hold more, or are refused.
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
/** A file waits for a thread so long; then it has no count. */
const TURN_MS_MAX = 60_000;
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
  /** Uploads without a thread, the oldest first. */
  readonly #waiting = new Set<() => void>();

  /** @param training what training costs, as published: it says which models a file may train */
  constructor(training: readonly TrainingPrice[], onError: (error: unknown) => void) {
    this.#training = training;
    this.#onError = onError;
  }

  /** Begins with the body of an upload, at the prices of its upstream now; null: it is not counted. */
  begin(contentType: string, rates: RateCards, nowMs: number): CountedUpload | null {
    const boundary = boundaryOf(contentType);
    return boundary === null ? null : this.#begin(boundary, rates, nowMs);
  }

  /** Begins with a file that comes as it is, without a form around it. */
  beginFile(rates: RateCards, nowMs: number): CountedUpload {
    return this.#begin(null, rates, nowMs);
  }

  #begin(boundary: string | null, rates: RateCards, nowMs: number): CountedUpload {
    return new Upload(boundary, (onThread) => {
      const turn = () => onThread(this.#start(rates, nowMs));
      if (this.#threads.size < THREADS_MAX) turn();
      else this.#waiting.add(turn);
      return () => this.#waiting.delete(turn);
    });
  }

  #start(rates: RateCards, nowMs: number): Worker {
    const thread = new Worker(new URL('../planner/file-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MB, maxYoungGenerationSizeMb: 16 },
    });
    this.#threads.add(thread);
    thread.on('error', this.#onError);
    thread.once('exit', () => {
      this.#threads.delete(thread);
      const [next] = this.#waiting;
      if (next === undefined) return;
      this.#waiting.delete(next);
      next();
    });
    const begin: FileMessage = { ...rates.rows(), training: this.#training, nowMs };
    thread.postMessage(begin);
    return thread;
  }

  async close(): Promise<void> {
    this.#waiting.clear();
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }
}

/** Asks for a thread, which may come at once, later or never. Returns how to ask no more. */
type AskForThread = (onThread: (thread: Worker) => void) => () => void;

class Upload implements CountedUpload {
  onCaughtUp: (() => void) | null = null;
  /** Null: there is no form around it. */
  readonly #form: MultipartReader | null;
  readonly #ask: AskForThread;
  #thread: Worker | null = null;
  /** Its file is counted, once there is a thread; null: it is not, or there is one. */
  #leave: (() => void) | null = null;
  #patience: NodeJS.Timeout | null = null;
  /** For the thread, until there is one; a null is the end. */
  #unsent: (ArrayBuffer | null)[] = [];
  #part: 'file' | 'purpose' | 'other' = 'file';
  #purpose = '';
  #hasBegun = false;
  #behindBytes = 0;
  #isOver = false;
  #counted: ((count: FileCount | null) => void) | null = null;

  constructor(boundary: string | null, ask: AskForThread) {
    this.#ask = ask;
    this.#form = boundary === null ? null : this.#formWith(boundary);
  }

  #formWith(boundary: string): MultipartReader {
    this.#part = 'other';
    return new MultipartReader(boundary, {
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
    if (this.#hasBegun && !this.#isCounted) return;
    if (this.#form === null) this.#take(piece);
    else this.#form.push(piece);
  }

  /** The purpose may come behind the file: then its first byte says whether there is anything to count. */
  #begin(piece: Buffer): void {
    this.#hasBegun = true;
    const first = piece[0] === BYTE_ORDER_MARK ? piece[3] : piece[0];
    if (first !== OPENING_BRACE || (this.#purpose !== '' && !COUNTED.has(this.#purpose))) return;
    let isHere = false;
    const leave = this.#ask((thread) => {
      isHere = true;
      this.#leave = null;
      this.#begins(thread);
    });
    if (isHere) return;
    this.#leave = leave;
    this.#patience = setTimeout(() => this.#end(null), TURN_MS_MAX).unref();
  }

  get #isCounted(): boolean {
    return this.#thread !== null || this.#leave !== null;
  }

  #begins(thread: Worker): void {
    this.#thread = thread;
    if (this.#patience !== null) clearTimeout(this.#patience);
    thread.on('message', (message: { taken: number } | { count: FileCount | null }) => {
      if ('count' in message) this.#end(message.count);
      else {
        const was = this.isBehind;
        this.#behindBytes -= message.taken;
        if (was && !this.isBehind) this.onCaughtUp?.();
      }
    });
    thread.once('exit', () => this.#end(null));
    for (const piece of this.#unsent) this.#send(piece);
    this.#unsent = [];
  }

  #send(piece: ArrayBuffer | null): void {
    if (this.#thread === null) this.#unsent.push(piece);
    else this.#thread.postMessage({ piece }, piece === null ? [] : [piece]);
  }

  #take(piece: Buffer): void {
    if (this.#part === 'purpose') this.#purpose += piece.toString('latin1').slice(0, 64);
    if (this.#part !== 'file') return;
    if (!this.#hasBegun) this.#begin(piece);
    if (!this.#isCounted) return;
    const { buffer } = new Uint8Array(piece);
    this.#behindBytes += piece.length;
    this.#send(buffer);
  }

  end(): Promise<FileCount | null> {
    if (!this.#isCounted || this.#isOver) return Promise.resolve(null);
    if (this.#purpose !== '' && !COUNTED.has(this.#purpose)) {
      this.stop();
      return Promise.resolve(null);
    }
    const ended = new Promise<FileCount | null>((resolve) => {
      this.#counted = resolve;
    });
    this.#send(null);
    return ended;
  }

  stop(): void {
    this.#end(null);
  }

  #end(count: FileCount | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#behindBytes = 0;
    if (this.#patience !== null) clearTimeout(this.#patience);
    this.#leave?.();
    this.#leave = null;
    this.#unsent = [];
    void this.#thread?.terminate();
    this.#thread = null;
    this.#counted?.(count);
    this.onCaughtUp?.();
  }
}
