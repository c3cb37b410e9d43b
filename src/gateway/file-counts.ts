/**
 * Files that are counted while they pass: what jobs will read of them is known before a job is asked for. Owns: the threads, how many
 * there are, whose turn it is, and that an upload is never faster than its count. Invariant: a count that fails, or finds no thread in
 * time, does not end the upload: jobs of its file hold more, or are refused.
 */
import { Worker } from 'node:worker_threads';
import type { RateCards, TrainingPrice } from '../domain/price.ts';
import { boundaryOf, MultipartReader } from '../openai/multipart.ts';
import type { EvalRunCount, EvalRunQuestion } from '../planner/eval-run.ts';
import type { FileCount } from '../planner/file-count.ts';
import type { BeginFile, RunProblem } from '../planner/file-thread.ts';

/** Each has two tokenisers, which take a hundred megabytes each. */
const THREADS_MAX = 2;
const THREAD_MB = 288;
/** A thread without a file is kept for the next one: to load its tokenisers takes a second of CPU. */
const IDLE_MS = 30_000;
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
export interface CountedUpload<Count = FileCount> {
  push(piece: Buffer): void;
  /** So much waits for its count that the upload is to wait. */
  readonly isBehind: boolean;
  /** Called when the upload may go on. */
  onCaughtUp: (() => void) | null;
  /** Returns the count after the last piece; null: the file has none. */
  end(): Promise<Count | null>;
  /** The upload failed. */
  stop(): void;
}

export class FileCounts {
  readonly #training: readonly TrainingPrice[];
  readonly #onError: (error: unknown) => void;
  readonly #threads = new Set<Worker>();
  /** Those without a file, with what ends them. */
  readonly #idle = new Map<Worker, NodeJS.Timeout>();
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

  /** Begins with a run of an eval, whose items stand in it or come as a file. Without a count, no thread was free in time. */
  beginRun(run: EvalRunQuestion, rates: RateCards, nowMs: number): CountedUpload<EvalRunCount | RunProblem> {
    const upload = new Upload<EvalRunCount | RunProblem>(null, this.#asking(rates, nowMs, run));
    upload.start();
    return upload;
  }

  #begin(boundary: string | null, rates: RateCards, nowMs: number): CountedUpload {
    return new Upload(boundary, this.#asking(rates, nowMs, null));
  }

  #asking(rates: RateCards, nowMs: number, run: EvalRunQuestion | null): AskForThread {
    return (onThread) => {
      const turn = () => {
        const thread = this.#take();
        const begin: BeginFile = { ...rates.rows(), training: this.#training, nowMs, run };
        thread.postMessage(begin);
        onThread(thread, () => this.#giveBack(thread));
      };
      if (this.#idle.size > 0 || this.#threads.size < THREADS_MAX) turn();
      else this.#waiting.add(turn);
      return () => this.#waiting.delete(turn);
    };
  }

  #take(): Worker {
    for (const [thread, ending] of this.#idle) {
      clearTimeout(ending);
      this.#idle.delete(thread);
      thread.ref();
      return thread;
    }
    const thread = new Worker(new URL('../planner/file-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MB, maxYoungGenerationSizeMb: 16 },
    });
    this.#threads.add(thread);
    thread.on('error', this.#onError);
    thread.once('exit', () => {
      clearTimeout(this.#idle.get(thread));
      this.#idle.delete(thread);
      this.#threads.delete(thread);
      this.#next();
    });
    return thread;
  }

  #giveBack(thread: Worker): void {
    if (!this.#threads.has(thread)) return;
    thread.unref();
    const end = () => {
      this.#idle.delete(thread);
      void thread.terminate();
    };
    this.#idle.set(thread, setTimeout(end, IDLE_MS).unref());
    this.#next();
  }

  /** The file that waits longest gets a thread. */
  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    next();
  }

  async close(): Promise<void> {
    this.#waiting.clear();
    await Promise.all([...this.#threads].map((thread) => thread.terminate()));
  }
}

/**
 * Asks for a thread, which may come at once, later or never; it is given back after its count, and ended where there is none.
 * Returns how to ask no more.
 */
type AskForThread = (onThread: (thread: Worker, giveBack: () => void) => void) => () => void;

class Upload<Count = FileCount> implements CountedUpload<Count> {
  onCaughtUp: (() => void) | null = null;
  /** Null: there is no form around it. */
  readonly #form: MultipartReader | null;
  readonly #ask: AskForThread;
  #thread: Worker | null = null;
  /** After its count the thread is another's. */
  #giveBack: (() => void) | null = null;
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
  #counted: ((count: Count | null) => void) | null = null;

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
    this.start();
  }

  /** Counts whatever comes. */
  start(): void {
    this.#hasBegun = true;
    let isHere = false;
    const leave = this.#ask((thread, giveBack) => {
      isHere = true;
      this.#leave = null;
      this.#begins(thread, giveBack);
    });
    if (isHere) return;
    this.#leave = leave;
    this.#patience = setTimeout(() => this.#end(null), TURN_MS_MAX).unref();
  }

  get #isCounted(): boolean {
    return this.#thread !== null || this.#leave !== null;
  }

  #begins(thread: Worker, giveBack: () => void): void {
    this.#thread = thread;
    this.#giveBack = giveBack;
    if (this.#patience !== null) clearTimeout(this.#patience);
    thread.on('message', this.#onMessage);
    thread.on('exit', this.#onExit);
    for (const piece of this.#unsent) this.#send(piece);
    this.#unsent = [];
  }

  readonly #onExit = () => this.#end(null);

  readonly #onMessage = (message: { taken: number } | { count: Count | null }) => {
    if ('count' in message) {
      this.#leaveThread();
      this.#end(message.count);
      return;
    }
    const was = this.isBehind;
    this.#behindBytes -= message.taken;
    if (was && !this.isBehind) this.onCaughtUp?.();
  };

  #leaveThread(): void {
    this.#thread?.off('message', this.#onMessage);
    this.#thread?.off('exit', this.#onExit);
    this.#thread = null;
    this.#giveBack?.();
    this.#giveBack = null;
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

  end(): Promise<Count | null> {
    if (!this.#isCounted || this.#isOver) return Promise.resolve(null);
    if (this.#purpose !== '' && !COUNTED.has(this.#purpose)) {
      this.stop();
      return Promise.resolve(null);
    }
    const ended = new Promise<Count | null>((resolve) => {
      this.#counted = resolve;
    });
    this.#send(null);
    return ended;
  }

  stop(): void {
    this.#end(null);
  }

  #end(count: Count | null): void {
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
