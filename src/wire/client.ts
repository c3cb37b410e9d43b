/**
 * The client of the upstream: a pool of HTTP/1.1 connections, one call on each at a time, and the calls that wait for
 * one. A call is sent at most once: nothing here retries, because an unknown outcome may have been billed.
 */
import { ClientCall, type Queue } from './client-call.ts';
import { ClientConnection, connector, type Pool } from './client-connection.ts';
import type {
  Upstream,
  UpstreamCall,
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
