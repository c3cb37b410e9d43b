/**
 * The upstream's side of a session: its WebSocket. Owns: opening it, and how that fails. Does not own: what messages mean.
 * Invariants: no message is sent twice; `unreachable` means that none was sent.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import type { UpstreamHeaders } from '../../wire/upstream.ts';
import { WholeTexts } from './whole-texts.ts';

/** How an upstream's WebSockets are reached. Times are in milliseconds. */
export interface UpstreamSockets {
  /** Where its API lives, as for requests. */
  readonly baseUrl: string;
  readonly connectTimeoutMs: number;
  /** From a message to the first event of its response, and the longest silence after it. */
  readonly firstEventTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

/** Exactly one of `onRefused`, `onUnreachable` and `onClose` comes last. */
export interface UpstreamLineHandler {
  /** @param headers of its handshake */
  onOpen(headers: UpstreamHeaders): void;
  onMessage(text: Buffer): void;
  /** Its handshake ended in a response of HTTP. */
  onRefused(status: number, headers: UpstreamHeaders, body: Buffer): void;
  onUnreachable(error: Error): void;
  onClose(code: number, reason: string): void;
}

/** As long as the longest line of a stream that is metered. */
const MESSAGE_BYTES_MAX = 48 * 1024 * 1024;
const REFUSAL_BYTES_MAX = 1024 * 1024;
const CLOSE_TIMEOUT_MS = 5_000;
const TEXT = { binary: false } as const;
/** Of a request with a body; `ws` sets the handshake's own. */
const NOT_OF_HANDSHAKE = new Set(['content-type', 'accept-encoding']);

export class UpstreamLine {
  readonly #socket: WebSocket;
  readonly #handler: UpstreamLineHandler;
  #isOpen = false;
  #isOver = false;

  /**
   * @param path below the base URL
   * @param headers name, value, name, value …
   */
  constructor(
    { baseUrl, connectTimeoutMs }: UpstreamSockets,
    path: string,
    headers: readonly string[],
    handler: UpstreamLineHandler,
  ) {
    this.#handler = handler;
    // Not written out in the call: its types do not know all of them.
    const options = {
      headers: handshakeHeaders(headers),
      handshakeTimeout: connectTimeoutMs,
      perMessageDeflate: false,
      maxPayload: MESSAGE_BYTES_MAX,
      closeTimeout: CLOSE_TIMEOUT_MS,
    };
    const socket = new WebSocket(socketUrl(baseUrl) + path, options);
    this.#socket = socket;
    let responded: UpstreamHeaders = {};
    let stream: Socket | null = null;
    let texts: WholeTexts | null = null;
    const onText = (text: Buffer) => {
      if (!this.#isOver) handler.onMessage(text);
    };
    socket.on('upgrade', ({ headers: found, socket: under }) => {
      responded = found;
      stream = under;
    });
    socket.on('open', () => {
      this.#isOpen = true;
      if (stream !== null) texts = WholeTexts.of(stream, MESSAGE_BYTES_MAX, onText);
      handler.onOpen(responded);
    });
    socket.on('unexpected-response', (request, response) => {
      this.#refused(response, () => request.destroy());
    });
    socket.on('message', (data, isBinary) => {
      if (isBinary || !Buffer.isBuffer(data)) socket.terminate();
      else onText(data);
    });
    socket.on('error', (error) => {
      texts?.stop();
      if (this.#isOpen || this.#isOver) return;
      this.#isOver = true;
      handler.onUnreachable(error);
    });
    socket.on('close', (code, reason) => {
      if (this.#isOver) return;
      this.#isOver = true;
      handler.onClose(code, reason.toString());
    });
  }

  send(text: Buffer): void {
    this.#socket.send(text, TEXT);
  }

  /** Bytes that were sent, and have not left yet. */
  get unsentBytes(): number {
    return this.#socket.bufferedAmount;
  }

  /** No more messages are handed on, and read, until `resume`; those that were read already still come. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.close(1000);
  }

  /** Breaks the connection. Nothing is handed on any more, but `onClose` now. */
  terminate(): void {
    this.#socket.terminate();
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onClose(1006, '');
  }

  #refused(response: IncomingMessage, destroy: () => void): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const done = () => {
      destroy();
      if (this.#isOver) return;
      this.#isOver = true;
      const { statusCode = 502, headers } = response;
      // One that follows no redirect takes it for an error.
      const status = statusCode < 400 ? 502 : statusCode;
      this.#handler.onRefused(status, headers, Buffer.concat(chunks));
    };
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= REFUSAL_BYTES_MAX) chunks.push(chunk);
      else done();
    });
    response.on('end', done);
    response.on('error', done);
  }
}

/** Returns the same address as `ws` or `wss`. */
function socketUrl(baseUrl: string): string {
  return baseUrl.replace(/^http/, 'ws').replace(/\/+$/, '');
}

function handshakeHeaders(headers: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = headers[at] ?? '';
    if (!NOT_OF_HANDSHAKE.has(name)) found[name] = headers[at + 1] ?? '';
  }
  return found;
}
