/**
 * The client of the upstream: a pool of HTTP/1.1 connections, one call on each at a time, and the calls that wait for
 * one. A call is sent at most once: nothing here retries, because an unknown outcome may have been billed.
 */
import {
  type CarriedCall,
  type Carrier,
  ClientConnection,
  connector,
  type Pool,
} from './client-connection.ts';
import { headerLine, isTarget } from './message.ts';
import type {
  BodySource,
  Upstream,
  UpstreamCall,
  UpstreamFailure,
  UpstreamHandler,
  UpstreamOptions,
  UpstreamRequest,
} from './upstream.ts';

/** Throws on a base URL that is not http or https. Opens no connection before the first call. */
export function createUpstream(options: UpstreamOptions): Upstream {
  return new Client(options);
}

class Client implements Upstream, Pool, Queue {
  readonly options: UpstreamOptions;
  readonly #prefix: string;
  readonly #host: string;
  readonly #connect: ReturnType<typeof connector>;
  readonly #connections = new Set<ClientConnection>();
  /** Used last comes last, and is used first: the others grow old and are closed. */
  readonly #idle: ClientConnection[] = [];
  #connecting = 0;
  /** Calls in the order in which they came; those before `#queueStart` have left it. */
  #queue: (ClientCall | null)[] = [];
  #queueStart = 0;
  /** Calls in the queue that were not aborted. */
  #waiting = 0;
  #isPumping = false;
  #sweep: NodeJS.Timeout | null = null;
  #closed: Promise<void> | null = null;
  #onEmpty: (() => void) | null = null;

  constructor(options: UpstreamOptions) {
    const url = new URL(options.baseUrl);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') {
      throw new Error(`not an HTTP URL: ${options.baseUrl}`);
    }
    this.options = options;
    this.#prefix = url.pathname.replace(/\/+$/, '');
    this.#host = url.host;
    this.#connect = connector(url);
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = new ClientCall(this, handler);
    try {
      if (this.#closed) throw new Error('the client is closed');
      call.compose(request, this.#host, this.#prefix);
    } catch (error) {
      call.fail('unreachable', asError(error));
      return call;
    }
    this.#queue.push(call);
    this.#waiting++;
    if (this.#idle.length > 0) this.#pumpSoon();
    else this.#open();
    return call;
  }

  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      this.#endWhenDone();
    });
    return this.#closed;
  }

  left(): void {
    this.#waiting--;
    this.#endWhenDone();
  }

  connected(connection: ClientConnection): void {
    this.#connecting--;
    this.#idle.push(connection);
    this.#pump();
    this.#endWhenDone();
  }

  released(connection: ClientConnection): void {
    this.#idle.push(connection);
    if (this.#waiting > 0) this.#pumpSoon();
    else this.#endWhenDone();
  }

  gone(connection: ClientConnection, connectError: Error | null): void {
    this.#connections.delete(connection);
    const index = this.#idle.lastIndexOf(connection);
    if (index !== -1) this.#idle.splice(index, 1);
    if (connectError !== null) {
      this.#connecting--;
      // The one that has waited longest: the connection was opened for its sake, or for that of one behind it.
      this.#next()?.fail('unreachable', connectError);
    }
    this.#open();
    if (this.#connections.size === 0 && this.#sweep) {
      clearInterval(this.#sweep);
      this.#sweep = null;
    }
    this.#endWhenDone();
  }

  /** Returns the call that has waited longest, and takes it out. */
  #next(): ClientCall | null {
    while (this.#queueStart < this.#queue.length) {
      const call = this.#queue[this.#queueStart] ?? null;
      this.#queue[this.#queueStart++] = null;
      if (this.#queueStart === this.#queue.length || this.#queueStart > 1024) {
        this.#queue = this.#queue.slice(this.#queueStart);
        this.#queueStart = 0;
      }
      if (call === null || call.ended) continue;
      this.#waiting--;
      return call;
    }
    return null;
  }

  /**
   * An idle connection is taken only after the events of this turn: when it was closed meanwhile, or bytes came that
   * belong to no call, the loop has seen that by then, and nothing is written that would be lost or misunderstood.
   */
  #pumpSoon(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    setImmediate(() => {
      this.#isPumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#waiting > 0) {
      const connection = this.#idle.pop();
      if (connection === undefined) break;
      if (!connection.isFresh()) {
        connection.destroy();
        continue;
      }
      const call = this.#next();
      if (call === null) {
        this.#idle.push(connection);
        break;
      }
      connection.start(call);
    }
    this.#open();
  }

  /** Opens as many connections as calls wait for, and may be open. */
  #open(): void {
    while (this.#connecting + this.#idle.length < this.#waiting) {
      if (this.#connections.size >= this.options.connections) return;
      this.#connecting++;
      this.#connections.add(new ClientConnection(this, this.#connect));
      if (this.#sweep === null) this.#startSweep();
    }
  }

  /** One timer for all deadlines: they are far away and nearly never reached. */
  #startSweep(): void {
    const { connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs } = this.options;
    const shortest = Math.min(connectTimeoutMs, headersTimeoutMs || Infinity, bodyTimeoutMs || Infinity);
    const everyMs = Math.min(Math.max(shortest / 8, 10), 500);
    this.#sweep = setInterval(() => {
      const now = performance.now();
      for (const connection of this.#connections) connection.sweep(now);
    }, everyMs);
    this.#sweep.unref();
  }

  /** Once it is closed and no call waits, idle connections end, and with the last one the client does. */
  #endWhenDone(): void {
    if (this.#onEmpty === null || this.#waiting > 0) return;
    for (const connection of this.#connections) if (!connection.busy) connection.destroy();
    // The last of them called this function again.
    if (this.#connections.size > 0 || this.#onEmpty === null) return;
    this.#onEmpty();
    this.#onEmpty = null;
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** A body up to this size is written at once. */
const WHOLE_BYTES = 64 * 1024;

function bytesOf(body: Buffer | Buffer[]): number {
  return Array.isArray(body) ? body.reduce((sum, { length }) => sum + length, 0) : body.length;
}

/** Where a call waits for a connection. */
interface Queue {
  /** A call that waited was aborted. */
  left(): void;
}

/** One call: what is to be sent, and the handler that learns what came of it. */
export class ClientCall implements CarriedCall, UpstreamCall {
  readonly handler: UpstreamHandler;
  head = '';
  body: Buffer | null = null;
  pieces: readonly Buffer[] | null = null;
  source: BodySource | null = null;
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
    const isSource = body !== null && 'start' in body;
    const length = isSource ? body.length : body === null ? 0 : bytesOf(body);
    if (length === null) head += 'transfer-encoding: chunked\r\n';
    else if (body !== null || mayHaveBody) head += `content-length: ${length}\r\n`;
    this.head = `${head}\r\n`;
    this.reusable = mayHaveBody || length === 0;
    if (body === null || length === 0) return;
    if (isSource) this.source = body;
    else if (Array.isArray(body)) this.pieces = body;
    else if (body.length > WHOLE_BYTES) this.pieces = [body];
    else this.body = body;
  }

  /** Its bytes were written, or will not be. */
  forgetRequest(): void {
    this.head = '';
    this.body = null;
    this.pieces = null;
    this.source = null;
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
