/** The upstream's side of a realtime session: its connection, and which of its events the session must know. All others pass as they are. */
import { isObject, type JsonObject, parseJson } from '../../openai/body.ts';
import type { Upstream, UpstreamCall, UpstreamHandler, UpstreamRequest } from '../../wire/upstream.ts';
import type { RealtimeCall } from './realtime-call.ts';
import type { RealtimeOpening } from './realtime-opening.ts';
import { typeOf } from './response-upstream.ts';
import { UpstreamLine, type UpstreamLineHandler } from './upstream-line.ts';

export interface RealtimeOwner {
  /** Returns the call whose money was asked for. */
  takeAsking(): RealtimeCall;
  onEvent(type: string, event: JsonObject, text: Buffer): void;
  /** An event that moves nothing. @param isOutput it has a part of a response */
  onOther(text: Buffer, isOutput: boolean): void;
  onRefused(status: number, error: JsonObject): void;
  onUnreachable(): void;
  onClosed(code: number, reason: string): void;
}

const ENDED: UpstreamCall = { abort() {}, pause() {}, resume() {} };

/** Ends a call of a session that has ended. */
export function notSent(handler: UpstreamHandler): UpstreamCall {
  handler.onError('unreachable', new Error('the session has ended'));
  return ENDED;
}

export class RealtimeUpstream implements Upstream, UpstreamLineHandler {
  /** When it sent something last. */
  lastMs = performance.now();
  readonly #owner: RealtimeOwner;
  readonly #read: ReadonlySet<string>;
  readonly #line: UpstreamLine;

  /** @param read the types of the events that the session must know */
  constructor({ sockets, path, headers }: RealtimeOpening, owner: RealtimeOwner, read: ReadonlySet<string>) {
    this.#owner = owner;
    this.#read = read;
    this.#line = new UpstreamLine(sockets, path, headers, this);
  }

  /** A call is held: its own event is sent by the session. */
  send({ body }: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const call = this.#owner.takeAsking();
    call.held(handler, Buffer.isBuffer(body) ? body : Buffer.alloc(0));
    return call;
  }

  async close(): Promise<void> {
    this.#line.close();
  }

  sendEvent(event: JsonObject): void {
    this.#line.send(Buffer.from(JSON.stringify(event)));
  }

  get unsentBytes(): number {
    return this.#line.unsentBytes;
  }

  pause(): void {
    this.#line.pause();
  }

  resume(): void {
    this.#line.resume();
  }

  terminate(): void {
    this.#line.terminate();
  }

  onOpen(): void {
    this.lastMs = performance.now();
  }

  onMessage(text: Buffer): void {
    this.lastMs = performance.now();
    const type = typeOf(text);
    const event = this.#read.has(type) ? parseJson(text.toString()) : undefined;
    if (isObject(event)) this.#owner.onEvent(type, event, text);
    else this.#owner.onOther(text, type.startsWith('response.'));
  }

  onRefused(status: number, _headers: object, body: Buffer): void {
    const found = parseJson(body.toString());
    const message = `The upstream refused the session with status ${status}.`;
    this.#owner.onRefused(status, isObject(found) && isObject(found.error) ? found.error : { message });
  }

  onUnreachable(): void {
    this.#owner.onUnreachable();
  }

  onClose(code: number, reason: string): void {
    this.#owner.onClosed(code, reason);
  }
}
