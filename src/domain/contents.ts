/**
 * What calls say, of teams that keep it: queued here and stored in the background. Owns: which calls are kept, and how much waits at
 * most. Does not own: sealing and storing (jobs/keep-contents.ts). Invariant: no call waits for any of it; what does not fit is
 * dropped and counted.
 */
import type { EventId, TeamId } from './ids.ts';

/** Of these the exports make examples. */
const KEPT_OPERATIONS = new Set(['chat.completions', 'responses']);
/** Of one call, request and response together. */
const CONTENT_BYTES_MAX = 1024 * 1024;
const QUEUED_BYTES_MAX = 32 * 1024 * 1024;

/** `stored`; the others are why it was not. */
export const CONTENT_ENDS = ['stored', 'too_large', 'queue_full', 'failed'] as const;
export type ContentEnd = (typeof CONTENT_ENDS)[number];

export interface CallContent {
  teamId: TeamId;
  eventId: EventId;
  /** When it was admitted. */
  atMs: number;
  /** As it was sent to the upstream. */
  request: readonly Buffer[];
  /** As it came from there: JSON, or a stream of events. */
  response: readonly Buffer[];
  bytes: number;
}

export class ContentQueue {
  readonly #onEnd: (end: ContentEnd) => void;
  #queued: CallContent[] = [];
  #bytes = 0;

  /** @param onEnd counts what became of a content */
  constructor(onEnd: (end: ContentEnd) => void) {
    this.#onEnd = onEnd;
  }

  get length(): number {
    return this.#queued.length;
  }

  add(content: CallContent): void {
    if (content.bytes > CONTENT_BYTES_MAX) this.#onEnd('too_large');
    else if (this.#bytes + content.bytes > QUEUED_BYTES_MAX) this.#onEnd('queue_full');
    else {
      this.#queued.push(content);
      this.#bytes += content.bytes;
    }
  }

  /** Takes out what waits, the oldest first; returns at most so many. */
  take(most = 50): CallContent[] {
    const taken = this.#queued.splice(0, most);
    for (const { bytes } of taken) this.#bytes -= bytes;
    return taken;
  }
}

/** Reads along with one call. */
export class ContentReader {
  #request: Buffer[] = [];
  #response: Buffer[] = [];
  #bytes = 0;

  /** Returns one for a call of this operation; null: what such calls say is not kept. */
  static of(operation: string): ContentReader | null {
    return KEPT_OPERATIONS.has(operation) ? new ContentReader() : null;
  }

  sends(body: unknown): void {
    if (Buffer.isBuffer(body)) this.#request.push(body);
    else if (Array.isArray(body)) this.#request.push(...body.filter(Buffer.isBuffer));
    for (const part of this.#request) this.#bytes += part.length;
  }

  /** Beyond what is kept of a call only its size is counted. */
  responds(piece: Buffer): void {
    this.#bytes += piece.length;
    if (this.#bytes <= CONTENT_BYTES_MAX) this.#response.push(piece);
  }

  /** Returns what was read, with whose call it was. */
  end(call: Pick<CallContent, 'teamId' | 'eventId' | 'atMs'>): CallContent {
    return { ...call, request: this.#request, response: this.#response, bytes: this.#bytes };
  }
}
