/**
 * The server's side of the wire: it stands in front of a `node:http` server, on the same port, serves the usual requests
 * for some targets itself, and leaves all other connections to that server as they came.
 */
import type { Server } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { Server as TlsServer } from 'node:tls';
import type { Exchange } from './exchange.ts';
import { bodyFound, MAX_HEAD_BYTES, Parser } from './message.ts';
import { DISCARD_MS, linger, Outflow, reset } from './outflow.ts';
import { factsOf, KEEP_ALIVE_MS, type Line, type RequestHead, ServerExchange } from './server-exchange.ts';
import { freeMemory } from './slices.ts';

/** How often deadlines are looked at. */
const SWEEP_MS = 5000;

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

export interface WireServerOptions {
  /** It listens, ends TLS where it does, and serves what the wire does not; broken requests go to its `clientError` listener. */
  http: Server | HttpsServer;
  /** The wire serves requests for targets that begin with `under`, but for those that begin with `except`. */
  targets: { under: string; except: string };
  /** Takes one request. Must not throw. */
  handler: { handle(exchange: Exchange): void };
  /** A client that takes no byte of a response for so long is cut off, whichever of the two serves it. Default: none is. */
  stallMs?: number;
  /** How often deadlines are looked at, at most. */
  sweepMs?: number;
}

export interface WireServer {
  /** Ends the connections on which no request is under way. */
  closeIdleConnections(): void;
  closeAllConnections(): void;
}

/** Puts the wire between the server and its connections. To be called before it listens. */
export function createWireServer(options: WireServerOptions): WireServer {
  return new Host(options);
}

class Host implements WireServer {
  readonly #options: WireServerOptions;
  readonly #connections = new Set<ServerConnection>();
  /** Of every open socket, Node's too. */
  readonly #outflows = new Map<Socket, Outflow>();
  readonly #nodes: unknown[];
  #timer: NodeJS.Timeout | null = null;

  constructor(options: WireServerOptions) {
    this.#options = options;
    const { http } = options;
    const event = http instanceof TlsServer ? 'secureConnection' : 'connection';
    this.#nodes = http.listeners(event);
    http.removeAllListeners(event);
    http.on(event, (socket: Socket) => this.#accept(socket));
  }

  get headTimeoutMs(): number {
    return this.#options.http.headersTimeout;
  }

  get requestTimeoutMs(): number {
    return this.#options.http.requestTimeout;
  }

  /** Returns whether the wire serves requests for this target. */
  takes(url: string): boolean {
    const { under, except } = this.#options.targets;
    return url.startsWith(under) && !url.startsWith(except);
  }

  handle(exchange: ServerExchange): void {
    this.#options.handler.handle(exchange);
  }

  /** Gives a connection to `node:http`. */
  toNode(socket: Socket): void {
    for (const listener of this.#nodes) {
      if (typeof listener === 'function') Reflect.apply(listener, this.#options.http, [socket]);
    }
  }

  /** Responds, if that is possible, and ends the connection. */
  refuse(code: string, socket: Socket): void {
    const error = Object.assign(new Error(`the request is no HTTP: ${code}`), { code });
    if (this.#options.http.emit('clientError', error, socket)) return;
    if (socket.writable) socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    socket.destroy(error);
  }

  /** The connection has ended, or is Node's now. */
  forget(connection: ServerConnection): void {
    this.#connections.delete(connection);
  }

  closeIdleConnections(): void {
    for (const connection of this.#connections) if (connection.idle) connection.socket.destroy();
  }

  closeAllConnections(): void {
    for (const connection of this.#connections) connection.socket.destroy();
  }

  #accept(socket: Socket): void {
    if (this.#timer === null) {
      const { sweepMs = SWEEP_MS, stallMs = Number.POSITIVE_INFINITY } = this.#options;
      this.#timer = setInterval(() => this.#sweep(), Math.min(sweepMs, stallMs / 8));
      this.#timer.unref();
    }
    this.#outflows.set(socket, new Outflow());
    socket.once('close', () => this.#closed(socket));
    this.#connections.add(new ServerConnection(this, socket));
  }

  #closed(socket: Socket): void {
    this.#outflows.delete(socket);
    if (this.#outflows.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }

  #sweep(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.sweep(nowMs);
    const { stallMs = Number.POSITIVE_INFINITY } = this.#options;
    for (const [socket, outflow] of this.#outflows) {
      if (outflow.stalledMs(socket, nowMs) >= stallMs) reset(socket);
    }
  }
}

/**
 * One connection of a client. Owns: reading its requests one after another, deadlines, and what the wire serves itself.
 * Whatever is unusual it hands to `node:http` unread, so that Node decides about it, as about all that is no HTTP.
 */
class ServerConnection implements Line {
  readonly socket: Socket;
  readonly #host: Host;
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

  constructor(host: Host, socket: Socket) {
    this.#host = host;
    this.socket = socket;
    this.#deadlineMs = performance.now() + host.headTimeoutMs;
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
    // What a client writes after its last response, perhaps the whole of a large body, is not read any more.
    if (this.#isClosed) freeMemory(bytes);
    else if (this.#requestDone || this.#waitingBytes > 0) this.#wait(bytes);
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
    }
    const before = exchange.received;
    exchange.pushAll(bytes, bodyFound(), isNew || parser.messageComplete);
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
    else if (isNew || exchange.isStream) this.#deadlineMs = performance.now() + this.#host.requestTimeoutMs;
    if (isNew) this.#host.handle(exchange);
  }

  /** Returns the exchange that begins with the head that these bytes complete; null: they do not, or it is not ours. */
  #begin(bytes: Buffer, error: string | null): ServerExchange | null {
    const parser = this.#parser;
    if (!parser.headComplete) {
      if (error !== null || this.#headBytes + bytes.length > MAX_HEAD_BYTES) this.#handOver(bytes);
      else if (parser.begun) {
        if (this.#headBytes === 0) this.#deadlineMs = performance.now() + this.#host.headTimeoutMs;
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
      if (this.#requestDone) this.socket.destroySoon();
      else linger(this.socket);
    } else if (this.#requestDone) this.#nextRequest();
    // The rest of the request is of no use.
    else this.#deadlineMs = Math.min(this.#deadlineMs, performance.now() + DISCARD_MS);
    exchange.over(true);
  }

  #nextRequest(): void {
    this.#exchange = null;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#deadlineMs = performance.now() + KEEP_ALIVE_MS + IDLE_MARGIN_MS;
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
