/** Delivery: writes a response to the socket, at the pace and with the damage of its fault. */
import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import { constants, createGzip, gzipSync } from 'node:zlib';

export interface Delivery {
  status: number;
  headers: Record<string, string | number | string[]>;
  /** A whole body, the bytes of a file, or the events of a stream. */
  body: string | string[] | Buffer;
  firstByteMs: number;
  chunkMs: number;
  /** Missing: the events come at their own pace. */
  taken?: Taken;
  /** Before the last event. */
  lastEventMs: number;
  /** Cut the connection in the middle of the body. */
  cut: boolean;
  gzip: boolean;
}

/** An event of a stream that has text. */
const WITH_TEXT = /"(?:content|text|delta)":"[^"]/;

/** How many events with text a client says that it has: the next one is written when it has those before. */
export class Taken {
  #events = 0;
  #waiting: (() => void) | null = null;

  /** The client has so many. */
  has(events: number): void {
    this.#events = events;
    const go = this.#waiting;
    this.#waiting = null;
    go?.();
  }

  /** Returns whether the client has all of so many; else calls back when it has more. */
  hasAll(events: number, go: () => void): boolean {
    if (this.#events >= events) return true;
    this.#waiting = go;
    return false;
  }
}

/**
 * Writes the response; calls `completed` once every byte was handed to the network, and only then, and `left` with the
 * number of events that were written when its client has left a stream before.
 */
export function deliver(
  response: ServerResponse,
  delivery: Delivery,
  completed: () => void,
  left: (eventsWritten: number) => void = () => {},
): void {
  const start = (): void => {
    if (response.destroyed) return;
    if (!Array.isArray(delivery.body)) sendBody(response, delivery, delivery.body, completed);
    else sendEvents(response, delivery, delivery.body, completed, left);
  };
  if (delivery.firstByteMs > 0) setTimeout(start, delivery.firstByteMs).unref();
  else start();
}

/** Ends the connection without a word. */
export function cutConnection(response: ServerResponse): void {
  response.socket?.destroy();
}

function sendBody(
  response: ServerResponse,
  delivery: Delivery,
  text: string | Buffer,
  completed: () => void,
): void {
  const { status, headers, cut, gzip } = delivery;
  // A text goes out in one write with the headers; a buffer would need two.
  const body = gzip ? gzipSync(text) : text;
  headers['content-length'] = Buffer.byteLength(body);
  if (gzip) headers['content-encoding'] = 'gzip';
  response.writeHead(status, headers);
  if (cut) response.write(text.slice(0, text.length >> 1), () => cutConnection(response));
  else response.end(body, completed);
}

function sendEvents(
  response: ServerResponse,
  delivery: Delivery,
  events: string[],
  completed: () => void,
  left: (eventsWritten: number) => void,
): void {
  const { status, headers, cut, gzip, chunkMs, lastEventMs, taken } = delivery;
  if (gzip) headers['content-encoding'] = 'gzip';
  response.writeHead(status, headers);
  const target: Writable = gzip ? createGzip({ flush: constants.Z_SYNC_FLUSH }) : response;
  if (gzip) target.pipe(response.once('finish', completed));
  // A cut comes after the first half of the events, in the middle of one.
  const last = cut ? events.length >> 1 : events.length;
  let next = 0;
  let texts = 0;
  let hasWaited = lastEventMs === 0;
  response.once('close', () => {
    if (next < last) left(next);
  });
  const step = (): void => {
    while (next < last) {
      if (response.destroyed) return;
      if (next === last - 1 && !hasWaited) {
        hasWaited = true;
        setTimeout(step, lastEventMs).unref();
        return;
      }
      const event = events[next] ?? '';
      if (taken !== undefined && WITH_TEXT.test(event)) {
        if (!taken.hasAll(texts, step)) return;
        texts++;
      }
      next++;
      const flowing = target.write(event);
      if (chunkMs > 0) {
        setTimeout(step, chunkMs).unref();
        return;
      }
      if (!flowing) {
        target.once('drain', step);
        return;
      }
    }
    if (cut) target.write((events[last] ?? '').slice(0, -10), () => cutConnection(response));
    else if (gzip) target.end();
    else target.end(completed);
  };
  step();
}
