/**
 * An upstream's `/responses` on a WebSocket, as the stages know an upstream: a call is one `response.create`, its response a stream of
 * server-sent events. Owns: the connection, whose event is whose, deadlines. Invariants: a call ends in exactly one way; of one that
 * is `unreachable` no byte was sent; a connection that may still carry events of a call that was given up is not used again.
 */
import { isObject, parseJson } from '../../openai/body.ts';
import type {
  Upstream,
  UpstreamCall,
  UpstreamFailure,
  UpstreamHandler,
  UpstreamHeaders,
  UpstreamRequest,
} from '../../wire/upstream.ts';
import { asServerSent } from './message-exchange.ts';
import { UpstreamLine, type UpstreamLineHandler, type UpstreamSockets } from './upstream-line.ts';

/** What the session learns of its connection. */
export interface ConnectionOwner {
  /** An event of no call that is under way. */
  onStray(text: Buffer): void;
  /** The connection has ended; the calls that it carried have too. */
  onClosed(code: number, reason: string): void;
}

/** The API writes an event's type first. */
const TYPE_WITHIN_BYTES = 96;
const TYPE_START = '{"type":"';
const LAST_EVENTS = new Set(['response.completed', 'response.incomplete', 'response.failed', 'error']);

/** Returns the `type` of an event; empty: it has none. */
export function typeOf(text: Buffer): string {
  const start = text.toString('latin1', 0, TYPE_WITHIN_BYTES);
  const end = start.indexOf('"', TYPE_START.length);
  if (start.startsWith(TYPE_START) && end !== -1) return start.slice(TYPE_START.length, end);
  const event = parseJson(text.toString());
  return isObject(event) && typeof event.type === 'string' ? event.type : '';
}

/** How most events of a response begin; none of its last ones. */
const OUTPUT_START = Buffer.from(`${TYPE_START}response.output_`);

function isOutput(text: Buffer): boolean {
  for (let at = 0; at < OUTPUT_START.length; at++) if (text[at] !== OUTPUT_START[at]) return false;
  return true;
}

const STREAM_ID = Buffer.from('"stream_id"');
/** A longer message is not read here for the name of its lane. */
const READ_BYTES_MAX = 1024 * 1024;

/** Returns the lane that a message names; null: none. */
export function laneOf(text: Buffer): string | null {
  if (!text.includes(STREAM_ID) || text.length > READ_BYTES_MAX) return null;
  const message = parseJson(text.toString());
  return isObject(message) && typeof message.stream_id === 'string' ? message.stream_id : null;
}

/** One response under way. */
class SocketCall implements UpstreamCall {
  readonly handler: UpstreamHandler;
  readonly lane: string | null;
  /** Null: it was sent. */
  body: Buffer | null;
  /** Since when the upstream is silent. */
  sinceMs = performance.now();
  hasHead = false;
  isPaused = false;
  isOver = false;
  readonly #upstream: ResponseUpstream;

  constructor(upstream: ResponseUpstream, handler: UpstreamHandler, body: Buffer) {
    this.#upstream = upstream;
    this.handler = handler;
    this.body = body;
    this.lane = laneOf(body);
  }

  abort(): void {
    this.#upstream.abort(this);
  }

  pause(): void {
    this.isPaused = true;
    this.#upstream.paused();
  }

  resume(): void {
    this.isPaused = false;
    this.sinceMs = performance.now();
    this.#upstream.paused();
  }
}

export class ResponseUpstream implements Upstream, UpstreamLineHandler {
  readonly sockets: UpstreamSockets;
  readonly #owner: ConnectionOwner;
  #line: UpstreamLine | null = null;
  #isOpen = false;
  #isPaused = false;
  #headers: UpstreamHeaders = {};
  readonly #calls = new Set<SocketCall>();
  /** Lanes of calls that were given up while others went on: what still comes there is of no call. */
  readonly #givenUp = new Set<string | null>();

  constructor(sockets: UpstreamSockets, owner: ConnectionOwner) {
    this.sockets = sockets;
    this.#owner = owner;
  }

  /** It is open, or being opened. */
  get isUsed(): boolean {
    return this.#line !== null;
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const { body } = request;
    const bytes = Array.isArray(body) ? Buffer.concat(body) : Buffer.isBuffer(body) ? body : Buffer.alloc(0);
    const call = new SocketCall(this, handler, bytes);
    this.#calls.add(call);
    this.#line ??= new UpstreamLine(this.sockets, request.path, request.headers, this);
    if (this.#isOpen) this.#start(this.#line, call);
    return call;
  }

  async close(): Promise<void> {
    this.#line?.close();
  }

  onOpen(headers: UpstreamHeaders): void {
    this.#isOpen = true;
    this.#headers = { 'x-request-id': headers['x-request-id'], 'content-type': 'text/event-stream' };
    for (const call of this.#calls) if (this.#line !== null) this.#start(this.#line, call);
  }

  onMessage(text: Buffer): void {
    if (this.#givenUp.size > 0 && this.#givenUp.has(laneOf(text))) return;
    const call = this.#callOf(text);
    if (call === null) {
      this.#owner.onStray(text);
      return;
    }
    call.sinceMs = performance.now();
    try {
      this.#take(call, text);
    } catch (error) {
      this.#fail(call, 'interrupted', error as Error);
    }
  }

  onRefused(status: number, headers: UpstreamHeaders, body: Buffer): void {
    this.#ended();
    for (const call of this.#calls) this.#refuse(call, status, headers, body);
  }

  onUnreachable(error: Error): void {
    this.#ended();
    for (const call of this.#calls) this.#fail(call, 'unreachable', error);
  }

  onClose(code: number, reason: string): void {
    const wasOpen = this.#isOpen;
    this.#ended();
    const error = new Error(`the upstream closed its WebSocket with ${code}`);
    for (const call of this.#calls)
      this.#fail(call, call.body === null ? 'interrupted' : 'unreachable', error);
    if (wasOpen) this.#owner.onClosed(code, reason);
  }

  /** The upstream cannot be asked to stop one response: its connection is broken, and with it the others'. */
  abort(call: SocketCall): void {
    if (call.isOver) return;
    if (call.body !== null) this.#fail(call, 'unreachable', new Error('the call was aborted'));
    else this.#line?.terminate();
  }

  /** A call reads slowly, or reads again. */
  paused(): void {
    let isPaused = false;
    for (const call of this.#calls) isPaused ||= call.isPaused;
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#line?.pause();
    else this.#line?.resume();
  }

  /** @param nowMs on the monotonic clock */
  sweep(nowMs: number): void {
    const { firstEventTimeoutMs, idleTimeoutMs } = this.sockets;
    for (const call of this.#calls) {
      const timeoutMs = call.hasHead ? idleTimeoutMs : firstEventTimeoutMs;
      // While it is being opened, that has a time of its own.
      if (call.body !== null || call.isPaused || nowMs - call.sinceMs < timeoutMs) continue;
      this.#fail(call, 'timeout', new Error(`no event came for ${timeoutMs} ms`));
      this.#giveUp(call);
    }
  }

  /**
   * Of a call that is late nothing more is read, and its session ends. Others on the connection go on: each holds all that its own
   * response may cost, also if that is still written.
   */
  #giveUp({ lane }: SocketCall): void {
    const areOthers = [...this.#calls].some(({ body }) => body === null);
    if (!areOthers) this.#line?.terminate();
    else if (!this.#givenUp.has(lane)) {
      this.#givenUp.add(lane);
      this.#owner.onClosed(1011, 'a response did not come in time');
    }
  }

  #start(line: UpstreamLine, call: SocketCall): void {
    const { body } = call;
    if (body === null) return;
    call.body = null;
    call.sinceMs = performance.now();
    line.send(body);
    call.handler.onSent?.();
  }

  /** Returns the call that an event is of; null: none. */
  #callOf(text: Buffer): SocketCall | null {
    if (this.#calls.size === 1) for (const call of this.#calls) return call.body === null ? call : null;
    const lane = laneOf(text);
    let found: SocketCall | null = null;
    for (const call of this.#calls) {
      if (call.body !== null) continue;
      if (call.lane === lane) return call;
      if (call.lane === null) found = call;
    }
    return found;
  }

  #take(call: SocketCall, text: Buffer): void {
    const type = isOutput(text) ? '' : typeOf(text);
    if (!call.hasHead) {
      call.hasHead = true;
      const status = type === 'error' ? statusOf(text) : null;
      if (status !== null) {
        this.#refuse(call, status, this.#headers, text);
        return;
      }
      call.handler.onHeaders(200, this.#headers);
    }
    call.handler.onData(asServerSent(text));
    if (call.isOver || !LAST_EVENTS.has(type)) return;
    this.#over(call);
    call.handler.onEnd();
  }

  /** An error before anything else is the response that a request would have had. */
  #refuse(call: SocketCall, status: number, headers: UpstreamHeaders, body: Buffer): void {
    this.#over(call);
    call.handler.onHeaders(status, { ...headers, 'content-type': 'application/json' });
    call.handler.onData(body);
    call.handler.onEnd();
  }

  #fail(call: SocketCall, failure: UpstreamFailure, error: Error): void {
    if (call.isOver) return;
    this.#over(call);
    call.handler.onError(failure, error);
  }

  #over(call: SocketCall): void {
    call.isOver = true;
    this.#calls.delete(call);
    // Nothing resumes what it paused.
    call.isPaused = false;
    this.paused();
  }

  #ended(): void {
    this.#line = null;
    this.#isOpen = false;
    this.#isPaused = false;
  }
}

/** Returns the status of an error event; null: it has none of an error. */
function statusOf(text: Buffer): number | null {
  const event = parseJson(text.toString());
  const status = isObject(event) ? event.status : undefined;
  return typeof status === 'number' && status >= 400 && status < 600 ? status : null;
}
