/**
 * The connection to the upstream: a pool of HTTP/1.1 connections, one call on each at a time. A call is sent at most
 * once: nothing here retries, because an unknown outcome may have been billed.
 */
import { type Dispatcher, errors, Pool } from 'undici';

export interface UpstreamOptions {
  /** Where the API lives, with any path prefix: `https://api.openai.com/v1`. */
  baseUrl: string;
  /** How many connections may be open, and so how many calls run at once; more wait in the pool. */
  connections: number;
  connectTimeoutMs: number;
  /** From the sent request to the response's headers, and the longest silence within its body. 0: no limit. */
  headersTimeoutMs: number;
  bodyTimeoutMs: number;
}

export interface UpstreamRequest {
  method: 'GET' | 'POST' | 'DELETE';
  /** Appended to the base URL: `/chat/completions`. */
  path: string;
  /** Name, value, name, value …; the length of the body is added. */
  headers: string[];
  body: Buffer | null;
}

/**
 * How a call failed. `unreachable`: surely no byte of the request was written. `timeout` and `interrupted`: the
 * upstream may have served it.
 */
export type UpstreamFailure = 'unreachable' | 'interrupted' | 'timeout';

/** Exactly one of `onEnd` and `onError` comes last, whatever happens, also after an abort. */
export interface UpstreamHandler {
  /** Header names are in lower case; a name that came several times has an array. */
  onHeaders(status: number, headers: Record<string, string | string[] | undefined>): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(failure: UpstreamFailure, error: Error): void;
}

/** A call under way. */
export interface UpstreamCall {
  /** Ends the call by `onError`, before this returns. Does nothing on one that has ended. */
  abort(): void;
  /** Stops reading from the upstream until `resume`: for a client that reads slowly. */
  pause(): void;
  resume(): void;
}

export interface Upstream {
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Waits for the calls under way, then closes all connections. New calls are `unreachable`. */
  close(): Promise<void>;
}

/** Throws on a base URL that is not http or https. Opens no connection before the first call. */
export function createUpstream(options: UpstreamOptions): Upstream {
  const { protocol, origin, pathname } = new URL(options.baseUrl);
  if (protocol !== 'http:' && protocol !== 'https:') throw new Error(`not an HTTP URL: ${options.baseUrl}`);
  const prefix = pathname.replace(/\/+$/, '');
  const pool = new Pool(origin, {
    connections: options.connections,
    connectTimeout: options.connectTimeoutMs,
    headersTimeout: options.headersTimeoutMs,
    bodyTimeout: options.bodyTimeoutMs,
    // One call per connection: over HTTP/2 a lost connection takes all its calls with it, and a request that the
    // server refused may be sent again.
    allowH2: false,
    pipelining: 1,
  });
  let closed: Promise<void> | null = null;
  return {
    send({ method, path, headers, body }, handler) {
      const call = new Call(handler);
      pool.dispatch({ method, path: prefix + path, headers, body }, call);
      return call;
    },
    close() {
      closed ??= pool.close();
      return closed;
    },
  };
}

/** One call: undici's handler on one side, ours on the other. */
class Call implements Dispatcher.DispatchHandler, UpstreamCall {
  readonly #handler: UpstreamHandler;
  /** Set when undici takes a connection for this call, just before it writes the first byte. */
  #controller: Dispatcher.DispatchController | null = null;
  #ended = false;

  constructor(handler: UpstreamHandler) {
    this.#handler = handler;
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Aborted while it waited for a connection: undici then writes nothing.
    if (this.#ended) controller.abort(new errors.RequestAbortedError());
    else this.#controller = controller;
  }

  onResponseStart(_: unknown, status: number, headers: Record<string, string | string[] | undefined>): void {
    // Informational responses (103) come before the real one.
    if (status >= 200) this.#handler.onHeaders(status, headers);
  }

  onResponseData(_: unknown, chunk: Buffer): void {
    this.#handler.onData(chunk);
  }

  onResponseEnd(): void {
    this.#ended = true;
    this.#handler.onEnd();
  }

  onResponseError(_: unknown, error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#handler.onError(this.#controller === null ? 'unreachable' : failureOf(error), error);
  }

  abort(): void {
    if (this.#ended) return;
    const error = new errors.RequestAbortedError();
    if (this.#controller === null) this.onResponseError(null, error);
    else this.#controller.abort(error);
  }

  pause(): void {
    this.#controller?.pause();
  }

  resume(): void {
    this.#controller?.resume();
  }
}

function failureOf(error: Error): UpstreamFailure {
  const isTimeout = error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError;
  return isTimeout ? 'timeout' : 'interrupted';
}
