/**
 * One connection of a client. Owns: reading its requests one after another, deadlines, and what the wire serves itself.
 * Whatever is unusual it hands to `node:http` unread, so that Node decides about it, as about all that is no HTTP.
 */
import type { Socket } from 'node:net';
import { listHas } from './head.ts';
import { bodyFound, MAX_HEAD_BYTES, Parser } from './llhttp.ts';
import { KEEP_ALIVE_MS, type Line, type RequestHead, ServerExchange } from './server-exchange.ts';

/** More headers than any client of the API sends. */
const MAX_HEADERS = 100;

/** Most bytes that are kept of requests which were sent before the response to an earlier one. */
const PIPELINED_BYTES = 64 * 1024;

/** Bytes that the framing of a chunked body may take: so many, and so many for each byte of body. */
const FRAMING_BYTES = 16 * 1024;
const FRAMING_PER_BYTE = 8;

/** Added to the idle time that the client gets, so that a request already on its way still arrives. */
const IDLE_MARGIN_MS = 1000;

const EMPTY = Buffer.alloc(0);

/** What serves the connections. */
export interface ConnectionHost {
  /** The time, as exact as the sweep of the connections is frequent. */
  readonly nowMs: number;
  readonly headTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** Returns whether the wire serves requests for this target. */
  takes(url: string): boolean;
  handle(exchange: ServerExchange): void;
  /** Gives a connection to `node:http`. */
  toNode(socket: Socket): void;
  /** Responds, if that is possible, and ends the connection. */
  refuse(code: string, socket: Socket): void;
  /** The connection has ended, or is Node's now. */
  forget(connection: ServerConnection): void;
}

export class ServerConnection implements Line {
  readonly socket: Socket;
  readonly #host: ConnectionHost;
  readonly #parser = new Parser('request');
  #exchange: ServerExchange | null = null;
  /** The request of the exchange has been read to its end. */
  #requestDone = false;
  /** The response of the exchange has left. */
  #responseDone = false;
  /** What has come of a head that is not complete. */
  #headPieces: Buffer[] = [];
  #headBytes = 0;
  /** What came after the end of the request. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** Bytes of a chunked body that were no body. */
  #framingBytes = 0;
  #isPaused = false;
  #isClosed = false;
  /** 0: none. */
  #deadlineMs: number;

  constructor(host: ConnectionHost, socket: Socket) {
    this.#host = host;
    this.socket = socket;
    this.#deadlineMs = host.nowMs + host.headTimeoutMs;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.on('drain', this.#onDrain);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
  }

  /** No request is under way, nor has one begun to arrive. */
  get idle(): boolean {
    return this.#exchange === null && this.#headBytes === 0 && this.#waitingBytes === 0;
  }

  sweep(nowMs: number): void {
    if (this.#deadlineMs === 0 || nowMs < this.#deadlineMs) return;
    if (this.idle && this.#hasServed) this.socket.destroy();
    else this.#refuse('ERR_HTTP_REQUEST_TIMEOUT');
  }

  stopReading(): void {
    this.#isPaused = true;
    this.socket.pause();
  }

  startReading(): void {
    if (!this.#isPaused || this.#isClosed) return;
    this.#isPaused = false;
    this.socket.resume();
  }

  responded(): void {
    if (this.socket.writableLength === 0) this.#flushed();
    // A write of nothing is over when all before it are.
    else this.socket.write(EMPTY, () => this.#flushed());
  }

  #hasServed = false;

  readonly #onData = (bytes: Buffer): void => {
    if (this.#isClosed) return;
    if (this.#requestDone || this.#waitingBytes > 0) this.#wait(bytes);
    else this.#read(bytes);
  };

  readonly #onEnd = (): void => {
    if (this.#isClosed) return;
    const isWhole = this.#exchange === null ? this.#headBytes === 0 : this.#requestDone;
    if (isWhole) this.socket.end();
    else this.#refuse('HPE_INVALID_EOF_STATE');
  };

  readonly #onDrain = (): void => {
    this.#exchange?.onDrain?.();
  };

  readonly #onError = (): void => {
    // 'close' follows.
  };

  readonly #onClose = (): void => {
    this.#isClosed = true;
    this.#parser.free();
    this.#host.forget(this);
    this.#exchange?.over(false);
    this.#exchange = null;
  };

  #wait(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > PIPELINED_BYTES && !this.#isPaused) this.stopReading();
  }

  #read(bytes: Buffer): void {
    const parser = this.#parser;
    const error = parser.execute(bytes);
    let exchange = this.#exchange;
    const isNew = exchange === null;
    if (exchange === null) {
      exchange = this.#begin(bytes, error);
      if (exchange === null) return;
      this.#exchange = exchange;
      this.#deadlineMs = this.#host.nowMs + this.#host.requestTimeoutMs;
    }
    const before = exchange.received;
    const places = bodyFound();
    for (let index = 0; index < places.length; index += 2) {
      exchange.push(bytes.subarray(places[index], places[index + 1]));
    }
    if (error !== null) {
      this.#refuse(error);
      return;
    }
    if (exchange.contentLength === null && !isNew) {
      this.#framingBytes += parser.consumed - (exchange.received - before);
      if (this.#framingBytes > FRAMING_BYTES + FRAMING_PER_BYTE * exchange.received) {
        this.#refuse('HPE_CHUNK_EXTENSIONS_OVERFLOW');
        return;
      }
    }
    if (parser.messageComplete) this.#endRequest(exchange, bytes);
    if (isNew) this.#host.handle(exchange);
  }

  /** Returns the exchange that begins with the head that these bytes complete; null: they do not, or it is not ours. */
  #begin(bytes: Buffer, error: string | null): ServerExchange | null {
    const parser = this.#parser;
    if (!parser.headComplete) {
      if (error !== null || this.#headBytes + bytes.length > MAX_HEAD_BYTES) this.#handOver(bytes);
      else if (parser.begun) {
        if (this.#headBytes === 0) this.#deadlineMs = this.#host.nowMs + this.#host.headTimeoutMs;
        this.#headPieces.push(bytes);
        this.#headBytes += bytes.length;
      }
      return null;
    }
    const head = this.#headPieces.length === 0 ? bytes : Buffer.concat([...this.#headPieces, bytes]);
    const request = this.#usualHead(head);
    if (request === null) {
      this.#handOver(bytes);
      return null;
    }
    if (error !== null || request === 'two hosts') {
      this.#refuse(error ?? 'HPE_INVALID_HOST');
      return null;
    }
    this.#headPieces = [];
    this.#headBytes = 0;
    this.#framingBytes = 0;
    return new ServerExchange(this, request);
  }

  /** Returns the head when it is one that the wire serves; null when Node should. */
  #usualHead(bytes: Buffer): RequestHead | 'two hosts' | null {
    const parser = this.#parser;
    const end = parser.headEnd;
    if (parser.upgrade || !parser.isHttp11 || end > MAX_HEAD_BYTES) return null;
    const text = bytes.toString('latin1', 0, end);
    const url = text.slice(parser.urlStart, parser.urlEnd);
    if (!this.#host.takes(url)) return null;
    const rawHeaders = parser.headers(text);
    if (rawHeaders.length > MAX_HEADERS * 2) return null;
    const facts = factsOf(rawHeaders);
    if (facts === null || facts.hosts === 0) return null;
    if (facts.hosts > 1) return 'two hosts';
    const { contentLength } = facts;
    const keepAlive = parser.keepAlive && !facts.closes;
    return { method: parser.method, url, rawHeaders, contentLength, keepAlive };
  }

  #endRequest(exchange: ServerExchange, bytes: Buffer): void {
    const { consumed } = this.#parser;
    this.#requestDone = true;
    this.#deadlineMs = 0;
    this.#parser.next();
    if (consumed < bytes.length) this.#wait(bytes.subarray(consumed));
    exchange.complete();
    if (this.#responseDone) this.#nextRequest();
  }

  #flushed(): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isClosed || this.socket.destroyed) return;
    this.#hasServed = true;
    this.#responseDone = true;
    if (exchange.closes) {
      this.#isClosed = true;
      this.socket.destroySoon();
    } else if (this.#requestDone) this.#nextRequest();
    exchange.over(true);
  }

  #nextRequest(): void {
    this.#exchange = null;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#deadlineMs = this.#host.nowMs + KEEP_ALIVE_MS + IDLE_MARGIN_MS;
    // Not within the call that ended the response before it.
    if (this.#waitingBytes > 0) process.nextTick(() => this.#readWaiting());
  }

  #readWaiting(): void {
    if (this.#isClosed || this.#waitingBytes === 0) return;
    const bytes = Buffer.concat(this.#waiting);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.startReading();
    this.#read(bytes);
  }

  /** Gives the connection to Node, with all bytes of the request that begins there. */
  #handOver(bytes: Buffer): void {
    const { socket } = this;
    this.#isClosed = true;
    this.#parser.free();
    this.#host.forget(this);
    socket.off('data', this.#onData);
    socket.off('end', this.#onEnd);
    socket.off('drain', this.#onDrain);
    socket.off('error', this.#onError);
    socket.off('close', this.#onClose);
    socket.pause();
    socket.unshift(this.#headPieces.length === 0 ? bytes : Buffer.concat([...this.#headPieces, bytes]));
    this.#host.toNode(socket);
    socket.resume();
  }

  /** Ends the connection on an error of the client, with a response if none has begun. */
  #refuse(code: string): void {
    this.#isClosed = true;
    if (this.#exchange?.headersSent) this.socket.destroy();
    else this.#host.refuse(code, this.socket);
  }
}

interface Facts {
  /** The client says so; undici's llhttp misses a `close` with a tab behind it. */
  closes: boolean;
  contentLength: number | null;
  hosts: number;
}

/** Returns what the headers say of host and framing; null when they ask for something unusual. */
function factsOf(rawHeaders: readonly string[]): Facts | null {
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
