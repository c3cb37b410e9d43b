/** What the upstream's events do to a realtime session. Owns: what the session knows of its configuration, and which response is which. */
import { type ApiError, apiError } from '../../domain/errors.ts';
import { isObject, type Json, type JsonObject } from '../../openai/body.ts';
import { type RealtimeConfig, readConfig, turnsOf, withTurns } from '../../openai/realtime.ts';
import type { RealtimeCall } from './realtime-call.ts';
import { RealtimeMemory } from './realtime-memory.ts';
import type { RealtimeOpening } from './realtime-opening.ts';
import type { TaskQueue } from './realtime-queue.ts';
import { Transcriptions } from './realtime-transcriptions.ts';

/** Where the upstream detects turns, a transcription is held for so much audio beyond what waits to be committed. */
export const TRANSCRIPTION_BLOCK_SECONDS = 600;

/** The upstream's events that `takeEvent` takes, and the one that ends a buffer. */
export const READ_EVENTS = new Set([
  ...['session.created', 'session.updated', 'response.created', 'response.done', 'error'],
  ...['input_audio_buffer.speech_stopped', 'input_audio_buffer.committed', 'input_audio_buffer.cleared'],
  'conversation.item.input_audio_transcription.completed',
  'conversation.item.input_audio_transcription.failed',
]);

/** A change of the configuration that the upstream was asked for. */
export interface Update {
  readonly eventId: string;
  readonly clientEventId: Json | undefined;
  /** Null: it says nothing of turns. */
  readonly responds: boolean | null;
  /** The gateway's own. */
  readonly isOwn: boolean;
  readonly sinceMs: number;
}

/** What a session knows. */
export class RealtimeState {
  readonly memory = new RealtimeMemory();
  readonly transcriptions = new Transcriptions();
  /** Responses under way. */
  readonly responses = new Set<RealtimeCall>();
  readonly queue: TaskQueue;
  /** Null: the upstream has not said it yet. */
  config: RealtimeConfig | null = null;
  /** The client wants each turn to be responded to. */
  responds = false;
  update: Update | null = null;
  /** Null: there is none, and the session ends. */
  readonly opening: RealtimeOpening | null;

  constructor(opening: RealtimeOpening | null, queue: TaskQueue) {
    this.opening = opening;
    this.queue = queue;
  }
}

/** What of a session its upstream's events set in motion. */
export interface RealtimeActions {
  /** Sends an event to the client. */
  pass(text: Buffer): void;
  /** Asks the upstream for another configuration. */
  send(event: JsonObject, update: Omit<Update, 'eventId' | 'sinceMs'>): void;
  /** Goes on with what waits. */
  next(): void;
  refuse(error: ApiError, eventId: Json | undefined): void;
  /** Ends a session that cannot be trusted any more. */
  lost(failure: 'timeout' | 'interrupted'): void;
}

/** Takes an event of the upstream, and passes it on. */
export function takeEvent(
  state: RealtimeState,
  session: RealtimeActions,
  type: string,
  event: JsonObject,
  text: Buffer,
): void {
  const { item_id: itemId, response, audio_end_ms: endMs } = event;
  if (type === 'session.created' || type === 'session.updated') {
    if (isObject(event.session)) configured(state, session, event, event.session);
    return;
  }
  if (type === 'error') {
    failed(state, session, event, text);
    return;
  }
  if (type === 'response.created' && !begun(state, session, isObject(response) ? response.id : undefined))
    return;
  if (type === 'input_audio_buffer.speech_stopped' && typeof endMs === 'number')
    state.memory.audio.turnEnds(endMs / 1000);
  session.pass(text);
  if (type === 'response.done' && isObject(response)) done(state, response);
  else if (type === 'input_audio_buffer.committed') committed(state, session, String(itemId));
  else if (type.startsWith('conversation.item.input_audio_transcription.'))
    state.transcriptions.ended(String(itemId), event);
}

function asText(event: JsonObject): Buffer {
  return Buffer.from(JSON.stringify(event));
}

/** The client sees the turns as it asked for them; the upstream is asked to respond to none. */
function configured(
  state: RealtimeState,
  session: RealtimeActions,
  event: JsonObject,
  said: JsonObject,
): void {
  const { update } = state;
  const config = readConfig(said);
  const turns = turnsOf(said);
  const mustNotRespond = config.responds && config.type === 'realtime';
  state.update = null;
  if (event.type === 'session.updated' && mustNotRespond) {
    const message = 'The upstream would respond to turns before their money is held: the session was ended.';
    session.refuse(apiError('upstream_unavailable', message), undefined);
    session.lost('interrupted');
    return;
  }
  state.memory.configured(config, state.config);
  state.config = config;
  if (event.type === 'session.created') state.responds = mustNotRespond;
  else if (update !== null) state.responds = update.responds ?? state.responds;
  if (update === null || !update.isOwn) {
    const isPlain = turns === null || config.type === 'transcription';
    const named = said.model === undefined ? said : { ...said, model: state.opening?.model ?? said.model };
    const shown = isPlain ? named : withTurns(named, { ...turns, create_response: state.responds });
    session.pass(asText({ ...event, session: shown }));
  }
  if (mustNotRespond && turns !== null) {
    const own = withTurns({ type: 'realtime' }, { ...turns, create_response: false });
    const plain = { responds: null, clientEventId: undefined, isOwn: true };
    session.send({ type: 'session.update', session: own }, plain);
  }
  session.next();
}

/** An error names the event that it is about: those that the gateway gave a name of its own get the client's back. */
function failed(state: RealtimeState, session: RealtimeActions, event: JsonObject, text: Buffer): void {
  const error = isObject(event.error) ? event.error : {};
  const { event_id: eventId } = error;
  const { update } = state;
  const named = (clientEventId: Json = null): Buffer =>
    asText({ ...event, error: { ...error, event_id: clientEventId } });
  if (update !== null && eventId === update.eventId) {
    state.update = null;
    session.pass(named(update.clientEventId));
    if (update.isOwn) session.lost('interrupted');
    else session.next();
    return;
  }
  if (error.code === 'input_audio_buffer_commit_empty') state.memory.commitFailed();
  const call = [...state.responses].find(({ facts }) => facts?.eventId === eventId);
  session.pass(call === undefined ? text : named(call.facts?.clientEventId));
  call?.refused(error);
}

/** Returns false where nothing holds the response: the session then ends, for what the upstream does is not known. */
function begun(state: RealtimeState, session: RealtimeActions, id: Json | undefined): boolean {
  const call = [...state.responses].find((each) => each.id === null && !each.isOver);
  if (call === undefined || typeof id !== 'string') {
    const message = 'The upstream began a response that nobody asked for: the session was ended.';
    session.refuse(apiError('upstream_unavailable', message), undefined);
    session.lost('interrupted');
    return false;
  }
  call.id = id;
  call.begun();
  return true;
}

function done(
  state: RealtimeState,
  { id, status, status_details: details, usage, output }: JsonObject,
): void {
  const call = [...state.responses].find((each) => each.id === id);
  if (call === undefined) return;
  state.memory.responded(call, usage, output, state.opening?.card?.limits ?? null);
  state.responses.delete(call);
  if (isObject(usage) || status === 'completed' || status === 'incomplete') call.done(usage);
  else call.failed(isObject(details) ? details.error : undefined);
}

/** Of what is committed each turn gets its response, and each commit its transcription. */
function committed(state: RealtimeState, session: RealtimeActions, itemId: string): void {
  const { config, queue } = state;
  const seconds = state.memory.committed();
  const isHeld = config?.transcription === null || state.transcriptions.committed(itemId);
  if (!isHeld) queue.unshift({ kind: 'late', itemId, seconds: seconds ?? TRANSCRIPTION_BLOCK_SECONDS });
  if (seconds !== null && state.responds && config?.type === 'realtime') queue.unshift({ kind: 'turn' });
  session.next();
}
