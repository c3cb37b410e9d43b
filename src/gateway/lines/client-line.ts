/**
 * The client's side of a session: its WebSocket. Owns: what a message may be, the memory that it takes on its way in, when it was
 * last heard of, and the codes with which it is closed. Does not own: what messages mean (the sessions), how long it may last
 * (lines.ts), readers that take nothing (wire/server.ts ends those as on every connection).
 */
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import type { Account } from '../../domain/budget.ts';
import type { ApiError } from '../../domain/errors.ts';
import type { Bodies } from '../bodies.ts';
import { noMemory } from '../bodies.ts';

/** Of a message on its way so much is not counted: nearly all messages are smaller. */
const UNCOUNTED_BYTES = 64 * 1024;
/** Servers and proxies in between end connections on which nothing moves, some after a minute. */
const PING_EVERY_MS = 30_000;

/** A client that does not take what it is sent is not listened to beyond this: every message has a response. */
const UNREAD_BYTES_MAX = 1024 * 1024;

const TEXT = { binary: false } as const;
/** A longer message is not copied to stand behind its head, but written by `ws`, in two pieces. */
const COPIED_BYTES = 16 * 1024;
/** The first byte of a message that is text and stands in one frame (RFC 6455, section 5.2). */
const WHOLE_TEXT = 0x81;
/** Up to this length it stands in the head's second byte, beyond in two bytes more. */
const SHORT_BYTES = 125;
const TWO_BYTES_FOLLOW = 126;
const HEAD_BYTES_MAX = 4;

/** What is kept of the request that became the session. */
export interface LineHead {
  readonly url: string;
  /** Name, value, name, value …, as received. */
  readonly rawHeaders: readonly string[];
  readonly remoteAddress: string;
}

/** How a line is closed: a code of RFC 6455 (section 7.4) with its reason, and what is sent before. */
export interface LineEnd {
  readonly code: number;
  readonly reason: string;
  /** Null: nothing. */
  readonly last: Buffer | null;
}

/** What takes what comes on a line. */
export interface LineHandler {
  /** Takes a whole message of the client. */
  onMessage(text: Buffer): void;
  /** The client reads again, after `send` returned false. */
  onDrain(): void;
  /** The client is gone. */
  onClose(): void;
}

export interface ClientLineOptions {
  readonly head: LineHead;
  /** As it was when the session began. */
  readonly account: Account;
  readonly bodies: Bodies;
  /** Renders an error that is sent before the line is closed. */
  errorEvent(error: ApiError): Buffer;
}

export class ClientLine {
  readonly head: LineHead;
  readonly account: Account;
  readonly startedMs = performance.now();
  /** When the client sent a message last. */
  lastMs = this.startedMs;
  readonly #options: ClientLineOptions;
  readonly #socket: WebSocket;
  readonly #stream: Socket;
  #pingedMs = this.startedMs;
  /** Messages of this turn: an upstream's events come several at a time, and leave in one write. */
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  /** Bytes since the last whole message, and those of them for which memory was taken. */
  #arriving = 0;
  #taken = 0;

  constructor(socket: WebSocket, stream: Socket, options: ClientLineOptions) {
    this.#socket = socket;
    this.#stream = stream;
    this.#options = options;
    this.head = options.head;
    this.account = options.account;
  }

  /** To be called once: what comes goes to the handler. */
  attach(handler: LineHandler): void {
    this.#socket.on('message', (data, isBinary) => this.#onMessage(handler, data, isBinary));
    // Its socket closes with the code that fits; 'close' follows.
    this.#socket.on('error', () => {});
    this.#socket.once('close', () => {
      this.#giveBack();
      handler.onClose();
    });
    this.#stream.on('drain', () => {
      if (this.isOpen && this.#socket.isPaused) this.#socket.resume();
      handler.onDrain();
    });
    // Before the parser: a message is whole when the parser has seen these bytes.
    this.#stream.prependListener('data', (bytes: Buffer) => this.#onBytes(bytes.length));
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Sends a message. Returns false when the client reads too slowly: the handler's `onDrain` follows. */
  send(text: Buffer): boolean {
    if (!this.isOpen) return true;
    if (text.length > COPIED_BYTES) {
      this.flush();
      this.#socket.send(text, TEXT);
    } else {
      this.#unsentBytes += text.length;
      if (this.#unsent.push(text) === 1) process.nextTick(flush, this);
    }
    return !this.#stream.writableNeedDrain && this.#unsentBytes < this.#stream.writableHighWaterMark;
  }

  /** Closes the line, after what was sent. */
  close({ code, reason, last }: LineEnd): void {
    if (last !== null) this.send(last);
    this.flush();
    this.#socket.close(code, reason);
  }

  /** Breaks the connection. */
  terminate(): void {
    this.#socket.terminate();
  }

  /** @param nowMs on the monotonic clock */
  keepAlive(nowMs: number): void {
    if (nowMs - Math.max(this.lastMs, this.#pingedMs) < PING_EVERY_MS || !this.isOpen) return;
    this.#pingedMs = nowMs;
    this.#socket.ping();
  }

  /** Writes the frames of this turn as one buffer. `ws`, which has nothing on the way meanwhile, would write head and text of each apart. */
  flush(): void {
    if (this.#unsent.length === 0) return;
    const texts = this.#unsent;
    const frames = Buffer.allocUnsafe(this.#unsentBytes + HEAD_BYTES_MAX * texts.length);
    this.#unsent = [];
    this.#unsentBytes = 0;
    if (!this.isOpen) return;
    let end = 0;
    for (const text of texts) end = writeFrame(frames, end, text);
    this.#stream.write(frames.subarray(0, end));
  }

  #onMessage(handler: LineHandler, data: RawData, isBinary: boolean): void {
    this.lastMs = performance.now();
    this.#giveBack();
    if (isBinary || !Buffer.isBuffer(data))
      this.close({ code: 1003, reason: 'messages are text', last: null });
    else handler.onMessage(data);
  }

  #onBytes(length: number): void {
    this.#arriving += length;
    if (this.#stream.writableLength > UNREAD_BYTES_MAX) this.#socket.pause();
    const { bodies, account, errorEvent } = this.#options;
    const more = this.#arriving - UNCOUNTED_BYTES - this.#taken;
    if (more <= 0) return;
    const { teamId, keyId } = account.principal;
    // In steps, so that small pieces cost no more.
    const step = Math.max(more, UNCOUNTED_BYTES);
    const shortage = bodies.take(teamId, keyId, step);
    if (shortage === null) {
      this.#taken += step;
      return;
    }
    const last = errorEvent(noMemory(shortage, bodies));
    this.close({ code: 1013, reason: 'no memory for this message now', last });
    // The rest of it would be kept all the same.
    this.#stream.pause();
  }

  #giveBack(): void {
    this.#arriving = 0;
    if (this.#taken === 0) return;
    const { teamId, keyId } = this.account.principal;
    this.#options.bodies.giveBack(teamId, keyId, this.#taken);
    this.#taken = 0;
  }
}

function flush(line: ClientLine): void {
  line.flush();
}

/** Writes a text's frame at `at`; returns where it ends. */
function writeFrame(frames: Buffer, at: number, text: Buffer): number {
  const { length } = text;
  let end = at;
  frames[end++] = WHOLE_TEXT;
  if (length <= SHORT_BYTES) frames[end++] = length;
  else {
    frames[end++] = TWO_BYTES_FOLLOW;
    end = frames.writeUInt16BE(length, end);
  }
  return end + text.copy(frames, end);
}
