/**
 * How a body ended. `too_large`: more than the reader's most bytes, declared or seen; `refused`: the reader wanted no more.
 * After both the rest is read and thrown away for at most 5 s, so that the response can be delivered. `gone`: the connection
 * broke before the body's end.
 */
export type BodyEnd = 'complete' | 'too_large' | 'refused' | 'gone';

/** Takes the body of one request. */
export interface BodyReader {
  readonly maxBytes: number;
  /** The body may take as long as it likes, as long as more of it comes. Missing: it has a time. */
  readonly isStream?: true;
  /** Nothing of a piece is kept, but of one that is the whole body: its memory may be used again. */
  readonly copies?: true;
  /** Takes the next bytes, which stay as they are unless it copies them. Returns false when no more are wanted. */
  take(piece: Buffer): boolean;
  /** Called once, after the last piece. */
  done(end: BodyEnd): void;
}

/**
 * One request and its response, independent of the server that it came in on: the lean wire of this room, or `node:http`
 * for what the wire leaves to it. All callbacks are single: a later call replaces the earlier one.
 */
export interface Exchange {
  readonly method: string;
  /** Request target as received. */
  readonly url: string;
  /** Name, value, name, value …, as received. */
  readonly rawHeaders: readonly string[];
  /** Returns the first value of a header, by lower-case name. */
  header(name: string): string | undefined;
  /** Declared length of the body; null: chunked; 0: no body. */
  readonly contentLength: number | null;
  readonly remoteAddress: string;
  /** Reads the body and hands it to the reader, perhaps before it returns. To be called at most once. */
  readBody(reader: BodyReader): void;
  /** Reads no more of the body, so that its client waits, until `resumeBody`. */
  pauseBody(): void;
  resumeBody(): void;
  readonly headersSent: boolean;
  /** `end` or `respond` was called. */
  readonly ended: boolean;
  /**
   * Takes status and headers as name, value, name, value … Values may hold Latin-1. Without `content-length` the body is
   * chunked. Throws a TypeError on a name or value that may not stand in a head. Nothing is sent before the first `write`
   * or `end`: `write` with an empty buffer sends the head alone.
   */
  writeHead(status: number, headers: readonly string[]): void;
  /** Returns false when the client reads too slowly: wait for `onDrain`. Ignored once the connection is gone. */
  write(bytes: Buffer): boolean;
  /** Sends the last bytes. Does nothing when the response has ended or the connection is gone. */
  end(bytes?: Buffer): void;
  /** Sends head and whole body in as few writes as possible; sets `content-length`. */
  respond(status: number, headers: readonly string[], body: Buffer): void;
  /** Breaks the connection. `onClose` follows, perhaps before this returns. */
  destroy(): void;
  onDrain: (() => void) | null;
  /**
   * Called once when the exchange is over: true when the last byte was handed to the kernel, false when the connection
   * broke first. May be called before `end` or `respond` returns, never before the handler of the request has returned for
   * the first time unless the handler itself ended it.
   */
  onClose: ((finished: boolean) => void) | null;
  /** Closes the connection after this response. Only before the head is written. */
  closeAfter(): void;
}
