/**
 * The memory that request bodies take while they come, wait and are sent. Owns: who may have how much of it, and the end of
 * uploads that make no progress. Invariant: whatever a team sends, there is as much left for another as that team has.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { KeyId, TeamId } from '../domain/ids.ts';
import type { Exchange } from '../wire/exchange.ts';

/** Whose share is used up: the key's, its team's, or the gateway has no more for anyone. */
export type Shortage = 'key' | 'team' | 'gateway';

/** An upload under way, as far as its progress goes. */
export interface Upload {
  readonly receivedBytes: number;
  stalled(): void;
}

/** In each period of the time limit so many bytes must come: one byte now and then is no progress. */
const PROGRESS_BYTES = 16 * 1024;

interface Progress {
  bytes: number;
  sinceMs: number;
}

export interface BodiesOptions {
  /** Bytes of all bodies together. */
  totalBytes: number;
  /** An upload that makes no progress for so long ends. */
  stallMs: number;
}

export class Bodies {
  readonly #options: BodiesOptions;
  #freeBytes: number;
  readonly #teams = new Map<TeamId, number>();
  readonly #keys = new Map<KeyId, number>();
  readonly #uploads = new Map<Upload, Progress>();
  /** As many as were in use at once: they are what `totalBytes` allows. */
  readonly #freeSlabs: Uint8Array<SharedArrayBuffer>[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(options: BodiesOptions) {
    this.#options = options;
    this.#freeBytes = options.totalBytes;
  }

  get heldBytes(): number {
    return this.#options.totalBytes - this.#freeBytes;
  }

  /** The largest body that could pass now, of a key and a team that have none under way. */
  get largestBytes(): number {
    const bytes = Math.floor(this.#freeBytes / 2);
    return bytes < SLAB_BYTES ? bytes : bytes - (bytes % SLAB_BYTES);
  }

  /**
   * Takes memory for a body, or for more of it; null: it was taken. A team may have as much as is free (a switch shares its
   * buffer among ports so: Choudhury and Hahne, Dynamic Queue Length Thresholds, 1998), and a key half of that.
   */
  take(teamId: TeamId, keyId: KeyId, bytes: number): Shortage | null {
    const ofTeam = this.#teams.get(teamId) ?? 0;
    const ofKey = this.#keys.get(keyId) ?? 0;
    const free = this.#freeBytes;
    if (ofTeam + bytes > free) return ofTeam === 0 ? 'gateway' : 'team';
    if (ofKey + bytes > free / 2) return ofKey === 0 ? 'gateway' : 'key';
    this.#freeBytes -= bytes;
    this.#teams.set(teamId, ofTeam + bytes);
    this.#keys.set(keyId, ofKey + bytes);
    return null;
  }

  giveBack(teamId: TeamId, keyId: KeyId, bytes: number): void {
    this.#freeBytes += bytes;
    lower(this.#teams, teamId, bytes);
    lower(this.#keys, keyId, bytes);
  }

  /** Of memory that was taken. */
  takeSlab(): Uint8Array<SharedArrayBuffer> {
    return this.#freeSlabs.pop() ?? new Uint8Array(new SharedArrayBuffer(SLAB_BYTES));
  }

  giveSlabsBack(slabs: Uint8Array<SharedArrayBuffer>[]): void {
    this.#freeSlabs.push(...slabs);
  }

  /** Ends the upload when it stalls, until it is forgotten. */
  watch(upload: Upload): void {
    this.#uploads.set(upload, { bytes: upload.receivedBytes, sinceMs: performance.now() });
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#sweep(), Math.min(1000, this.#options.stallMs / 4));
    this.#timer.unref();
  }

  forget(upload: Upload): void {
    if (!this.#uploads.delete(upload) || this.#uploads.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const [upload, progress] of this.#uploads) {
      const { receivedBytes } = upload;
      if (receivedBytes - progress.bytes >= PROGRESS_BYTES) {
        progress.bytes = receivedBytes;
        progress.sinceMs = nowMs;
      } else if (nowMs - progress.sinceMs >= this.#options.stallMs) upload.stalled();
    }
  }
}

/** Larger bodies lie in slabs of this size. */
export const SLAB_BYTES = 1024 * 1024;

/**
 * The bytes of a large body as they come. The memory is used again for other bodies, and a thread can read it where it is. As
 * memory of its own each body would be garbage afterwards: V8 counts that, and a few bodies that are refused or never finish
 * have its collector stop the event loop again and again, each time for tens of milliseconds.
 */
export class Slabs {
  length = 0;
  readonly #bodies: Bodies;
  readonly #slabs: Uint8Array<SharedArrayBuffer>[] = [];

  constructor(bodies: Bodies) {
    this.#bodies = bodies;
  }

  /** Copies the piece. */
  add(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      const filled = this.length % SLAB_BYTES;
      if (filled === 0) this.#slabs.push(this.#bodies.takeSlab());
      const part = piece.subarray(at, at + SLAB_BYTES - filled);
      this.#slabs.at(-1)?.set(part, filled);
      this.length += part.length;
      at += part.length;
    }
  }

  /** The memory, for a thread that reads it before it is given back. */
  get memory(): SharedArrayBuffer[] {
    return this.#slabs.map(({ buffer }) => buffer);
  }

  /** Returns a copy in one piece, and gives the memory back. */
  take(): Buffer {
    const body = Buffer.concat(this.#slabs, this.length);
    this.free();
    return body;
  }

  /** Gives the memory back, which is not read any more. */
  free(): void {
    this.#bodies.giveSlabsBack(this.#slabs.splice(0));
    this.length = 0;
  }
}

const RETRY_AFTER_MS = 1000;

/** The error of a body for which there is no memory now; it says what would pass. */
export function noMemory(shortage: Shortage, bodies: Bodies): ApiError {
  const { largestBytes } = bodies;
  if (shortage === 'gateway') return busy(`bodies of at most ${largestBytes} bytes pass now`);
  return apiError(
    'rate_limit_exceeded',
    `The bodies of this ${shortage}'s calls that are on their way take all the memory that it may have: ` +
      'the next one passes when some of them have been sent.',
    { retryAfterMs: RETRY_AFTER_MS },
  );
}

/** Why a body of this length and type is not taken; null: it is. */
export function whyNotUpload(exchange: Exchange, maxBytes: number): ApiError | null {
  if (!/^multipart\/form-data\b/i.test(exchange.header('content-type') ?? '')) {
    return apiError('invalid_request', 'The body must be multipart/form-data, as the API documents it.', {
      param: 'file',
    });
  }
  return (exchange.contentLength ?? 0) > maxBytes ? tooLarge(maxBytes) : null;
}

/** The error of a body that is larger than what passes. */
export function tooLarge(maxBytes: number): ApiError {
  return apiError(
    'request_too_large',
    `The body is larger than ${maxBytes} bytes, the most that passes here.`,
  );
}

/** The error of what this gateway has no room for now. */
export function busy(why: string): ApiError {
  return apiError('gateway_busy', `This gateway has more to do than it can: ${why}.`, {
    retryAfterMs: RETRY_AFTER_MS,
  });
}

/**
 * How many calls that cost nothing a team may make, or a key: no budget bounds them, and each is work for the database. A
 * bucket of a minute's calls, which fills evenly.
 */
export class FreeCalls<Caller extends TeamId | KeyId> {
  readonly #perMinute: number;
  readonly #who: string;
  readonly #buckets = new Map<Caller, { calls: number; atMs: number }>();

  /** @param who whose calls are counted apart, for the error: `A team` */
  constructor(perMinute: number, who: string) {
    this.#perMinute = perMinute;
    this.#who = who;
  }

  /** Counts a call; returns why it may not be made. Time is on the monotonic clock. */
  take(caller: Caller, nowMs: number): ApiError | null {
    const bucket = this.#buckets.get(caller) ?? { calls: this.#perMinute, atMs: nowMs };
    this.#buckets.set(caller, bucket);
    const perMs = this.#perMinute / 60_000;
    bucket.calls = Math.min(this.#perMinute, bucket.calls + (nowMs - bucket.atMs) * perMs);
    bucket.atMs = nowMs;
    if (bucket.calls >= 1) {
      bucket.calls--;
      return null;
    }
    return apiError(
      'rate_limit_exceeded',
      `${this.#who} may make ${this.#perMinute} calls a minute that cost nothing (TOLLGATE_FREE_CALLS_PER_MINUTE).`,
      { retryAfterMs: Math.ceil((1 - bucket.calls) / perMs) },
    );
  }
}

function lower<Key>(amounts: Map<Key, number>, key: Key, by: number): void {
  const left = (amounts.get(key) ?? 0) - by;
  if (left > 0) amounts.set(key, left);
  else amounts.delete(key);
}
