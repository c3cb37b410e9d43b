/**
 * What the sessions of `/v1/realtime` and of `/v1/realtime/translations` share. Owns: the connection to the upstream that all calls of a session
 * go through, the one call whose money is asked for, the client's events that wait, and the errors that both write alike. Does not own:
 * what an event of either side means, nor how a session ends.
 */
import { ApiError, apiError } from '../../domain/errors.ts';
import { isObject, type Json, type JsonObject, parseJson } from '../../openai/body.ts';
import type { Upstream } from '../../wire/upstream.ts';
import type { GatewayDeps } from '../deps.ts';
import type { ClientLine, LineEnd } from './client-line.ts';
import type { RealtimeCall } from './realtime-call.ts';
import { RealtimeClient } from './realtime-client.ts';
import { openingOf, type RealtimeOpening } from './realtime-opening.ts';
import { type Task, TaskQueue } from './realtime-queue.ts';
import { notSent, type RealtimeOwner, RealtimeUpstream } from './realtime-upstream.ts';
import { isSendable } from './responses.ts';
import type { Session, SessionHost } from './session.ts';
import { type SessionConnection, sessionDeps } from './session-deps.ts';

/** What the upstream has not taken yet of what it was sent: nothing more is sent beyond it. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024;

export abstract class RealtimeSessionBase implements Session, SessionConnection, RealtimeOwner {
  protected readonly line: ClientLine;
  protected readonly host: SessionHost;
  protected readonly deps: GatewayDeps;
  protected readonly client: RealtimeClient;
  protected readonly queue: TaskQueue;
  /** Null: there is none, and the session ends. */
  protected readonly opening: RealtimeOpening | null;
  protected upstream: RealtimeUpstream | null = null;
  /** The call whose money is asked for. */
  protected asking: RealtimeCall | null = null;
  /** What waits for that. */
  protected heldUp: Task | null = null;
  protected end: LineEnd | null = null;
  readonly #openingError: ApiError | null;

  constructor(line: ClientLine, host: SessionHost, kind: Parameters<typeof openingOf>[2]) {
    this.line = line;
    this.host = host;
    this.deps = sessionDeps(host.deps, this);
    this.client = new RealtimeClient(line, host);
    this.queue = new TaskQueue(host.deps.bodies, line.account.principal);
    const opening = openingOf(this.deps, line, kind);
    this.opening = opening instanceof ApiError ? null : opening;
    this.#openingError = opening instanceof ApiError ? opening : null;
  }

  /** Connects the session, or ends it with why that cannot be; to be called once it is whole. @param read see {@link RealtimeUpstream} */
  protected begin(read: ReadonlySet<string>): void {
    if (this.opening !== null) this.upstream = new RealtimeUpstream(this.opening, this, read);
    else if (this.#openingError !== null) {
      this.refuse(this.#openingError, null);
      this.finish({ code: 1008, reason: this.#openingError.code, last: null });
    }
  }

  abstract get isBusy(): boolean;
  abstract finish(end: LineEnd): void;
  abstract sweep(nowMs: number): void;
  abstract onClose(): void;
  abstract onEvent(type: string, event: JsonObject, text: Buffer): void;
  abstract onOther(text: Buffer, isOutput: boolean): void;
  /** Goes on with what waits. */
  abstract next(): void;
  /** The upstream is not there any more. @param end how the session ends, unless that was said before */
  protected abstract gone(end: LineEnd): void;

  get boundTo(): string | null {
    // While the session is opened there is none yet.
    return this.opening?.upstream ?? null;
  }

  upstreamOf(): Upstream {
    const send: Upstream['send'] = (request, handler) => {
      if (this.upstream !== null) return this.upstream.send(request, handler);
      this.asking = null;
      return notSent(handler);
    };
    return { send, close: async () => {} };
  }

  protected get connected(): RealtimeUpstream {
    if (this.upstream === null) throw new Error('the session has no upstream');
    return this.upstream;
  }

  /** Whether the upstream has yet to take so much that nothing more is sent to it. */
  protected get isFull(): boolean {
    return this.connected.unsentBytes > UNSENT_BYTES_MAX;
  }

  takeAsking(): RealtimeCall {
    const call = this.asking;
    if (call === null) throw new Error('no call of this session asks for money');
    this.asking = null;
    // Its event goes first.
    queueMicrotask(() => this.next());
    return call;
  }

  onMessage(text: Buffer): void {
    if (this.end !== null) return;
    const event = parseJson(text.toString());
    if (!isObject(event)) {
      this.refuse(apiError('invalid_json', 'An event must be a JSON object.'), null);
      return;
    }
    this.queue.push({ kind: 'event', event, bytes: text.length });
    this.next();
    if (!this.queue.keep()) this.finish({ code: 1013, reason: 'too many events wait', last: null });
  }

  onDrain(): void {
    this.upstream?.resume();
  }

  /** Sends an event to the client. */
  pass(text: Buffer): void {
    if (!this.line.send(text)) this.upstream?.pause();
  }

  refuse(error: ApiError, eventId: Json | undefined): void {
    this.#endIf(this.client.refuse(error, eventId));
  }

  protected passError(event: JsonObject, eventId: Json | undefined): void {
    this.#endIf(this.client.passError(event, eventId));
  }

  onRefused(status: number, error: JsonObject): void {
    this.passError({ type: 'error', status, error }, null);
    this.gone({ code: 1011, reason: 'the upstream refused the session', last: null });
  }

  onUnreachable(): void {
    const message = 'The upstream could not be reached: nothing was sent or charged.';
    this.refuse(apiError('upstream_unreachable', message), null);
    this.gone({ code: 1011, reason: 'the upstream could not be reached', last: null });
  }

  onClosed(code: number, reason: string): void {
    this.gone({ code: isSendable(code) ? code : 1011, reason: reason.slice(0, 100), last: null });
  }

  /** A session without money ends. */
  #endIf(end: LineEnd | null): void {
    if (end !== null) this.finish(end);
  }
}
