/**
 * The session of `/v1/realtime/translations`, which is billed by the length of the audio that it is sent. Owns: which of a client's events
 * go on and when, and the end of the session. A block of audio is a call, through the same stages as any other.
 * Invariants: the client's events go on in their order; audio that was not held is not sent.
 */
import { type ApiError, apiError } from '../../domain/errors.ts';
import { isObject, type Json, type JsonObject } from '../../openai/body.ts';
import { wrongType } from '../../openai/realtime.ts';
import {
  APPEND,
  CLOSE,
  hasTranscript,
  UPDATE,
  unknownEvent,
  whyNotUpdate,
  withoutTranscript,
} from '../../openai/translation.ts';
import type { ClientLine, LineEnd } from './client-line.ts';
import { blockFor, HeldAudio } from './held-audio.ts';
import { RealtimeCall } from './realtime-call.ts';
import type { Task } from './realtime-queue.ts';
import { RealtimeSessionBase } from './realtime-session-base.ts';
import type { Session, SessionHost } from './session.ts';

/** How long an upstream that was asked to close may say nothing. */
const CLOSING_MS = 5_000;
const READ_EVENTS = new Set(['session.created', 'session.updated', 'session.closed']);
/** An event of the client that waits. */
type AudioTask = Task & { kind: 'event' };

const CLOSED: LineEnd = { code: 1000, reason: '', last: null };

export function openTranslation(line: ClientLine, host: SessionHost): Session {
  return new TranslationSession(line, host);
}

class TranslationSession extends RealtimeSessionBase {
  readonly #audio = new HeldAudio();
  /** The upstream said how the session is set up, and it writes no transcript of the source. */
  #isReady = false;
  /** It was asked to write none. */
  #isMuted = false;
  /** Since when the upstream has been asked to close; null: it was not. */
  #closingMs: number | null = null;

  constructor(line: ClientLine, host: SessionHost) {
    super(line, host, 'translation');
    this.begin(READ_EVENTS);
  }

  /** Between two pieces of audio it is idle, though a block is held. */
  get isBusy(): boolean {
    return this.asking !== null || this.#closingMs !== null;
  }

  onClose(): void {
    this.asking?.exchange.gone();
    this.end ??= CLOSED;
    this.#over();
  }

  finish(end: LineEnd): void {
    this.end ??= end;
    this.queue.clear();
    this.#shut();
  }

  sweep(nowMs: number): void {
    if (this.upstream === null || this.opening === null) return;
    const silentMs = nowMs - this.upstream.lastMs;
    const { firstEventTimeoutMs } = this.opening.sockets;
    let isLate = !this.#isReady && firstEventTimeoutMs > 0 && silentMs >= firstEventTimeoutMs;
    if (this.#closingMs !== null) isLate ||= Math.min(silentMs, nowMs - this.#closingMs) >= CLOSING_MS;
    if (isLate) this.#lost('timeout');
    // What the upstream was too slow for.
    else this.next();
  }

  // What the client asks for.

  next(): void {
    if (this.end !== null) this.#shut();
    while (this.#isReady && this.asking === null && this.end === null) {
      const task = this.queue.first;
      if (task?.kind !== 'event' || this.isFull) return;
      // Audio that has to be held first is taken again when it is.
      if (this.#take(task)) this.queue.drop(task);
    }
  }

  /** Returns false where some of it is left. */
  #take(task: AudioTask): boolean {
    const { event } = task;
    const { type, event_id: eventId } = event;
    let error: ApiError | null = null;
    if (this.#closingMs !== null) error = closing();
    else if (type === APPEND) return this.#append(task, eventId);
    else if (type === UPDATE) error = whyNotUpdate(event);
    else if (type === CLOSE) this.#closingMs = performance.now();
    else error = unknownEvent(type);
    if (error !== null) this.refuse(error, eventId);
    else this.connected.sendEvent(event);
    return true;
  }

  /** Fills the block; what is left of the piece waits for the next. */
  #append(task: AudioTask, eventId: Json | undefined): boolean {
    const { event } = task;
    const { audio } = event;
    if (typeof audio !== 'string') {
      this.refuse(wrongType('audio'), eventId);
      return true;
    }
    const bytes = Buffer.byteLength(audio, 'base64');
    const { room } = this.#audio;
    if (bytes <= room) {
      this.#audio.take(bytes);
      this.connected.sendEvent(event);
      return true;
    }
    if (room === 0) {
      this.heldUp = task;
      this.#ask(blockFor(bytes), eventId);
      return false;
    }
    const all = Buffer.from(audio, 'base64');
    this.connected.sendEvent({ ...event, audio: all.toString('base64', 0, room) });
    this.#audio.take(room);
    this.queue.keepOf(task, { ...event, audio: all.toString('base64', room) });
    return false;
  }

  #ask(seconds: number, eventId: Json | undefined): void {
    const { head } = this.line;
    const options = {
      head: { ...head, url: '/v1/realtime/translations' },
      body: { model: this.opening?.model ?? null, seconds },
      onHeld: (held: RealtimeCall) => this.#audio.held(held),
      onError: (event: JsonObject) => this.passError(event, eventId),
      onAbort: () => this.#lost('interrupted'),
      onDestroy: () => this.line.terminate(),
    };
    const call = new RealtimeCall(options, null, seconds);
    this.asking = call;
    this.host.run(this.deps, call.exchange, () => this.#served(call));
  }

  /** A call is in the ledger, or was refused. */
  #served(call: RealtimeCall): void {
    this.#audio.served(call);
    if (this.asking !== call) return;
    this.asking = null;
    // The audio is refused with its hold.
    if (this.heldUp !== null) this.queue.drop(this.heldUp);
    this.next();
  }

  // What the upstream says.

  onOther(text: Buffer): void {
    this.pass(text);
  }

  onEvent(type: string, event: JsonObject, text: Buffer): void {
    if (type === 'session.closed') {
      this.line.send(text);
      this.end ??= CLOSED;
      this.#over();
    } else if (isObject(event.session)) this.#configured(event, event.session);
  }

  /** What a transcript of the source costs is not known: one that the upstream would write unasked is turned off first. */
  #configured(event: JsonObject, session: JsonObject): void {
    const isTranscribed = hasTranscript(session);
    if (isTranscribed && this.#isMuted) {
      const message =
        'The upstream would write a transcript whose price is not known: the session was ended.';
      this.refuse(apiError('upstream_unavailable', message), null);
      this.#lost('interrupted');
      return;
    }
    const isOwn = this.#isMuted && !this.#isReady;
    if (!isOwn) {
      const named = session.model === undefined ? null : { model: this.opening?.model ?? session.model };
      const shown = { ...withoutTranscript(session), ...named };
      this.pass(Buffer.from(JSON.stringify({ ...event, session: shown })));
    }
    if (isTranscribed) {
      this.#isMuted = true;
      this.#isReady = false;
      const silent = { audio: { input: { transcription: null } } };
      this.connected.sendEvent({ type: UPDATE, event_id: this.client.newId(), session: silent });
    } else {
      this.#isReady = true;
      this.next();
    }
  }

  override onClosed(code: number, reason: string): void {
    // In order: it had no more than it was sent.
    if (code === CLOSED.code) this.#audio.settle();
    super.onClosed(code, reason);
  }

  // The end.

  #lost(failure: 'timeout' | 'interrupted'): void {
    this.#audio.lost(failure);
    this.upstream?.terminate();
    this.gone({ code: 1011, reason: 'the session with the upstream has ended', last: null });
  }

  protected gone(end: LineEnd): void {
    this.upstream = null;
    this.#audio.lost('interrupted');
    this.end ??= end;
    this.#over();
  }

  /** Ends the session when the upstream has translated what it was sent. */
  #shut(): void {
    if (this.asking !== null || this.#closingMs !== null) return;
    if (this.upstream === null || !this.#audio.hasBegun) {
      this.#over();
      return;
    }
    this.#closingMs = performance.now();
    this.upstream.sendEvent({ type: CLOSE });
  }

  #over(): void {
    this.#closingMs = null;
    this.queue.clear();
    this.#audio.settle();
    if (this.end !== null) this.line.close(this.end);
    void this.upstream?.close();
    this.upstream = null;
  }
}

function closing(): ApiError {
  return apiError('invalid_request', `The session is being closed: nothing may follow '${CLOSE}'.`);
}
