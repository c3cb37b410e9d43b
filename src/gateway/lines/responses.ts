/**
 * The session of `/v1/responses` on a WebSocket. Owns: which `response.create` runs when, and the end of the session. Each of them is a
 * call of its own, through the same stages as `POST /v1/responses`. As the API does: lanes (`stream_id`) run side by side, what stands
 * in one lane, or in none, runs one after another.
 */
import { type ApiError, apiError } from '../../domain/errors.ts';
import type { Upstream } from '../../wire/upstream.ts';
import { noMemory } from '../bodies.ts';
import type { GatewayDeps } from '../deps.ts';
import type { ClientLine, LineEnd } from './client-line.ts';
import { errorEventOf, MessageExchange, type MessageSink } from './message-exchange.ts';
import { type ConnectionOwner, laneOf, ResponseUpstream, typeOf } from './response-upstream.ts';
import type { Session, SessionHost } from './session.ts';
import { type SessionConnection, sessionDeps } from './session-deps.ts';
import type { UpstreamSockets } from './upstream-line.ts';

/** As the API documents for one connection. */
const RUNNING_MAX = 16;
const LANES_MAX = 32;
/** Messages that wait for their turn. */
const WAITING_MAX = 64;

const MESSAGE = 'response.create';

interface Waiting {
  readonly lane: string | null;
  readonly text: Buffer;
}

export function openResponses(line: ClientLine, host: SessionHost): Session {
  return new ResponsesSession(line, host);
}

class ResponsesSession implements Session, SessionConnection, ConnectionOwner, MessageSink {
  readonly #line: ClientLine;
  readonly #host: SessionHost;
  readonly #deps: GatewayDeps;
  readonly #upstreams = new Map<string | null, ResponseUpstream>();
  readonly #lanes = new Set<string>();
  /** By lane; null: that of messages which name none. */
  readonly #running = new Map<string | null, MessageExchange>();
  readonly #waiting: Waiting[] = [];
  #end: LineEnd | null = null;

  constructor(line: ClientLine, host: SessionHost) {
    this.#line = line;
    this.#host = host;
    this.#deps = sessionDeps(host.deps, this);
  }

  get isBusy(): boolean {
    return this.#running.size > 0;
  }

  get boundTo(): string | null {
    for (const [name, upstream] of this.#upstreams) if (upstream.isUsed) return name;
    return null;
  }

  upstreamOf(name: string | null, sockets: UpstreamSockets): Upstream {
    const known = this.#upstreams.get(name);
    if (known !== undefined && (known.isUsed || known.sockets === sockets)) return known;
    const upstream = new ResponseUpstream(sockets, this);
    this.#upstreams.set(name, upstream);
    return upstream;
  }

  onMessage(text: Buffer): void {
    if (this.#end !== null) return;
    const lane = laneOf(text);
    const error = this.#whyNot(text, lane);
    if (error !== null) this.#refuse(error, lane);
    else if (this.#mayRun(lane)) this.#run(lane, text);
    else this.#wait(lane, text);
  }

  onDrain(): void {
    for (const exchange of this.#running.values()) exchange.onDrain?.();
  }

  onClose(): void {
    this.#end ??= { code: 1000, reason: '', last: null };
    for (const { text } of this.#waiting.splice(0)) this.#giveBack(text);
    for (const exchange of [...this.#running.values()]) exchange.gone();
    this.#closeIfDone();
  }

  finish(end: LineEnd): void {
    this.#end ??= end;
    for (const { lane, text } of this.#waiting.splice(0)) {
      this.#giveBack(text);
      this.#refuse(
        apiError('shutting_down', 'This connection is about to end: open another one.', {
          retryAfterMs: 1000,
        }),
        lane,
      );
    }
    this.#closeIfDone();
  }

  sweep(nowMs: number): void {
    for (const upstream of this.#upstreams.values()) upstream.sweep(nowMs);
  }

  onStray(text: Buffer): void {
    this.#line.send(text);
  }

  send(text: Buffer): boolean {
    return this.#line.send(text);
  }

  destroy(): void {
    this.#line.terminate();
  }

  onClosed(code: number, reason: string): void {
    this.finish({ code: isSendable(code) ? code : 1011, reason: reason.slice(0, 100), last: null });
  }

  /** Returns why a message is not taken; null: it is. What it asks for is read by its call. */
  #whyNot(text: Buffer, lane: string | null): ApiError | null {
    const type = typeOf(text.subarray(0, 4096));
    if (type !== '' && type !== MESSAGE)
      return apiError('invalid_request', `Tollgate sends on messages of the type '${MESSAGE}' alone.`, {
        param: 'type',
      });
    if (lane === null || this.#lanes.has(lane)) return null;
    if (this.#lanes.size >= LANES_MAX) {
      const message = `A connection has at most ${LANES_MAX} lanes: open another connection.`;
      return apiError('websocket_stream_limit_reached', message, { param: 'stream_id' });
    }
    this.#lanes.add(lane);
    return null;
  }

  #mayRun(lane: string | null): boolean {
    return this.#running.size < RUNNING_MAX && !this.#running.has(lane);
  }

  #run(lane: string | null, text: Buffer): void {
    const exchange = new MessageExchange({
      head: this.#line.head,
      body: text,
      echo: lane === null ? null : { stream_id: lane },
      sink: this,
    });
    this.#running.set(lane, exchange);
    this.#host.run(this.#deps, exchange, () => this.#served(lane));
  }

  /** A call is in the ledger, or was refused. */
  #served(lane: string | null): void {
    this.#running.delete(lane);
    if (this.#end !== null) this.#closeIfDone();
    const next = this.#waiting.findIndex((waiting) => this.#mayRun(waiting.lane));
    if (next === -1) return;
    const [waiting] = this.#waiting.splice(next, 1);
    if (waiting === undefined) return;
    this.#giveBack(waiting.text);
    this.#run(waiting.lane, waiting.text);
  }

  #wait(lane: string | null, text: Buffer): void {
    const { bodies } = this.#deps;
    const { teamId, keyId } = this.#line.account.principal;
    const shortage = bodies.take(teamId, keyId, text.length);
    if (shortage !== null) this.#refuse(noMemory(shortage, bodies), lane);
    else if (this.#waiting.push({ lane, text }) > WAITING_MAX) {
      this.#waiting.pop();
      this.#giveBack(text);
      const message = `A connection has at most ${WAITING_MAX} messages that wait for their turn.`;
      this.#refuse(apiError('rate_limit_exceeded', message, { retryAfterMs: 1000 }), lane);
    }
  }

  #giveBack({ length }: Buffer): void {
    const { teamId, keyId } = this.#line.account.principal;
    this.#deps.bodies.giveBack(teamId, keyId, length);
  }

  #refuse(error: ApiError, lane: string | null): void {
    this.#host.count(error, this.#line.account);
    this.#line.send(errorEventOf(error, lane === null ? null : { stream_id: lane }));
  }

  #closeIfDone(): void {
    if (this.#end === null || this.isBusy) return;
    this.#line.close(this.#end);
    for (const upstream of this.#upstreams.values()) void upstream.close();
  }
}

/** Codes that stand in no closing frame (RFC 6455, section 7.4.1). */
const NEVER_SENT = new Set([1004, 1005, 1006, 1015]);

export function isSendable(code: number): boolean {
  return code >= 3000 ? code < 5000 : code >= 1000 && code < 1015 && !NEVER_SENT.has(code);
}
