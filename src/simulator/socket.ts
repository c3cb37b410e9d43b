/**
 * The API's WebSockets: `/v1/responses`, and `/v1/realtime` with its transcriptions and translations. A handshake is refused
 * as a request would be. Each response and each transcription leaves a line of its own, before its first event.
 */
import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket, WebSocketServer } from 'ws';
import { type AzureError, fromAzure } from './azure.ts';
import { chooseFault, type Directives, readDirectives } from './directives.ts';
import { type ApiError, errorBody, invalidRequest, isApiError, unknownUrl } from './errors.ts';
import { type ApiState, count, newEntry } from './exchange.ts';
import type { Fault } from './faults.ts';
import { isObject, type JsonObject } from './fields.ts';
import type { InvoiceLine, LineEntry } from './invoice.ts';
import { checkApiKey } from './keys.ts';
import type { Mode } from './profile.ts';
import { type Random, seededRandom } from './random.ts';

/** As `input_audio_buffer.append` is documented: 15 MiB, in base64 and JSON. */
const MAX_MESSAGE_BYTES = 24 * 1024 * 1024;

/** Serves one socket; returns the error of a handshake that asks for what there is not. */
export type Serve = (session: Session) => ApiError | null;

/** What is billed apart: one response or transcription of a socket. */
export interface Work {
  key: string;
  random: Random;
  entry: LineEntry;
  directives: Directives;
  fault: Fault | null;
}

/** One open socket. */
export class Session {
  readonly state: ApiState;
  readonly request: IncomingMessage;
  readonly search: URLSearchParams;
  readonly directives: Directives;
  readonly key: string;
  #socket: WebSocket | null = null;
  #count = 0;
  readonly #onClose = new Set<() => void>();
  onOpen: () => void = () => {};
  onMessage: (message: JsonObject) => void = () => {};
  /** Called with a message that cannot be read. */
  onInvalid: (error: ApiError) => void = () => {};
  /** Called at the end of its time. */
  onExpired: () => void = () => {};

  constructor(state: ApiState, request: IncomingMessage, directives: Directives) {
    const header = request.headers['x-client-request-id'];
    state.requestCount++;
    this.state = state;
    this.request = request;
    this.search = new URLSearchParams((request.url ?? '').split('?', 2)[1]);
    this.directives = directives;
    this.key = typeof header === 'string' ? header : `#${state.requestCount}`;
  }

  modeOf({ directives }: Work): Mode {
    return directives.mode ?? this.state.mode;
  }

  get isOpen(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Returns what takes it back. */
  onClose(act: () => void): () => void {
    this.#onClose.add(act);
    return () => this.#onClose.delete(act);
  }

  open(socket: WebSocket): void {
    this.#socket = socket;
    const keyId = newEntry(this.state, this.request, () => 0).api_key_id ?? 'none';
    count(this.state.inFlight, keyId, 1);
    const expiry = setTimeout(() => {
      this.onExpired();
      this.close(1000, '');
    }, this.state.profile.sessionMs).unref();
    socket.on('close', () => {
      clearTimeout(expiry);
      count(this.state.inFlight, keyId, -1);
      for (const act of this.#onClose) act();
    });
    // What breaks is the client's affair.
    socket.on('error', () => {});
    socket.on('message', (data) => this.#read(data));
    this.onOpen();
  }

  #read(data: RawData): void {
    let message: unknown;
    try {
      message = JSON.parse(String(data));
    } catch {
      message = null;
    }
    if (isObject(message)) this.onMessage(message);
    else this.onInvalid(invalidRequest('Invalid JSON in the message.', null, 'invalid_json'));
  }

  send(event: object): void {
    if (this.isOpen) this.#socket?.send(JSON.stringify(event));
  }

  close(code: number, reason: string): void {
    this.#socket?.close(code, reason);
  }

  /** Ends the connection without a word. */
  cut(): void {
    this.#socket?.terminate();
  }

  /** `directives`: those of the message, beside the socket's own. */
  begin(operation: string, directives: Directives = {}): Work {
    this.#count++;
    const key = `${this.key}/${this.#count}`;
    this.state.requestCount++;
    const random = seededRandom(this.state.seed, key);
    const entry = { ...newEntry(this.state, this.request, random), operation };
    const all = { ...this.directives, ...directives };
    const fault = chooseFault(all, this.state.profile, seededRandom(this.state.seed, `fault ${key}`));
    return { key, random, entry, directives: all, fault };
  }

  /** Writes the line of a piece of work. `status`: as if it were a request of its own. */
  bill({ entry, fault }: Work, status: number | null, costPicoUsd: bigint): InvoiceLine {
    return this.state.invoice.add({ ...entry, status, fault: fault?.name ?? null }, costPicoUsd);
  }

  /**
   * Sends events at the pace of the profile and the work's fault. `send` returns false to stop; `done` is called after the last.
   * Returns what stops it.
   */
  pace(work: Work, events: number, send: (at: number) => void, done: () => void): () => void {
    const { profile } = this.state;
    const slow = work.fault?.name === 'slow_chunks' ? profile.slowChunkMs : 0;
    const writingMs =
      profile.outputTokensPerSecond > 0
        ? (1000 * work.entry.usage.output_tokens) / profile.outputTokensPerSecond
        : 0;
    const eventMs =
      Math.max(slow, work.directives.chunkMs ?? profile.chunkMs) + Math.ceil(writingMs / Math.max(1, events));
    const slowFirst = work.fault?.name === 'slow_first_byte' ? profile.slowFirstByteMs : 0;
    const firstMs = Math.max(slowFirst, work.directives.firstByteMs ?? profile.firstByteMs);
    let timer: NodeJS.Timeout | undefined;
    let isStopped = false;
    let next = 0;
    const step = (): void => {
      while (next < events) {
        if (isStopped || !this.isOpen) return;
        send(next++);
        if (eventMs > 0 && next < events) {
          timer = setTimeout(step, eventMs).unref();
          return;
        }
      }
      if (!isStopped) done();
    };
    if (firstMs > 0) timer = setTimeout(step, firstMs).unref();
    else step();
    return () => {
      isStopped = true;
      clearTimeout(timer);
    };
  }
}

/** Returns what handles the upgrades of a server; `surfaces` by path. */
export function socketServer(
  state: ApiState,
  surfaces: Readonly<Record<string, Serve>>,
): { upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void; close: () => void } {
  const server = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => {});
    const opened = openSession(state, surfaces, request);
    if (opened instanceof Session)
      server.handleUpgrade(request, socket, head, (webSocket) => opened.open(webSocket));
    else refuse(socket, opened.status, 'body' in opened ? opened.body : errorBody(opened));
  };
  const close = (): void => {
    for (const client of server.clients) client.terminate();
  };
  return { upgrade, close };
}

function openSession(
  state: ApiState,
  surfaces: Readonly<Record<string, Serve>>,
  request: IncomingMessage,
): Session | ApiError | AzureError {
  if (state.deployments !== null && request.url?.startsWith('/openai/')) {
    const read = fromAzure(request, Buffer.alloc(0), state.deployments);
    if (!Buffer.isBuffer(read)) return read;
  }
  const path = (request.url ?? '').replace(/\?.*/s, '');
  const serve = Object.hasOwn(surfaces, path) ? surfaces[path] : undefined;
  const directives = readDirectives(request.headers['x-simulator']);
  const error = checkApiKey(request.headers.authorization, state.keys);
  if (error) return error;
  if (serve === undefined) return unknownUrl('GET', path);
  if (isApiError(directives)) return directives;
  const session = new Session(state, request, directives);
  return serve(session) ?? session;
}

function refuse(socket: Duplex, status: number, body: string): void {
  const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\ncontent-type: application/json\r\nconnection: close\r\n`;
  socket.end(`${head}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
