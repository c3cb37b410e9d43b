/** One call to the upstream: what is to be sent, and the handler that learns what came of it. */
import { headerLine, isTarget } from './head.ts';
import type { UpstreamCall, UpstreamFailure, UpstreamHandler, UpstreamRequest } from './upstream.ts';

/** The connection that carries a call. */
export interface Carrier {
  abort(): void;
  pause(): void;
  resume(): void;
}

/** Where a call waits for a connection. */
export interface Queue {
  /** A call that waited was aborted. */
  left(): void;
}

export class ClientCall implements UpstreamCall {
  readonly handler: UpstreamHandler;
  head = '';
  body: Buffer | null = null;
  /** What is sent is known to every server: another request may follow on the connection. */
  reusable = true;
  /** Set just before the first byte is written. */
  carrier: Carrier | null = null;
  ended = false;
  readonly #queue: Queue;

  constructor(queue: Queue, handler: UpstreamHandler) {
    this.#queue = queue;
    this.handler = handler;
  }

  /** Writes down the request. Throws a TypeError when it cannot be sent. */
  compose({ method, path, headers, body }: UpstreamRequest, host: string, prefix: string): void {
    if (!isTarget(path)) throw new TypeError('not a path');
    const mayHaveBody = method === 'POST' || method === 'PUT' || method === 'PATCH';
    let head = `${method} ${prefix}${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
    for (let index = 0; index + 1 < headers.length; index += 2) {
      const name = headers[index] ?? '';
      if (isOfWire(name)) throw new TypeError(`the header ${name} is not the caller's to set`);
      head += headerLine(name, headers[index + 1] ?? '');
    }
    if (body !== null || mayHaveBody) head += `content-length: ${body === null ? 0 : body.length}\r\n`;
    this.head = `${head}\r\n`;
    this.body = body === null || body.length === 0 ? null : body;
    this.reusable = mayHaveBody || this.body === null;
  }

  /** Its bytes were written, or will not be. */
  forgetRequest(): void {
    this.head = '';
    this.body = null;
  }

  /** Ends the call; later ends are ignored. */
  fail(failure: UpstreamFailure, error: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.carrier = null;
    this.forgetRequest();
    this.handler.onError(failure, error);
  }

  /** Ends the call; later ends are ignored. */
  succeed(): void {
    if (this.ended) return;
    this.ended = true;
    this.carrier = null;
    this.handler.onEnd();
  }

  abort(): void {
    if (this.ended) return;
    if (this.carrier) this.carrier.abort();
    else {
      this.fail('unreachable', new Error('the call was aborted'));
      this.#queue.left();
    }
  }

  pause(): void {
    this.carrier?.pause();
  }

  resume(): void {
    this.carrier?.resume();
  }
}

/** Headers that say how the message is framed, or that belong to the connection. */
const OF_WIRE = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function isOfWire(name: string): boolean {
  return name.length <= 17 && OF_WIRE.has(name.toLowerCase());
}
