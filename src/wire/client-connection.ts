/**
 * One connection to the upstream and the call that it carries. Owns: opening it (TLS verified, by name, HTTP/1.1 only),
 * reading responses, deadlines, and when the connection may carry another call. What a response is, llhttp decides.
 */
import { isIP, type OnReadOpts, type Socket, connect as tcpConnect } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { mayHaveStrayBody, Parser, piecesOf, record, saysClose, writeTogether } from './message.ts';
import { sendAsItComes, writeSlices } from './slices.ts';
import type { BodySource, UpstreamFailure, UpstreamHandler, UpstreamOptions } from './upstream.ts';

/** How long an idle connection is kept when the server does not say. As undici. */
const IDLE_MS = 4000;
const EVENT_STREAM = 'text/event-stream';
/** Taken off the time that the server says, so that it is not the one to close first. As undici. */
const IDLE_MARGIN_MS = 2000;
const IDLE_MAX_MS = 600_000;

/** The connection that carries a call. */
export interface Carrier {
  abort(): void;
  pause(): void;
  resume(): void;
}

/** A call as its connection needs it. */
export interface CarriedCall {
  readonly handler: UpstreamHandler;
  readonly head: string;
  readonly body: Buffer | null;
  /** Of a body that is sent slice by slice, instead of `body`. */
  readonly pieces: readonly Buffer[] | null;
  /** Of a body that is sent as it comes, instead of both. */
  readonly source: BodySource | null;
  readonly reusable: boolean;
  carrier: Carrier | null;
  /** Its bytes were written, or will not be. */
  forgetRequest(): void;
  fail(failure: UpstreamFailure, error: Error): void;
  succeed(): void;
}

/** What keeps the connections. */
export interface Pool {
  readonly options: UpstreamOptions;
  connected(connection: ClientConnection): void;
  /** The connection has done its call and can carry another one. */
  released(connection: ClientConnection): void;
  /** The connection has ended; with an error if it never began. */
  gone(connection: ClientConnection, connectError: Error | null): void;
}

export class ClientConnection implements Carrier {
  readonly #pool: Pool;
  readonly #socket: Socket;
  readonly #plain: boolean;
  readonly #parser = new Parser('response');
  #connected = false;
  #gone = false;
  #call: CarriedCall | null = null;
  /** A large body is on its way. */
  #sending = false;
  /** When the connection is too old, or its call too late. */
  #deadlineMs: number;
  /** What has come of a head that is not complete. */
  #headPieces: Buffer[] = [];
  #headGiven = false;
  /** After this response the connection can be used again, for so long. */
  #reusable = false;
  #idleMs = IDLE_MS;
  #paused = false;
  /** What came while it was paused. */
  #held: Buffer[] = [];
  /** The response has ended, but not all of it was handed on. */
  #heldEnd = false;

  constructor(pool: Pool, connect: (receive: Receive) => Connecting) {
    this.#pool = pool;
    this.#deadlineMs = performance.now() + pool.options.connectTimeoutMs;
    const { socket, readyEvent } = connect((bytes, own) => this.#receive(bytes, own));
    this.#socket = socket;
    this.#plain = readyEvent === 'connect';
    socket.once(readyEvent, () => this.#begin());
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#broken(error));
    socket.on('close', () => this.#broken(new Error('the upstream closed the connection')));
  }

  get busy(): boolean {
    return this.#call !== null;
  }

  /** Returns whether an idle connection may be used: the server has not closed it and will not soon. */
  isFresh(): boolean {
    return !this.#gone && this.#socket.writable && performance.now() < this.#deadlineMs;
  }

  /** Sends the call. From here on it is not `unreachable` any more. */
  start(call: CarriedCall): void {
    this.#call = call;
    call.carrier = this;
    this.#headGiven = false;
    this.#reusable = false;
    this.#expect(this.#pool.options.headersTimeoutMs);
    const { head, body, pieces, source } = call;
    // The call lasts as long as its response; its request need not.
    call.forgetRequest();
    writeTogether(this.#socket, this.#plain, head, body, '');
    if (source !== null) this.#sendOn(call, source);
    if (pieces === null) return;
    this.#sending = true;
    writeSlices(this.#socket, pieces, () => {
      this.#sending = false;
      call.handler.onSent?.();
    });
  }

  /** Sends a body as it comes. Another call may be on the connection by the time that its sender learns of the end of this one. */
  #sendOn(call: CarriedCall, source: BodySource): void {
    this.#sending = true;
    sendAsItComes(this.#socket, source, {
      isOver: () => this.#gone || this.#call !== call,
      onPiece: () => this.#expect(this.#pool.options.headersTimeoutMs),
      onSent: () => {
        this.#sending = false;
      },
      onFailure: () => this.abort(),
    });
  }

  abort(): void {
    this.#end('interrupted', new Error('the call was aborted'));
  }

  pause(): void {
    if (this.#paused || this.#call === null) return;
    this.#paused = true;
    this.#expect(this.#pool.options.pausedTimeoutMs);
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#expect(this.#pool.options.bodyTimeoutMs);
    const held = this.#held;
    this.#held = [];
    const ended = this.#heldEnd;
    this.#heldEnd = false;
    this.#socket.resume();
    const all = this.#hand(held) && !this.#paused;
    if (!ended || this.#gone) return;
    if (all) this.#complete();
    else this.#heldEnd = true;
  }

  destroy(): void {
    this.#end('interrupted', new Error('the client closed the connection'));
  }

  /** Ends what has passed its deadline. */
  sweep(nowMs: number): void {
    if (this.#deadlineMs === 0 || nowMs < this.#deadlineMs) return;
    if (this.#paused) this.#end('interrupted', new Error('the response was not taken in time'));
    else if (this.#call) this.#end('timeout', new Error('the upstream did not respond in time'));
    else
      this.#end('interrupted', new Error(this.#connected ? 'idle' : 'no connection to the upstream in time'));
  }

  #begin(): void {
    if (this.#gone) return;
    this.#connected = true;
    this.#deadlineMs = performance.now() + IDLE_MS;
    this.#pool.connected(this);
  }

  /** Sets the deadline; 0: none. */
  #expect(timeoutMs: number): void {
    this.#deadlineMs = timeoutMs === 0 ? 0 : performance.now() + timeoutMs;
  }

  #receive(bytes: Buffer, own: boolean): void {
    let rest = bytes;
    while (rest.length > 0 && !this.#gone) {
      const call = this.#call;
      if (call === null || this.#heldEnd) {
        // Bytes that belong to no call would be taken for the response to the next one.
        if (call === null)
          this.#end('interrupted', new Error('the upstream sent bytes that nothing asked for'));
        else this.#reusable = false;
        return;
      }
      const error = this.#parser.execute(rest);
      const { consumed } = this.#parser;
      this.#found(call, rest, own);
      if (this.#gone) return;
      if (error !== null) {
        this.#end('interrupted', new Error(`the upstream's response is no HTTP: ${error}`));
        return;
      }
      if (!this.#parser.messageComplete) {
        if (this.#call === call && !this.#paused) this.#expectMore();
        return;
      }
      if (!this.#headGiven) {
        this.#parser.next();
        rest = rest.subarray(consumed);
        continue;
      }
      rest = rest.subarray(consumed);
      if (this.#held.length > 0 || this.#paused) this.#heldEnd = true;
      else this.#complete();
    }
  }

  /** A byte of the body restarts its clock, one of a head that trickles in does not. */
  #expectMore(): void {
    if (this.#headGiven) this.#expect(this.#pool.options.bodyTimeoutMs);
  }

  /** Hands on what one run of the parser found. */
  #found(call: CarriedCall, bytes: Buffer, own: boolean): void {
    const parser = this.#parser;
    const pieces = piecesOf(bytes, own);
    if (!this.#headGiven) {
      if (!parser.headComplete) {
        if (parser.begun) this.#headPieces.push(own ? bytes : Buffer.from(bytes));
        return;
      }
      if (!this.#giveHead(call, bytes)) return;
    }
    if (pieces !== null) this.#hand(pieces);
  }

  /** Returns false when there is nothing more to hand on. */
  #giveHead(call: CarriedCall, bytes: Buffer): boolean {
    const parser = this.#parser;
    const head = this.#headPieces.length === 0 ? bytes : Buffer.concat([...this.#headPieces, bytes]);
    this.#headPieces = [];
    const raw = parser.headers(head.toString('latin1', 0, parser.headEnd));
    const { status } = parser;
    if (parser.upgrade || status === 101 || status < 100) {
      this.#end('interrupted', new Error(`the upstream responded with ${status}, which ends no call`));
      return false;
    }
    // Informational: the real one follows.
    if (status < 200) return false;
    this.#headGiven = true;
    const headers = record(raw);
    this.#reusable =
      call.reusable && parser.keepAlive && !saysClose(headers) && !mayHaveStrayBody(status, headers);
    if (this.#pool.options.closesAfterStreams && String(headers['content-type']).startsWith(EVENT_STREAM))
      this.#reusable = false;
    this.#idleMs = idleMs(headers['keep-alive']);
    try {
      call.handler.onHeaders(status, headers);
    } catch (error) {
      this.#end('interrupted', error instanceof Error ? error : new Error(String(error)));
    }
    return !this.#gone;
  }

  /** Returns whether all of it was handed on. */
  #hand(pieces: readonly Buffer[]): boolean {
    const call = this.#call;
    try {
      for (const piece of pieces) {
        if (this.#gone || call === null) return false;
        if (this.#paused) this.#held.push(piece);
        else call.handler.onData(piece);
      }
    } catch (error) {
      this.#end('interrupted', error instanceof Error ? error : new Error(String(error)));
    }
    return !this.#gone && this.#held.length === 0;
  }

  /** The response was handed on to its end. */
  #complete(): void {
    const call = this.#call;
    if (call === null) return;
    const isSent = !this.#sending && this.#socket.writableLength === 0;
    const reusable = this.#reusable && this.#idleMs > 0 && this.#socket.writable && isSent;
    this.#call = null;
    if (reusable) {
      this.#parser.next();
      this.#deadlineMs = performance.now() + this.#idleMs;
      this.#pool.released(this);
    } else this.#end('interrupted', new Error('the response was the last one of its connection'));
    call.succeed();
  }

  /** The server will send no more: that is how a response without a length ends. */
  #ended(): void {
    if (this.#gone || this.#heldEnd) return;
    if (this.#call && this.#headGiven && this.#parser.finish()) {
      this.#reusable = false;
      if (this.#held.length > 0 || this.#paused) this.#heldEnd = true;
      else this.#complete();
    } else this.#broken(new Error('the upstream closed the connection'));
  }

  #broken(error: Error): void {
    // The response is here already, to its end.
    if (this.#heldEnd) this.#reusable = false;
    else this.#end('interrupted', error);
  }

  /** The end of the connection, and of the call that it carries. */
  #end(failure: UpstreamFailure, error: Error): void {
    if (this.#gone) return;
    this.#gone = true;
    const call = this.#call;
    this.#call = null;
    this.#parser.free();
    this.#socket.destroy();
    this.#pool.gone(this, this.#connected ? null : error);
    call?.fail(failure, error);
  }
}

/** Returns how long the connection may be idle, by the server's `Keep-Alive` header. 0: not at all. */
function idleMs(header: string | string[] | undefined): number {
  const timeout = header === undefined ? null : /(?:^|,)[\t ]*timeout=(\d+)/i.exec(String(header));
  if (timeout === null) return IDLE_MS;
  return Math.min(Math.max(Number(timeout[1]) * 1000 - IDLE_MARGIN_MS, 0), IDLE_MAX_MS);
}

/** How long a connection may be silent before the kernel asks whether the other side still lives. */
const KEEP_ALIVE_MS = 60_000;

const READ_BYTES = 64 * 1024;

export interface Connecting {
  socket: Socket;
  /** The event that says that bytes can be sent. */
  readyEvent: 'connect' | 'secureConnect';
}

/** Takes bytes as they arrive; what they lie in is used again afterwards when they are not its `own`. */
export type Receive = (bytes: Buffer, own: boolean) => void;

/** One read buffer for all connections: its bytes are used up before the next read. */
const shared = Buffer.allocUnsafeSlow(READ_BYTES);

/** Returns a function that begins to open a connection to the URL's origin. */
export function connector(url: URL): (receive: Receive) => Connecting {
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  return secure ? tlsConnector(host, port) : tcpConnector(host, port);
}

function tcpConnector(host: string, port: number): (receive: Receive) => Connecting {
  return (receive) => {
    const socket = tcpConnect({ host, port, noDelay: true, onread: readInto(receive) });
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Without this the stream never ends, though no data goes through it.
    socket.resume();
    return { socket, readyEvent: 'connect' };
  };
}

function readInto(receive: Receive): OnReadOpts {
  // Windows begins a read with the buffer in hand: there each connection needs its own.
  const buffer = process.platform === 'win32' ? Buffer.allocUnsafeSlow(READ_BYTES) : shared;
  return {
    buffer,
    callback(length) {
      receive(buffer.subarray(0, length), false);
      return true;
    },
  };
}

function tlsConnector(host: string, port: number): (receive: Receive) => Connecting {
  // An address is no name that a server could be asked for (RFC 6066, section 3); the certificate is still checked.
  const servername = isIP(host) === 0 ? host : undefined;
  let session: Buffer | undefined;
  return (receive) => {
    const socket = tlsConnect({ host, port, servername, session, ALPNProtocols: ['http/1.1'] });
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('session', (ticket) => {
      session = ticket;
    });
    socket.on('data', (bytes: Buffer) => receive(bytes, true));
    return { socket, readyEvent: 'secureConnect' };
  };
}
