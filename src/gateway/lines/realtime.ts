/**
 * The session of `/v1/realtime`. Owns: which of a client's events go on and when, and that nothing that costs money begins before it
 * is held. Every response and every transcription is a call through the same stages as any other. Where the client wants a response
 * to each turn, the upstream is asked for none: the gateway asks for it when a turn was committed, so that it can be held first.
 * Invariants: the client's events go on in their order; a response that was not held ends the session.
 */
import { ApiError } from '../../domain/errors.ts';
import { isObject, type Json, type JsonObject } from '../../openai/body.ts';
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
import type { ClientLine, LineEnd } from './client-line.ts';
import { type CallOptions, RealtimeCall } from './realtime-call.ts';
import {
  READ_EVENTS,
  type RealtimeActions,
  RealtimeState,
  TRANSCRIPTION_BLOCK_SECONDS,
  takeEvent,
  type Update,
} from './realtime-events.ts';
import type { Task } from './realtime-queue.ts';
import { RealtimeSessionBase } from './realtime-session-base.ts';
import type { Session, SessionHost } from './session.ts';

/** How long the upstream may take to say that nothing is left in its buffer. */
const CLEARING_MS = 5_000;

export function openRealtime(line: ClientLine, host: SessionHost): Session {
  return new RealtimeSession(line, host);
}

class RealtimeSession extends RealtimeSessionBase implements RealtimeActions {
  readonly #state: RealtimeState;
  /** Since when nothing but the end of the upstream's buffer is waited for; null: it is not. */
  #clearingMs: number | null = null;

  constructor(line: ClientLine, host: SessionHost) {
    super(line, host, 'realtime');
    this.#state = new RealtimeState(this.opening, this.queue);
    this.begin(READ_EVENTS);
  }

  get isBusy(): boolean {
    return this.#state.responses.size > 0 || this.#state.transcriptions.size > 0 || this.asking !== null;
  }

  onClose(): void {
    const { responses, transcriptions } = this.#state;
    const calls = [this.asking, transcriptions.standing, ...responses, ...transcriptions.calls];
    for (const call of calls) call?.exchange.gone();
    this.finish({ code: 1000, reason: '', last: null });
  }

  finish(end: LineEnd): void {
    this.end ??= end;
    this.queue.clear();
    this.#shut();
  }

  sweep(nowMs: number): void {
    if (this.upstream === null || this.opening === null) return;
    const { lastMs } = this.upstream;
    const { firstEventTimeoutMs, idleTimeoutMs } = this.opening.sockets;
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
      this.asking === null &&
      this.#state.update === null &&
      this.end === null
    ) {
      const task = this.queue.first;
      if (task === undefined || this.isFull) return;
      // What has to be held first is done again when it is.
      if (this.#take(task, this.#state.config)) this.queue.drop(task);
      else this.heldUp = task;
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
      this.connected.sendEvent(event);
    } else {
      error = this.#state.memory.takeEvent(type, event, config);
      if (error === null) this.connected.sendEvent(event);
    }
    if (error !== null) this.refuse(error, eventId);
    return true;
  }

  #change(event: JsonObject): ApiError | null {
    const update = readUpdate(event.session, this.opening?.model ?? null);
    if (update instanceof ApiError) return update;
    const { session, responds } = update;
    this.send({ ...event, session }, { responds, clientEventId: event.event_id, isOwn: false });
    return null;
  }

  /** Asks the upstream for another configuration; nothing else goes on until it says what that is. */
  send(event: JsonObject, update: Omit<Update, 'eventId' | 'sinceMs'>): void {
    const eventId = this.client.newId();
    this.#state.update = { ...update, eventId, sinceMs: performance.now() };
    this.connected.sendEvent({ ...event, event_id: eventId });
  }

  #append(audio: string, eventId: Json | undefined, config: RealtimeConfig): boolean {
    const seconds = secondsOf(audio, config.bytesPerSecond);
    if (config.turns && !this.#isHeld(config, seconds)) return false;
    this.#state.memory.audio.append(seconds);
    const named = eventId === undefined ? null : { event_id: eventId };
    this.connected.sendEvent({ type: 'input_audio_buffer.append', audio, ...named });
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
    const head = { ...this.line.head, url: '/v1/realtime/transcriptions' };
    const call = new RealtimeCall({ ...this.#options(null), head, body, onHeld }, null, seconds);
    call.id = itemId;
    this.#ask(call);
  }

  #respond(response: JsonObject, eventId: Json | undefined, config: RealtimeConfig): ApiError | null {
    const { model = null, card = null } = this.opening ?? {};
    if (model === null || config.type === 'transcription') return noResponses();
    const wanted = readWanted(response, config);
    if (wanted instanceof ApiError) return wanted;
    const input = this.#state.memory.inputOf(wanted, config, card?.limits ?? null, this.#state.responses);
    // Tags may be in it.
    const metadata = isObject(response.metadata) ? { metadata: response.metadata } : null;
    const body = { model, ...bodyOf(wanted, input), ...metadata };
    const moment = this.#state.memory.conversation.now();
    const facts = { wanted, moment, eventId: this.client.newId(), clientEventId: eventId };
    const onHeld = (call: RealtimeCall): void => {
      this.#state.responses.add(call);
      const sent = sentAs(response, wanted, call.outputLimit);
      this.connected.sendEvent({ type: 'response.create', event_id: facts.eventId, response: sent });
    };
    this.#ask(new RealtimeCall({ ...this.#options(eventId), body, onHeld }, facts));
    return null;
  }

  #options(eventId: Json | undefined): Omit<CallOptions, 'body' | 'onHeld'> {
    return {
      head: this.line.head,
      onError: (event) => this.passError(event, eventId),
      onAbort: () => this.lost('interrupted'),
      onDestroy: () => this.line.terminate(),
    };
  }

  #ask(call: RealtimeCall): void {
    this.asking = call;
    this.host.run(this.deps, call.exchange, () => this.#served(call));
  }

  /** A call is in the ledger, or was refused. */
  #served(call: RealtimeCall): void {
    this.#state.responses.delete(call);
    this.#state.transcriptions.served(call);
    if (this.asking === call) {
      this.asking = null;
      // What the hold was for is refused with it.
      if (call.facts === null && call.id === null && this.heldUp !== null) this.queue.drop(this.heldUp);
    }
    if (this.end !== null) this.#shut();
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

  // The end.

  /** The upstream is not to be trusted with the session any more, or it has gone. */
  lost(failure: 'timeout' | 'interrupted'): void {
    this.#endCalls(failure);
    this.upstream?.terminate();
    this.gone({ code: 1011, reason: 'the session with the upstream has ended', last: null });
  }

  protected gone(end: LineEnd): void {
    this.upstream = null;
    this.#endCalls('interrupted');
    this.finish(end);
  }

  #endCalls(failure: 'timeout' | 'interrupted'): void {
    for (const call of [...this.#state.responses]) call.lost(failure);
    this.#state.transcriptions.lost(failure, this.#state.memory.audio.pending > 0);
  }

  /** Ends the session if nothing is under way. What stands in the buffer could still be transcribed: it is thrown away first. */
  #shut(): void {
    if (this.end === null || this.isBusy || this.#clearingMs !== null) return;
    this.line.close(this.end);
    if (this.upstream === null) return;
    if (this.#state.transcriptions.standing !== null && this.#state.memory.audio.pending > 0) {
      this.#clearingMs = performance.now();
      this.upstream.sendEvent({ type: 'input_audio_buffer.clear' });
    } else this.#cleared();
  }

  #cleared(): void {
    this.#clearingMs = null;
    this.#state.memory.audio.cut();
    this.#state.transcriptions.release();
    void this.upstream?.close();
  }
}
