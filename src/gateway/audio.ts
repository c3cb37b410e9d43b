/**
 * How long audio is. Owns: the thread that reads files of it, and how long one is held to be. Does not own: what a second costs.
 * Invariants: a file is nowhere twice, it moves to the thread and back; one that keeps the thread too long, or takes too much
 * memory, ends the thread and is held by its bytes.
 */
import { Worker } from 'node:worker_threads';
import type { AudioLength } from '../openai/body.ts';

/** A body for the thread, and where in it the file stands. */
export interface AudioJob {
  body: ArrayBuffer;
  start: number;
  end: number;
}

/** What the thread sends back, with the body. */
export interface AudioReply {
  body: ArrayBuffer;
  seconds: number | null;
  /** Of a format without loss: what a second takes at most; else 0. */
  rawBytesPerSecond: number;
  container: string;
}

/** Where a file stands in a body that moves to the thread. */
interface Waiting {
  job: AudioJob;
  resolve(reply: Omit<AudioReply, 'body'> & { body: ArrayBuffer | null }): void;
}

const HEAP_MB = 128;
/** A file of 25 MB takes a tenth of it. */
const READ_MS_MAX = 5_000;
/** Speech is hardly stored in fewer: 6 kbit/s is the least that Opus is made for (RFC 6716, section 2.1.1). */
const BYTES_PER_SECOND_LEAST = 750;
/** A codec with loss takes no more: 512 kbit/s. */
const BYTES_PER_SECOND_MOST = 64_000;
const UNREAD = { seconds: null, rawBytesPerSecond: 0, container: '' };

export class AudioThread {
  #thread: Worker | null = null;
  readonly #queue: Waiting[] = [];
  #isBusy = false;
  #isClosed = false;

  /**
   * Returns how long a file within a body is, and the body, which came back from the thread; null: it is lost, because its
   * thread ended.
   */
  async measure(body: Buffer, file: Buffer): Promise<{ audio: AudioLength; body: Buffer | null }> {
    // Once it has moved, nothing of it is here.
    const { length } = body;
    const own = ownBuffer(body);
    const start = file.byteOffset - body.byteOffset;
    const fileLength = file.length;
    const job = { body: own, start, end: start + fileLength };
    const reply = await new Promise<Parameters<Waiting['resolve']>[0]>((resolve) => {
      this.#queue.push({ job, resolve });
      this.#next();
    });
    const audio = audioLength(reply, fileLength);
    return { audio, body: reply.body === null ? null : Buffer.from(reply.body, 0, length) };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#thread?.terminate();
  }

  #next(): void {
    if (this.#isBusy) return;
    const waiting = this.#queue.shift();
    if (waiting === undefined) return;
    if (this.#isClosed) {
      waiting.resolve({ ...UNREAD, body: null });
      this.#next();
      return;
    }
    this.#run(this.#thread ?? this.#start(), waiting);
  }

  #start(): Worker {
    const thread = new Worker(new URL('./audio-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 16 },
    });
    this.#thread = thread;
    return thread;
  }

  #run(thread: Worker, { job, resolve }: Waiting): void {
    this.#isBusy = true;
    const over = (reply: Parameters<Waiting['resolve']>[0]) => {
      clearTimeout(patience);
      thread.off('message', over);
      thread.off('error', lost);
      thread.off('exit', lost);
      thread.unref();
      this.#isBusy = false;
      resolve(reply);
      this.#next();
    };
    const lost = () => {
      this.#thread = null;
      void thread.terminate();
      over({ ...UNREAD, body: null });
    };
    const patience = setTimeout(lost, READ_MS_MAX);
    thread.on('message', over);
    thread.on('error', lost);
    thread.on('exit', lost);
    thread.ref();
    thread.postMessage(job, [job.body]);
  }
}

/**
 * Returns how long a file is held to be. A file that says that it is shorter than its bytes could be is not believed, nor is one
 * that says nothing: then its bytes count as the thinnest sound.
 */
export function audioLength(
  { seconds, rawBytesPerSecond }: Pick<AudioReply, 'seconds' | 'rawBytesPerSecond'>,
  bytes: number,
): AudioLength {
  const thinnest = Math.ceil(bytes / BYTES_PER_SECOND_LEAST) + 1;
  const most = Math.max(rawBytesPerSecond, BYTES_PER_SECOND_MOST);
  // Pictures and tags stand beside the sound.
  const isLikely = seconds !== null && bytes <= seconds * most * 1.1 + TAG_BYTES;
  if (seconds === null || !isLikely) return { seconds: null, secondsMost: thinnest };
  return { seconds, secondsMost: Math.ceil(seconds) + 1 };
}

const TAG_BYTES = 256 * 1024;

/** Returns the memory of a body, from its first byte on; a small one is copied. */
function ownBuffer(body: Buffer): ArrayBuffer {
  const { buffer } = body;
  const isWhole = buffer instanceof ArrayBuffer && body.byteOffset === 0 && body.length > Buffer.poolSize;
  if (isWhole && buffer.byteLength < 2 * body.length) return buffer;
  const copy = new ArrayBuffer(body.length);
  new Uint8Array(copy).set(body);
  return copy;
}
