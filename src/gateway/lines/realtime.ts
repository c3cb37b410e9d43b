/**
 * The session of `/v1/realtime`. Owns: which of a client's events go on and when, and that nothing that costs money begins before it
 * is held. Every response and every transcription is a call through the same stages as any other. Where the client wants a response
 * to each turn, the upstream is asked for none: the gateway asks for it when a turn was committed, so that it can be held first.
 * Invariants: the client's events go on in their order; a response that was not held ends the session.
 */
import { ApiError, apiError } from '../../domain/errors.ts';
import { isObject, type Json, type JsonObject, parseJson } from '../../openai/body.ts';
import {
  bodyOf,
  CLIENT_EVENTS,
  noResponses,
  type RealtimeConfig,
  readUpdate,
  readWanted,
  secondsOf,
  sentAs,
  unknownEvent,
  wrongType,
} from '../../openai/realtime.ts';
import type { Upstream } from '../../wire/upstream.ts';
import type { GatewayDeps } from '../deps.ts';
import type { ClientLine, LineEnd } from './client-line.ts';
import { type CallOptions, RealtimeCall } from './realtime-call.ts';
import { RealtimeClient } from './realtime-client.ts';
import {
  READ_EVENTS,
  type RealtimeActions,
  RealtimeState,
  TRANSCRIPTION_BLOCK_SECONDS,
  takeEvent,
  type Update,
} from './realtime-events.ts';
import { openingOf } from './realtime-opening.ts';
import { type Task, TaskQueue } from './realtime-queue.ts';
import { notSent, type RealtimeOwner, RealtimeUpstream } from './realtime-upstream.ts';
import { isSendable } from './responses.ts';
import type { Session, SessionHost } from './session.ts';
import { type SessionConnection, sessionDeps } from './session-deps.ts';

/** What the upstream has not taken yet of what it was sent: nothing more is sent beyond it. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024;
/** How long the upstream may take to say that nothing is left in its buffer. */
const CLEARING_MS = 5_000;

export function openRealtime(line: ClientLine, host: SessionHost): Session {
  return new RealtimeSession(line, host);
}

class RealtimeSession implements Session, SessionConnection, RealtimeOwner, RealtimeActions {
  readonly #line: ClientLine;
  readonly #host: SessionHost;
  readonly #deps: GatewayDeps;
  readonly #client: RealtimeClient;
  readonly #state: RealtimeState;
  #upstream: RealtimeUpstream | null = null;
  /** Name of the upstream, once it was chosen. */
  #boundTo: string | null = null;
  /** The call whose money is asked for. */
  #asking: RealtimeCall | null = null;
  /** What waits for that. */
  #heldUp: Task | null = null;
  #end: LineEnd | null = null;
  /** Since when nothing but the end of the upstream's buffer is waited for; null: it is not. */
  #clearingMs: number | null = null;

  constructor(line: ClientLine, host: SessionHost) {
    this.#line = line;
    this.#host = host;
    this.#deps = sessionDeps(host.deps, this);
    this.#client = new RealtimeClient(line, host);
    const opening = openingOf(this.#deps, line, 'realtime');
    const queue = new TaskQueue(host.deps.bodies, line.account.principal);
    if (opening instanceof ApiError) {
      this.#state = new RealtimeState(null, queue);
      this.refuse(opening, null);
      this.finish({ code: 1008, reason: opening.code, last: null });
      return;
    }
    this.#state = new RealtimeState(opening, queue);
    this.#boundTo = opening.upstream;
    this.#upstream = new RealtimeUpstream(opening, this, READ_EVENTS);
  }

  get isBusy(): boolean {
    return this.#state.responses.size > 0 || this.#state.transcriptions.size > 0 || this.#asking !== null;
  }

  get boundTo(): string | null {
    return this.#boundTo;
  }

  upstreamOf(): Upstream {
    const send: Upstream['send'] = (request, handler) => {
      if (this.#upstream !== null) return this.#upstream.send(request, handler);
      this.#asking = null;
      return notSent(handler);
    };
    return { send, close: async () => {} };
  }

  get #connected(): RealtimeUpstream {
    if (this.#upstream === null) throw new Error('the session has no upstream');
    return this.#upstream;
  }

  onMessage(text: Buffer): void {
    if (this.#end !== null) return;
    const event = parseJson(text.toString());
    if (!isObject(event)) {
      this.refuse(apiError('invalid_json', 'An event must be a JSON object.'), null);
      return;
    }
    this.#state.queue.push({ kind: 'event', event, bytes: text.length });
    this.next();
    if (!this.#state.queue.keep()) this.finish({ code: 1013, reason: 'too many events wait', last: null });
  }

  onDrain(): void {
    this.#upstream?.resume();
  }

  onClose(): void {
    const { responses, transcriptions } = this.#state;
    const calls = [this.#asking, transcriptions.standing, ...responses, ...transcriptions.calls];
    for (const call of calls) call?.exchange.gone();
    this.finish({ code: 1000, reason: '', last: null });
  }

  finish(end: LineEnd): void {
    this.#end ??= end;
    this.#state.queue.clear();
    this.#shut();
  }

  sweep(nowMs: number): void {
    if (this.#upstream === null || this.#state.opening === null) return;
    const { lastMs } = this.#upstream;
    const { firstEventTimeoutMs, idleTimeoutMs } = this.#state.opening.sockets;
    const isSilent = (sinceMs: number, timeoutMs: number): boolean =>
      timeoutMs > 0 && nowMs - Math.max(sinceMs, lastMs) >= timeoutMs;
    let isLate = this.#state.config === null && isSilent(0, firstEventTimeoutMs);
    if (this.#state.update !== null) isLate ||= isSilent(this.#state.update.sinceMs, firstEventTimeoutMs);
    if (this.#clearingMs !== null) isLate ||= nowMs - this.#clearingMs >= CLEARING_MS;
    for (const { sentMs, id } of [...this.#state.responses, ...this.#state.transcriptions.calls])
      isLate ||= isSilent(sentMs, id === null ? firstEventTimeoutMs : idleTimeoutMs);
    if (isLate) this.lost('timeout');
    // What the upstream was too slow for.
    else this.next();
  }

  // What the client asks for.

  next(): void {
    while (
      this.#state.config !== null &&
      this.#asking === null &&
      this.#state.update === null &&
      this.#end === null
    ) {
      const task = this.#state.queue.first;
      if (task === undefined || this.#connected.unsentBytes > UNSENT_BYTES_MAX) return;
      // What has to be held first is done again when it is.
      if (this.#take(task, this.#state.config)) this.#state.queue.drop(task);
      else this.#heldUp = task;
    }
  }

  /** Returns false where something was asked for first. */
  #take(task: Task, config: RealtimeConfig): boolean {
    if (task.kind === 'event') return this.#takeEvent(task.event, config);
    if (task.kind === 'turn') {
      // As the API does: one response at a time writes to the conversation.
      const isFree = ![...this.#state.responses].some(({ facts }) => facts?.wanted.inConversation);
      if (isFree) this.#respond({}, undefined, config);
    } else if (config.transcription !== null) this.#hold(config.transcription, task.seconds, task.itemId);
    return true;
  }

  #takeEvent(event: JsonObject, config: RealtimeConfig): boolean {
    const { type, event_id: eventId, audio, response = {} } = event;
    let error: ApiError | null = null;
    if (typeof type !== 'string' || !CLIENT_EVENTS.has(type)) error = unknownEvent(type);
    else if (type === 'session.update') error = this.#change(event);
    else if (type === 'response.create')
      error = isObject(response) ? this.#respond(response, eventId, config) : wrongType('response');
    else if (type === 'input_audio_buffer.append') {
      if (typeof audio === 'string') return this.#append(audio, eventId, config);
      error = wrongType('audio');
    } else if (type === 'input_audio_buffer.commit') {
      if (!this.#isHeld(config, 0)) return false;
      this.#state.memory.clientCommits();
      this.#connected.sendEvent(event);
    } else {
      error = this.#state.memory.takeEvent(type, event, config);
      if (error === null) this.#connected.sendEvent(event);
    }
    if (error !== null) this.refuse(error, eventId);
    return true;
  }

  #change(event: JsonObject): ApiError | null {
    const update = readUpdate(event.session, this.#state.opening?.model ?? null);
    if (update instanceof ApiError) return update;
    const { session, responds } = update;
    this.send({ ...event, session }, { responds, clientEventId: event.event_id, isOwn: false });
    return null;
  }

  /** Asks the upstream for another configuration; nothing else goes on until it says what that is. */
  send(event: JsonObject, update: Omit<Update, 'eventId' | 'sinceMs'>): void {
    const eventId = this.#client.newId();
    this.#state.update = { ...update, eventId, sinceMs: performance.now() };
    this.#connected.sendEvent({ ...event, event_id: eventId });
  }

  #append(audio: string, eventId: Json | undefined, config: RealtimeConfig): boolean {
    const seconds = secondsOf(audio, config.bytesPerSecond);
    if (config.turns && !this.#isHeld(config, seconds)) return false;
    this.#state.memory.audio.append(seconds);
    const named = eventId === undefined ? null : { event_id: eventId };
    this.#connected.sendEvent({ type: 'input_audio_buffer.append', audio, ...named });
    return true;
  }

  /** Whether the transcription of what may be committed next is held, with so much more audio; asks for it where not. */
  #isHeld({ transcription, turns }: RealtimeConfig, moreSeconds: number): boolean {
    if (transcription === null) return true;
    const seconds = this.#state.memory.audio.pending + moreSeconds;
    if ((this.#state.transcriptions.standing?.seconds ?? -1) >= seconds) return true;
    this.#hold(transcription, seconds + (turns ? TRANSCRIPTION_BLOCK_SECONDS : 0), null);
    return false;
  }

  /** @param itemId what is transcribed already; null: what will be committed next */
  #hold(
    { model, promptBytes }: NonNullable<RealtimeConfig['transcription']>,
    seconds: number,
    itemId: string | null,
  ): void {
    const onHeld = (call: RealtimeCall): void => {
      if (itemId === null) this.#state.transcriptions.stands(call);
      else this.#state.transcriptions.heldLate(itemId, call);
    };
    const body = { model, seconds, prompt_bytes: promptBytes };
    const head = { ...this.#line.head, url: '/v1/realtime/transcriptions' };
    const call = new RealtimeCall({ ...this.#options(null), head, body, onHeld }, null, seconds);
    call.id = itemId;
    this.#ask(call);
  }

  #respond(response: JsonObject, eventId: Json | undefined, config: RealtimeConfig): ApiError | null {
    const { model = null, card = null } = this.#state.opening ?? {};
    if (model === null || config.type === 'transcription') return noResponses();
    const wanted = readWanted(response, config);
    if (wanted instanceof ApiError) return wanted;
    const input = this.#state.memory.inputOf(wanted, config, card?.limits ?? null, this.#state.responses);
    const body = { model, ...bodyOf(wanted, input) };
    const moment = this.#state.memory.conversation.now();
    const facts = { wanted, moment, eventId: this.#client.newId(), clientEventId: eventId };
    const onHeld = (call: RealtimeCall): void => {
      this.#state.responses.add(call);
      const sent = sentAs(response, wanted, call.outputLimit);
      this.#connected.sendEvent({ type: 'response.create', event_id: facts.eventId, response: sent });
    };
    this.#ask(new RealtimeCall({ ...this.#options(eventId), body, onHeld }, facts));
    return null;
  }

  #options(eventId: Json | undefined): Omit<CallOptions, 'body' | 'onHeld'> {
    return {
      head: this.#line.head,
      onError: (event) => this.#passError(event, eventId),
      onAbort: () => this.lost('interrupted'),
      onDestroy: () => this.#line.terminate(),
    };
  }

  #ask(call: RealtimeCall): void {
    this.#asking = call;
    this.#host.run(this.#deps, call.exchange, () => this.#served(call));
  }

  takeAsking(): RealtimeCall {
    const call = this.#asking;
    if (call === null) throw new Error('no call of this session asks for money');
    this.#asking = null;
    // Its event goes first.
    queueMicrotask(() => this.next());
    return call;
  }

  /** A call is in the ledger, or was refused. */
  #served(call: RealtimeCall): void {
    this.#state.responses.delete(call);
    this.#state.transcriptions.served(call);
    if (this.#asking === call) {
      this.#asking = null;
      // What the hold was for is refused with it.
      if (call.facts === null && call.id === null && this.#heldUp !== null)
        this.#state.queue.drop(this.#heldUp);
    }
    if (this.#end !== null) this.#shut();
    else this.next();
  }

  // What the upstream says.

  onOther(text: Buffer, isOutput: boolean): void {
    if (isOutput) for (const call of this.#state.responses) call.hasOutput ||= call.id !== null;
    this.pass(text);
  }

  onEvent(type: string, event: JsonObject, text: Buffer): void {
    if (type === 'input_audio_buffer.cleared' && this.#clearingMs !== null) this.#cleared();
    else takeEvent(this.#state, this, type, event, text);
  }

  pass(text: Buffer): void {
    if (!this.#line.send(text)) this.#upstream?.pause();
  }

  onRefused(status: number, error: JsonObject): void {
    this.#passError({ type: 'error', status, error }, null);
    this.#gone({ code: 1011, reason: 'the upstream refused the session', last: null });
  }

  onUnreachable(): void {
    this.refuse(
      apiError('upstream_unreachable', 'The upstream could not be reached: nothing was sent or charged.'),
      null,
    );
    this.#gone({ code: 1011, reason: 'the upstream could not be reached', last: null });
  }

  onClosed(code: number, reason: string): void {
    this.#gone({ code: isSendable(code) ? code : 1011, reason: reason.slice(0, 100), last: null });
  }

  // The end.

  /** The upstream is not to be trusted with the session any more, or it has gone. */
  lost(failure: 'timeout' | 'interrupted'): void {
    this.#endCalls(failure);
    this.#upstream?.terminate();
    this.#gone({ code: 1011, reason: 'the session with the upstream has ended', last: null });
  }

  #gone(end: LineEnd): void {
    this.#upstream = null;
    this.#endCalls('interrupted');
    this.finish(end);
  }

  #endCalls(failure: 'timeout' | 'interrupted'): void {
    for (const call of [...this.#state.responses]) call.lost(failure);
    this.#state.transcriptions.lost(failure, this.#state.memory.audio.pending > 0);
  }

  /** Ends the session if nothing is under way. What stands in the buffer could still be transcribed: it is thrown away first. */
  #shut(): void {
    if (this.#end === null || this.isBusy || this.#clearingMs !== null) return;
    this.#line.close(this.#end);
    if (this.#upstream === null) return;
    if (this.#state.transcriptions.standing !== null && this.#state.memory.audio.pending > 0) {
      this.#clearingMs = performance.now();
      this.#upstream.sendEvent({ type: 'input_audio_buffer.clear' });
    } else this.#cleared();
  }

  #cleared(): void {
    this.#clearingMs = null;
    this.#state.memory.audio.cut();
    this.#state.transcriptions.release();
    void this.#upstream?.close();
  }

  refuse(error: ApiError, eventId: Json | undefined): void {
    this.#ifUnpaid(this.#client.refuse(error, eventId));
  }

  #passError(event: JsonObject, eventId: Json | undefined): void {
    this.#ifUnpaid(this.#client.passError(event, eventId));
  }

  /** A session without money ends. */
  #ifUnpaid(end: LineEnd | null): void {
    if (end !== null) this.finish(end);
  }
}
