/**
 * A response or a transcription of a realtime session as a call: its body is what the session says of its cost, its upstream the
 * session's connection. Owns: that it ends in exactly one way. What the client gets of it passes beside it.
 */
import type { Moment } from '../../domain/realtime.ts';
import type { Json, JsonObject } from '../../openai/body.ts';
import { isObject, parseJson } from '../../openai/body.ts';
import type { WantedResponse } from '../../openai/realtime.ts';
import type { UpstreamCall, UpstreamFailure, UpstreamHandler } from '../../wire/upstream.ts';
import type { LineHead } from './client-line.ts';
import { asServerSent, MessageExchange, type MessageSink } from './message-exchange.ts';

/** What is asked for, and when the money for it is held. */
export interface CallOptions {
  readonly head: LineHead;
  readonly body: JsonObject;
  /** Takes an error in place of the call, or that ended it. */
  onError(event: JsonObject): void;
  /** The money is held: what is asked for is to be sent. */
  onHeld(call: RealtimeCall): void;
  /** What was given up must not go on. */
  onAbort(call: RealtimeCall): void;
  onDestroy(): void;
}

/** Of a response, what it reads. */
export interface ResponseFacts {
  readonly wanted: WantedResponse;
  readonly moment: Moment;
  /** Of the client's event, where it named it. */
  readonly clientEventId: Json | undefined;
  /** Of ours. */
  readonly eventId: string;
}

const HEADERS = { 'content-type': 'text/event-stream' };
const JSON_HEADERS = { 'content-type': 'application/json' };

export class RealtimeCall implements MessageSink, UpstreamCall {
  readonly exchange: MessageExchange;
  /** Of a response; null: it is a transcription. */
  readonly facts: ResponseFacts | null;
  /** The id of its response, or of the item that is transcribed; null: it is not known yet. */
  id: string | null = null;
  /** Of a transcription: so much audio is paid for. */
  readonly seconds: number;
  /** The most that a response may write; null: as much as its model does. */
  outputLimit: number | null = null;
  sentMs = 0;
  /** The upstream has sent a part of it. */
  hasOutput = false;
  readonly #options: CallOptions;
  #handler: UpstreamHandler | null = null;
  #isOver = false;
  #isLost = false;

  constructor(options: CallOptions, facts: ResponseFacts | null, seconds = 0) {
    this.#options = options;
    this.facts = facts;
    this.seconds = seconds;
    const { head, body } = options;
    const bytes = Buffer.from(JSON.stringify(body));
    this.exchange = new MessageExchange({ head, body: bytes, echo: null, sink: this });
  }

  /** Its money is held, and it is under way. */
  get isHeld(): boolean {
    return this.#handler !== null;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** To be called once, by the stage that forwards. */
  held(handler: UpstreamHandler, body: Buffer): void {
    const written = parseJson(body.toString());
    const limit = isObject(written) ? written.max_output_tokens : null;
    this.#handler = handler;
    this.sentMs = performance.now();
    this.outputLimit = typeof limit === 'number' ? limit : null;
    this.#options.onHeld(this);
  }

  /** It has begun, as the upstream says. */
  begun(): void {
    if (!this.#isOver) this.#handler?.onHeaders(200, HEADERS);
  }

  /** @param usage null: it says none */
  done(usage: Json | undefined): void {
    this.#end((handler) => {
      handler.onData(inner({ type: 'done', ...(isObject(usage) ? { usage } : null) }));
      handler.onEnd();
    });
  }

  /** It failed, or ended without a word of what it cost. @param error null: it says none */
  failed(error: Json | undefined): void {
    this.#end((handler) => {
      // What was written may be billed, whatever the error says.
      if (isObject(error)) handler.onData(inner({ type: this.hasOutput ? 'failure' : 'error', error }));
      handler.onEnd();
    });
  }

  /** The upstream did not take it, or nothing of it was needed: it costs nothing. */
  refused(error: JsonObject): void {
    const handler = this.#handler;
    if (this.#isOver || handler === null) return;
    this.#isOver = true;
    handler.onHeaders(400, JSON_HEADERS);
    handler.onData(Buffer.from(JSON.stringify({ error })));
    handler.onEnd();
  }

  lost(failure: UpstreamFailure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isLost = true;
    this.#handler?.onError(failure, new Error('the session has ended'));
  }

  #end(tell: (handler: UpstreamHandler) => void): void {
    if (this.#isOver || this.#handler === null) return;
    this.#isOver = true;
    tell(this.#handler);
  }

  abort(): void {
    if (this.#isOver) return;
    this.lost('interrupted');
    this.#options.onAbort(this);
  }

  pause(): void {}

  resume(): void {}

  /** Errors of ours are passed on; what the upstream says of the call, the client has had already. */
  send(text: Buffer): boolean {
    const event = parseJson(text.toString());
    const isOurs = this.#handler === null || this.#isLost;
    if (isOurs && isObject(event) && isObject(event.error))
      this.#options.onError({ ...event, type: 'error' });
    return true;
  }

  destroy(): void {
    this.#options.onDestroy();
  }
}

function inner(event: JsonObject): Buffer {
  return asServerSent(Buffer.from(JSON.stringify(event)));
}
