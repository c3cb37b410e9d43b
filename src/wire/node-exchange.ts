/** The same exchange over `node:http`, for requests that the wire leaves to it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { BodyEnd, BodyReader, Exchange } from './exchange.ts';
import { DISCARD_MS } from './outflow.ts';
import { TURN_BYTES } from './server-exchange.ts';

const EMPTY = Buffer.alloc(0);

/** Returns the exchange of a request that Node's server has read. */
export function nodeExchange(request: IncomingMessage, response: ServerResponse): Exchange {
  return new NodeExchange(request, response);
}

class NodeExchange implements Exchange {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly contentLength: number | null;
  onDrain: (() => void) | null = null;
  onClose: ((finished: boolean) => void) | null = null;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  #closes = false;
  #isHeld = false;
  /** The response is written, and ends with the request. */
  #lingers = false;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
    this.method = request.method ?? '';
    this.url = request.url ?? '';
    this.rawHeaders = request.rawHeaders;
    const isChunked = request.headers['transfer-encoding'] !== undefined;
    this.contentLength = isChunked ? null : Number(request.headers['content-length'] ?? 0);
    response.on('drain', () => this.onDrain?.());
    response.on('close', () => {
      const { onClose } = this;
      this.onClose = null;
      this.onDrain = null;
      onClose?.(response.writableFinished);
    });
  }

  get remoteAddress(): string {
    return this.#request.socket.remoteAddress ?? '';
  }

  get headersSent(): boolean {
    return this.#response.headersSent;
  }

  get ended(): boolean {
    return this.#response.writableEnded || this.#lingers;
  }

  header(name: string): string | undefined {
    const index = this.rawHeaders.findIndex((own, at) => at % 2 === 0 && own.toLowerCase() === name);
    return index === -1 ? undefined : this.rawHeaders[index + 1];
  }

  readBody(reader: BodyReader): void {
    const request = this.#request;
    const { maxBytes } = reader;
    let isDone = false;
    const deliver = (end: BodyEnd) => {
      if (isDone) return;
      isDone = true;
      reader.done(end);
    };
    // It left before: no event will come any more.
    if (request.destroyed) {
      deliver('gone');
      return;
    }
    let size = 0;
    let pauseAt = TURN_BYTES;
    let ending: BodyEnd = 'complete';
    let patience: NodeJS.Timeout | null = null;
    const discard = (end: BodyEnd) => {
      ending = end;
      patience = setTimeout(() => {
        deliver(end);
        // Once the response is written, which takes no more than this turn.
        setImmediate(() => request.socket.destroySoon());
      }, DISCARD_MS);
    };
    request.on('data', (piece: Buffer) => {
      size += piece.length;
      if (patience !== null || isDone) return;
      if (size > maxBytes) discard('too_large');
      else if (!reader.take(piece)) discard('refused');
      else if (size >= pauseAt) {
        // As in the wire's own exchange.
        pauseAt = size + TURN_BYTES;
        request.pause();
        setImmediate(() => {
          if (!this.#isHeld) request.resume();
        });
      }
    });
    request.on('end', () => deliver(ending));
    request.on('error', () => deliver('gone'));
    request.on('close', () => {
      if (patience !== null) clearTimeout(patience);
      deliver('gone');
    });
    if ((this.contentLength ?? 0) > maxBytes) discard('too_large');
  }

  pauseBody(): void {
    this.#isHeld = true;
    this.#request.pause();
  }

  resumeBody(): void {
    this.#isHeld = false;
    this.#request.resume();
  }

  writeHead(status: number, headers: readonly string[]): void {
    this.#response.writeHead(status, this.#closes ? [...headers, 'Connection', 'close'] : [...headers]);
  }

  write(bytes: Buffer): boolean {
    // Not flushHeaders() for the head alone: it writes what a header has beyond ASCII as UTF-8.
    return this.#response.destroyed || this.#response.writableEnded || this.#response.write(bytes);
  }

  end(bytes: Buffer = EMPTY): void {
    if (this.#response.destroyed || this.ended) return;
    this.#response.end(bytes);
  }

  respond(status: number, headers: readonly string[], body: Buffer): void {
    if (this.#response.destroyed) return;
    const kept = headers.filter((_, at) => headers[at - (at % 2)]?.toLowerCase() !== 'content-length');
    if (status !== 204 && status !== 304) kept.push('Content-Length', String(body.length));
    this.writeHead(status, kept);
    const isLast = this.#closes || !this.#response.shouldKeepAlive;
    if (isLast && !this.#request.complete) this.#linger(body);
    else this.end(body);
  }

  /** Node would close the connection with the response: a client that still writes gets no reset (outflow.ts). */
  #linger(body: Buffer): void {
    this.#lingers = true;
    const request = this.#request;
    this.#response.write(body);
    const end = () => this.#response.end();
    const patience = setTimeout(end, DISCARD_MS);
    request.once('close', () => {
      clearTimeout(patience);
      end();
    });
    request.resume();
  }

  destroy(): void {
    this.#response.destroy();
  }

  closeAfter(): void {
    this.#closes = true;
  }
}
