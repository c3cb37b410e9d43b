/** A request that the wire itself has read, and its response. */
import type { Socket } from 'node:net';
import type { BodyEnd, BodyReader, Exchange } from './exchange.ts';
import { dateLine, headerLine, listHas, statusLine, writeTogether } from './message.ts';
import { DISCARD_MS } from './outflow.ts';
import { freeMemory } from './slices.ts';

/** What every response that keeps its connection says of it. */
export const KEEP_ALIVE_MS = 75_000;
const KEEP_ALIVE_LINES = `Connection: keep-alive\r\nKeep-Alive: timeout=${KEEP_ALIVE_MS / 1000}\r\n`;

/** Most bytes of a body that are kept before the handler asks for it. */
const UNREAD_BYTES = 64 * 1024;

/** Bytes of one body that are read in one turn of the event loop, or little more. */
export const TURN_BYTES = 512 * 1024;

const EMPTY = Buffer.alloc(0);

/** The connection, as an exchange sees it. */
export interface Line {
  readonly socket: Socket;
  /** An unread body stays in the kernel, so that the client waits. */
  stopReading(): void;
  startReading(): void;
  /** The last byte of the response was written to the socket. */
  responded(): void;
}

export interface RequestHead {
  method: string;
  url: string;
  rawHeaders: readonly string[];
  /** null: chunked. */
  contentLength: number | null;
  /** What the request says of its connection. */
  keepAlive: boolean;
}

export class ServerExchange implements Exchange {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly contentLength: number | null;
  onDrain: (() => void) | null = null;
  onClose: ((finished: boolean) => void) | null = null;
  /** The connection ends with this response. */
  closes: boolean;
  /** Bytes of the body so far. */
  received = 0;
  headersSent = false;
  ended = false;
  readonly #line: Line;
  #isOver = false;
  /** Bytes of the response could not be written: the client has closed its side. */
  #isLost = false;

  #body: Buffer[] = [];
  #bodyComplete = false;
  #discards = false;
  /** How the body will have ended, once its rest is thrown away. */
  #end: BodyEnd = 'complete';
  #reader: BodyReader | null = null;
  #pauseAt = TURN_BYTES;
  #isHeld = false;
  #patience: NodeJS.Timeout | null = null;

  /** A head that waits to be sent together with the first bytes of the body. */
  #head = '';
  #hasHead = false;
  #chunked = false;
  #hasBody = true;
  /** Bytes that the content length still promises. */
  #remaining = 0;

  constructor(line: Line, head: RequestHead) {
    this.#line = line;
    this.method = head.method;
    this.url = head.url;
    this.rawHeaders = head.rawHeaders;
    this.contentLength = head.contentLength;
    this.closes = !head.keepAlive;
  }

  get remoteAddress(): string {
    return this.#line.socket.remoteAddress ?? '';
  }

  header(name: string): string | undefined {
    const raw = this.rawHeaders;
    for (let index = 0; index < raw.length; index += 2) {
      const own = raw[index];
      if (own?.length === name.length && own.toLowerCase() === name) return raw[index + 1];
    }
    return undefined;
  }

  readBody(reader: BodyReader): void {
    this.#reader = reader;
    const kept = this.#body;
    this.#body = [];
    if (this.#isOver) this.#deliver('gone');
    else if (Math.max(this.contentLength ?? 0, this.received) > reader.maxBytes) this.#discard('too_large');
    else {
      for (let index = 0; index < kept.length && !this.#discards; index++) {
        if (!reader.take(kept[index] ?? EMPTY)) this.#discard('refused');
      }
      if (this.#discards) return;
      if (this.#bodyComplete) this.#deliver('complete');
      else this.#line.startReading();
    }
  }

  /**
   * For the connection: what it read, and the places of the body in it. The memory is freed when nothing of it is kept.
   * @param hasMore the head of the request, or what comes after it, lies there too
   */
  pushAll(bytes: Buffer, places: readonly number[], hasMore: boolean): void {
    const isUsed = hasMore || !(this.#discards || this.#reader?.copies === true);
    for (let index = 0; index < places.length; index += 2) {
      this.#push(bytes.subarray(places[index], places[index + 1]));
    }
    if (!isUsed) freeMemory(bytes);
  }

  #push(piece: Buffer): void {
    this.received += piece.length;
    if (this.#discards) return;
    const reader = this.#reader;
    if (reader === null) {
      this.#body.push(piece);
      if (this.received > UNREAD_BYTES) this.#line.stopReading();
    } else if (this.received > reader.maxBytes) this.#discard('too_large');
    else if (!reader.take(piece)) this.#discard('refused');
    else if (this.received >= this.#pauseAt) this.#letOthersRun();
  }

  /** A client that sends fast would otherwise be read for two megabytes without a break, which take the reader long. */
  #letOthersRun(): void {
    this.#pauseAt = this.received + TURN_BYTES;
    this.#line.stopReading();
    setImmediate(() => {
      if (!this.#isOver && !this.#isHeld) this.#line.startReading();
    });
  }

  /** For the connection: every piece of the body restarts its clock. */
  get isStream(): boolean {
    return this.#reader?.isStream ?? false;
  }

  pauseBody(): void {
    this.#isHeld = true;
    this.#line.stopReading();
  }

  resumeBody(): void {
    this.#isHeld = false;
    if (!this.#isOver) this.#line.startReading();
  }

  /** For the connection: the request has ended. */
  complete(): void {
    this.#bodyComplete = true;
    this.#deliver(this.#end);
  }

  /** For the connection: the response was sent to its end, or will not be. */
  over(finished: boolean): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { onClose } = this;
    this.onClose = null;
    this.onDrain = null;
    this.#body = [];
    this.#discards = true;
    onClose?.(finished);
    this.#deliver('gone');
    if (finished) this.#line.startReading();
  }

  writeHead(status: number, headers: readonly string[]): void {
    this.#compose(status, headers, null);
  }

  write(bytes: Buffer): boolean {
    if (this.#isOver || this.ended) return true;
    this.#count(bytes.length);
    if (bytes.length === 0 || !this.#hasBody) return this.#head === '' || this.#send('', null, '');
    return this.#chunked ? this.#send(chunkStart(bytes), bytes, '\r\n') : this.#send('', bytes, '');
  }

  end(bytes: Buffer = EMPTY): void {
    if (this.#isOver || this.ended) return;
    this.#count(bytes.length);
    this.ended = true;
    if (!this.#hasBody) this.#send('', null, '');
    else if (!this.#chunked) this.#send('', bytes, '');
    else if (bytes.length === 0) this.#send('0\r\n\r\n', null, '');
    else this.#send(chunkStart(bytes), bytes, '\r\n0\r\n\r\n');
    // A body that is shorter than was said: the client would wait for the rest, or take the next response for it.
    if (this.#remaining > 0 && this.#hasBody) this.destroy();
    else if (!this.#isLost) this.#line.responded();
  }

  respond(status: number, headers: readonly string[], body: Buffer): void {
    if (this.#isOver) return;
    this.#compose(status, headers, body.length);
    this.end(body);
  }

  destroy(): void {
    this.#line.socket.destroy();
    this.over(false);
  }

  closeAfter(): void {
    this.closes = true;
  }

  #compose(status: number, headers: readonly string[], length: number | null): void {
    if (this.#hasHead) throw new Error('the response has a head already');
    this.#hasBody = this.method !== 'HEAD' && status !== 204 && status !== 304;
    let head = statusLine(status);
    let hasDate = false;
    let hasLength = false;
    for (let index = 0; index + 1 < headers.length; index += 2) {
      const name = headers[index] ?? '';
      const value = headers[index + 1] ?? '';
      switch (ofWire(name)) {
        case 'connection':
          if (listHas(value, 'close')) this.closes = true;
          continue;
        case 'keep-alive':
          continue;
        case 'transfer-encoding':
          throw new TypeError('the wire frames the body');
        case 'content-length':
          if (length !== null) continue;
          hasLength = true;
          this.#remaining = lengthOf(value);
          break;
        case 'date':
          hasDate = true;
      }
      head += headerLine(name, value);
    }
    if (length !== null) {
      this.#remaining = length;
      if (status !== 204 && status !== 304) head += `Content-Length: ${length}\r\n`;
    }
    if (!hasDate) head += dateLine();
    head += this.closes ? 'Connection: close\r\n' : KEEP_ALIVE_LINES;
    if (length === null && !hasLength && this.#hasBody) {
      this.#chunked = true;
      head += 'Transfer-Encoding: chunked\r\n';
    }
    this.#head = `${head}\r\n`;
    this.#hasHead = true;
  }

  #count(bytes: number): void {
    if (!this.#hasHead) throw new Error('the response has no head yet');
    if (this.#chunked || !this.#hasBody) return;
    this.#remaining -= bytes;
    if (this.#remaining >= 0) return;
    this.destroy();
    throw new Error('the body of the response is longer than its content length');
  }

  #send(before: string, bytes: Buffer | null, after: string): boolean {
    const { socket } = this.#line;
    const start = this.#head === '' ? before : this.#head + before;
    this.#head = '';
    this.headersSent = true;
    if (!socket.writable) {
      this.#isLost = true;
      return true;
    }
    return writeTogether(socket, true, start, bytes, after);
  }

  #deliver(end: BodyEnd): void {
    const reader = this.#reader;
    if (reader === null) return;
    this.#reader = null;
    this.#body = [];
    this.#discards = true;
    if (this.#patience) clearTimeout(this.#patience);
    this.#patience = null;
    reader.done(end);
  }

  /**
   * The response to a body that is not wanted waits for its end: a client that is still writing when the connection
   * closes sees a broken pipe, and no response.
   */
  #discard(end: BodyEnd): void {
    this.#discards = true;
    this.#end = end;
    if (this.#bodyComplete) {
      this.#deliver(end);
      return;
    }
    this.#line.startReading();
    this.#patience = setTimeout(() => {
      this.#deliver(end);
      // Once the response is written, which takes no more than this turn.
      setImmediate(() => this.#line.socket.destroySoon());
    }, DISCARD_MS);
  }
}

function chunkStart(bytes: Buffer): string {
  return `${bytes.length.toString(16)}\r\n`;
}

/** Returns the name in lower case when it is a header that the wire has a say in. */
function ofWire(name: string): string {
  const { length } = name;
  return length === 4 || length === 10 || length === 14 || length === 17 ? name.toLowerCase() : '';
}

function lengthOf(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new TypeError('not a content length');
  return Number(value);
}

interface Facts {
  /** The client says so; undici's llhttp misses a `close` with a tab behind it. */
  closes: boolean;
  contentLength: number | null;
  hosts: number;
}

/** For the connection: returns what the headers say of host and framing; null when they ask for something unusual. */
export function factsOf(rawHeaders: readonly string[]): Facts | null {
  const facts: Facts = { closes: false, contentLength: 0, hosts: 0 };
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    switch (name.length) {
      case 4:
        if (name.toLowerCase() === 'host') facts.hosts++;
        break;
      case 6:
        if (name.toLowerCase() === 'expect') return null;
        break;
      case 7:
        if (name.toLowerCase() === 'upgrade' || name.toLowerCase() === 'trailer') return null;
        break;
      case 10:
        if (name.toLowerCase() === 'connection' && listHas(rawHeaders[index + 1] ?? '', 'close'))
          facts.closes = true;
        break;
      case 14:
        if (name.toLowerCase() === 'content-length') facts.contentLength = Number(rawHeaders[index + 1]);
        break;
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break;
        if (!listHas(rawHeaders[index + 1] ?? '', 'chunked') || rawHeaders[index + 1]?.includes(','))
          return null;
        facts.contentLength = null;
    }
  }
  return facts;
}
