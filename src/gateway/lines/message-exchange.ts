/**
 * A message of a client as a call's exchange: the request is the one that became the session, with the message as its body; the
 * response goes out as messages. A stream of events is passed on event by event, and an error is an event of its own.
 */
import { type ApiError, ERRORS } from '../../domain/errors.ts';
import { isObject, type JsonObject, parseJson } from '../../openai/body.ts';
import { errorHeaders, errorObject } from '../../openai/wire/errors.ts';
import type { BodyReader, Exchange } from '../../wire/exchange.ts';
import { TURN_BYTES } from '../../wire/server-exchange.ts';
import type { LineHead } from './client-line.ts';

/** A message up to this size is handed on as it is; a larger one in pieces, so that its memory is taken as that of any body. */
const WHOLE_BYTES = 64 * 1024;

const LF = 0x0a;
const DATA = Buffer.from('data: ');
const END = Buffer.from('\n\n');

/** Where the response of a message goes. */
export interface MessageSink {
  /** Returns false when the client reads too slowly. */
  send(text: Buffer): boolean;
  /** Breaks the session. */
  destroy(): void;
}

export interface MessageOptions {
  readonly head: LineHead;
  readonly body: Buffer;
  /** Members that every event of ours repeats from the message. */
  readonly echo: JsonObject | null;
  readonly sink: MessageSink;
}

/** Returns an event as the stages read and write it: one of server-sent events. */
export function asServerSent(text: Buffer): Buffer {
  const event = Buffer.allocUnsafe(DATA.length + text.length + END.length);
  DATA.copy(event);
  text.copy(event, DATA.length);
  // JSON has its line ends escaped, but for those between its members.
  for (let at = event.indexOf(LF); at !== -1; at = event.indexOf(LF, at + 1)) event[at] = 0x20;
  END.copy(event, DATA.length + text.length);
  return event;
}

export class MessageExchange implements Exchange {
  readonly method = 'WEBSOCKET';
  readonly contentLength: number;
  onDrain: (() => void) | null = null;
  onClose: ((finished: boolean) => void) | null = null;
  headersSent = false;
  ended = false;
  readonly #options: MessageOptions;
  #body: Buffer | null;
  #isGone = false;
  #status = 0;
  #headers: readonly string[] = [];

  constructor(options: MessageOptions) {
    this.#options = options;
    this.#body = options.body;
    this.contentLength = options.body.length;
  }

  get url(): string {
    return this.#options.head.url;
  }

  get rawHeaders(): readonly string[] {
    return this.#options.head.rawHeaders;
  }

  get remoteAddress(): string {
    return this.#options.head.remoteAddress;
  }

  header(name: string): string | undefined {
    // They would speak of the handshake's body, which has none, or ask for a comment, which messages cannot have.
    if (name.startsWith('content-') || name === 'x-tollgate-cost') return undefined;
    const { rawHeaders } = this;
    for (let at = 0; at < rawHeaders.length; at += 2)
      if (rawHeaders[at]?.toLowerCase() === name) return rawHeaders[at + 1];
    return undefined;
  }

  readBody(reader: BodyReader): void {
    const body = this.#body;
    this.#body = null;
    if (this.#isGone || body === null) reader.done('gone');
    else if (body.length > reader.maxBytes) reader.done('too_large');
    else if (body.length > WHOLE_BYTES) this.#readPieces(reader, body, 0);
    else reader.done(reader.take(body) ? 'complete' : 'refused');
  }

  /** In turns of the event loop, as if it came from the network. */
  #readPieces(reader: BodyReader, body: Buffer, from: number): void {
    const until = Math.min(from + TURN_BYTES, body.length);
    for (let at = from; at < until; at += WHOLE_BYTES) {
      if (reader.take(body.subarray(at, Math.min(at + WHOLE_BYTES, until)))) continue;
      reader.done('refused');
      return;
    }
    if (until === body.length) reader.done(this.#isGone ? 'gone' : 'complete');
    else setImmediate(() => this.#readPieces(reader, body, until));
  }

  pauseBody(): void {}

  resumeBody(): void {}

  writeHead(status: number, headers: readonly string[]): void {
    this.headersSent = true;
    this.#status = status;
    this.#headers = headers;
  }

  write(bytes: Buffer): boolean {
    if (this.#isGone || bytes.length === 0) return true;
    const { sink } = this.#options;
    // The usual case: one event, as it was put in.
    const end = bytes.length - END.length;
    if (bytes.indexOf(LF) === end && bytes[0] === DATA[0]) return sink.send(bytes.subarray(DATA.length, end));
    return this.#writeLines(bytes);
  }

  end(bytes?: Buffer): void {
    if (this.ended) return;
    if (bytes !== undefined && !this.#isGone) this.#writeLines(bytes);
    this.#end();
  }

  respond(status: number, headers: readonly string[], body: Buffer): void {
    if (this.ended) return;
    this.writeHead(status, headers);
    if (!this.#isGone) this.#options.sink.send(this.#errorEvent(body));
    this.#end();
  }

  destroy(): void {
    this.ended = true;
    this.#options.sink.destroy();
  }

  closeAfter(): void {}

  /** The client has left. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#close(false);
  }

  #end(): void {
    this.ended = true;
    this.#close(true);
  }

  #close(finished: boolean): void {
    const { onClose } = this;
    this.onClose = null;
    this.onDrain = null;
    onClose?.(finished);
  }

  /** What stands in whole lines: events of ours, which repeat what the message asks for, and those of the upstream. */
  #writeLines(bytes: Buffer): boolean {
    let isFree = true;
    for (let at = 0; at < bytes.length; ) {
      const end = bytes.indexOf(LF, at);
      const until = end === -1 ? bytes.length : end;
      if (bytes.compare(DATA, 0, DATA.length, at, Math.min(at + DATA.length, until)) === 0)
        isFree = this.#options.sink.send(this.#echoed(bytes.subarray(at + DATA.length, until)));
      at = until + 1;
    }
    return isFree;
  }

  #echoed(text: Buffer): Buffer {
    const { echo } = this.#options;
    const event = echo === null ? null : parseJson(text.toString());
    return isObject(event) ? Buffer.from(JSON.stringify({ ...event, ...echo })) : text;
  }

  /** The upstream's own error event as it is; any other error as the event that clients of the API read. */
  #errorEvent(body: Buffer): Buffer {
    const found = parseJson(body.toString());
    if (isObject(found) && found.type === 'error') return body;
    const error = isObject(found) && isObject(found.error) ? found.error : { message: body.toString() };
    return errorMessage(this.#status, error, this.#headers, this.#options.echo);
  }
}

const SHOWN_HEADER = /^(?:x-|retry-after)/;

/**
 * Returns the event of an error that would be a response of this status (`ResponseWsError` of the published schema), with those of its
 * headers that say what to do next: Codex reads them there.
 * @param headers name, value, name, value …
 */
function errorMessage(
  status: number,
  error: object,
  headers: readonly string[],
  echo: JsonObject | null = null,
): Buffer {
  const shown: Record<string, string> = {};
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at]?.toLowerCase() ?? '';
    if (SHOWN_HEADER.test(name)) shown[name] = headers[at + 1] ?? '';
  }
  return Buffer.from(JSON.stringify({ type: 'error', status, error, headers: shown, ...echo }));
}

/** Returns the event of an error of ours. */
export function errorEventOf(error: ApiError, echo: JsonObject | null = null): Buffer {
  const headers = Object.entries(errorHeaders(error)).flat();
  return errorMessage(ERRORS[error.code].status, errorObject(error), headers, echo);
}
