/** What a client of an upstream promises: a call is sent at most once, and ends in exactly one way. */

export interface UpstreamOptions {
  /** Where the API lives, with any path prefix: `https://api.openai.com/v1`. */
  baseUrl: string;
  /** How many connections may be open, and so how many calls run at once; more wait in the pool. */
  connections: number;
  connectTimeoutMs: number;
  /** From the sent request to the response's headers, and the longest silence within its body. 0: no limit. */
  headersTimeoutMs: number;
  bodyTimeoutMs: number;
  /** The longest that a response may be paused at a time. 0: no limit. */
  pausedTimeoutMs: number;
  /** A connection carries no call after an event stream: llama-server promises to keep it, and closes it at once. Default: false. */
  closesAfterStreams?: boolean;
}

export interface UpstreamRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Appended to the base URL: `/chat/completions`. */
  path: string;
  /** Name, value, name, value …; host, connection and the length of the body are added. */
  headers: readonly string[];
  /** In one piece or several, or as it comes. */
  body: Buffer | Buffer[] | BodySource | null;
}

/** A body that is sent on as it comes, no faster than the upstream takes it. */
export interface BodySource {
  /** Null: not known. */
  readonly length: number | null;
  /** Called once, when the head was written; not at all when the call ends before. */
  start(sink: BodySink): void;
  /** The upstream reads too slowly: no more until `resume`. */
  pause(): void;
  resume(): void;
}

/** Takes a body on its way. What comes after the end of the call is thrown away. */
export interface BodySink {
  write(piece: Buffer): void;
  end(): void;
  /** The rest will not come: ends the call by `onError`. */
  fail(): void;
}

/**
 * How a call failed. `unreachable`: surely no byte of the request was written. `timeout` and `interrupted`: the
 * upstream may have served it.
 */
export type UpstreamFailure = 'unreachable' | 'interrupted' | 'timeout';

/** By name in lower case; a name that came several times has an array. */
export type UpstreamHeaders = Record<string, string | string[] | undefined>;

/**
 * Exactly one of `onEnd` and `onError` comes last, whatever happens, also after an abort. An exception of `onHeaders` or
 * `onData` ends the call by `onError`.
 */
export interface UpstreamHandler {
  /** The last byte of a body of more than 64 KiB has left: its memory is free. Not called when the call ends before. */
  onSent?(): void;
  onHeaders(status: number, headers: UpstreamHeaders): void;
  onData(chunk: Buffer): void;
  onEnd(): void;
  onError(failure: UpstreamFailure, error: Error): void;
}

/** A call under way. */
export interface UpstreamCall {
  /** Ends the call by `onError`, before this returns. Does nothing on one that has ended. */
  abort(): void;
  /** Hands on no more of the response, and stops reading it, until `resume`: for a client that reads slowly. */
  pause(): void;
  resume(): void;
}

export interface Upstream {
  /** Sends a call once, or not at all. Its end may come before this returns when it cannot be sent. */
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall;
  /** Waits for the calls under way, then closes all connections. New calls are `unreachable`. */
  close(): Promise<void>;
}
