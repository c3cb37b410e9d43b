/**
 * `/v1/realtime` over a WebSocket, in the shape of its general availability: sessions of a model, and with
 * `intent=transcription` such that transcribe alone. Every response reads the whole conversation and is billed by a line; so is
 * every transcription. WebRTC, SIP, prompts that are kept and tools of servers are not simulated.
 */
import { readDirectives } from './directives.ts';
import { type ApiError, invalidRequest, isApiError, unknownModel } from './errors.ts';
import { isObject, type JsonObject } from './fields.ts';
import { seededRandom } from './random.ts';
import { bytesPerMs, formatOf, type Heard, InputBuffer } from './realtime-audio.ts';
import { findRealtimeModel, planTranscription, type RealtimeModel } from './realtime-bill.ts';
import { checkResponse, newConfig, updateConfig } from './realtime-config.ts';
import { Conversation, type Item, readItem } from './realtime-conversation.ts';
import type { Wanted } from './realtime-response.ts';
import { type ResponseHost, RunningResponse } from './realtime-running.ts';
import type { Session, Work } from './socket.ts';
import { newId } from './stored.ts';
import { words } from './words.ts';

export function serveRealtime(session: Session): ApiError | null {
  const isTranscription = session.search.get('intent') === 'transcription';
  const name = session.search.get('model') ?? '';
  const model = isTranscription ? null : findRealtimeModel(name);
  if (!isTranscription && model === null) return unknownModel(name);
  const realtime = new Realtime(session, model);
  session.onOpen = () => realtime.start();
  return null;
}

type Handler = (event: JsonObject) => ApiError | null;

class Realtime implements ResponseHost {
  readonly session: Session;
  readonly model: RealtimeModel | null;
  readonly conversation = new Conversation();
  readonly conversationId: string;
  config: JsonObject;
  readonly #random;
  readonly #buffer: InputBuffer;
  /** Of the next item made of audio. */
  #nextItemId: string | null = null;
  /** The response that writes to the conversation; null: none does. */
  active: RunningResponse | null = null;
  readonly #running = new Set<RunningResponse>();
  #idle: NodeJS.Timeout | undefined;

  constructor(session: Session, model: RealtimeModel | null) {
    this.session = session;
    this.model = model;
    this.#random = seededRandom(session.state.seed, `session ${session.key}`);
    this.conversationId = this.newId('conv_');
    this.config = newConfig(this.newId('sess_'), model);
    this.#buffer = new InputBuffer((session.directives.mode ?? session.state.mode) === 'worst');
    session.onMessage = (event) => this.#receive(event);
    session.onInvalid = (error) => this.fail(error, null);
    session.onExpired = () => {
      const message = 'Your session hit the maximum duration of 60 minutes.';
      this.fail(invalidRequest(message, null, 'session_expired'), null);
    };
    session.onClose(() => {
      clearTimeout(this.#idle);
      for (const running of this.#running) running.leave();
    });
  }

  newId(prefix: string): string {
    return newId(prefix, this.#random);
  }

  start(): void {
    this.send('session.created', { session: this.config });
    if (this.model !== null)
      this.send('conversation.created', {
        conversation: { id: this.conversationId, object: 'realtime.conversation' },
      });
  }

  send(type: string, fields: object): void {
    this.session.send({ type, event_id: this.newId('event_'), ...fields });
  }

  fail({ type, code, message, param }: ApiError, eventId: unknown): void {
    this.send('error', {
      error: { type, code, message, param, event_id: typeof eventId === 'string' ? eventId : null },
    });
  }

  readonly #handlers: Record<string, Handler> = {
    'session.update': ({ session }) => {
      const config = updateConfig(this.config, session, this.model);
      if (isApiError(config)) return config;
      this.config = config;
      this.send('session.updated', { session: config });
      return null;
    },
    'conversation.item.create': (event) => this.#addItem(event),
    'conversation.item.retrieve': ({ item_id: id }) => {
      const item = this.conversation.find(id);
      if (isApiError(item)) return item;
      this.send('conversation.item.retrieved', { item: item.json });
      return null;
    },
    'conversation.item.delete': ({ item_id: id }) => {
      const error = this.conversation.remove(id);
      if (!error) this.send('conversation.item.deleted', { item_id: id });
      return error;
    },
    'conversation.item.truncate': (event) => this.#truncate(event),
    'input_audio_buffer.append': ({ audio }) => this.#append(audio),
    'input_audio_buffer.commit': () => {
      if (this.#buffer.bufferedMs < 100) {
        const message = `Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has ${this.#buffer.bufferedMs.toFixed(2)}ms of audio.`;
        return invalidRequest(message, null, 'input_audio_buffer_commit_empty');
      }
      this.#commit();
      return null;
    },
    'input_audio_buffer.clear': () => {
      this.#buffer.clear();
      this.send('input_audio_buffer.cleared', {});
      return null;
    },
    'response.create': ({ response }) => this.#create(isObject(response) ? response : {}),
    'response.cancel': ({ response_id: id }) => {
      const running = [...this.#running].find((one) =>
        id === undefined ? one === this.active : one.id === id,
      );
      if (running === undefined)
        return invalidRequest(
          'Cancellation failed: no active response found',
          null,
          'response_cancel_not_active',
        );
      running.cancel('client_cancelled');
      return null;
    },
  };

  #receive(event: JsonObject): void {
    clearTimeout(this.#idle);
    const type = String(event.type);
    const handler = Object.hasOwn(this.#handlers, type) ? this.#handlers[type] : undefined;
    const message = `Invalid value: '${type}'. Supported values are: ${Object.keys(this.#handlers)
      .map((one) => `'${one}'`)
      .join(', ')}.`;
    const error = handler === undefined ? invalidRequest(message, 'type', 'invalid_value') : handler(event);
    if (error) this.fail(error, event.event_id);
  }

  #input(): JsonObject {
    const audio = isObject(this.config.audio) ? this.config.audio : {};
    return isObject(audio.input) ? audio.input : {};
  }

  get #turns(): JsonObject | null {
    const { turn_detection: turns } = this.#input();
    return isObject(turns) ? turns : null;
  }

  #addItem({ item: sent, previous_item_id: after }: JsonObject): ApiError | null {
    const item = readItem(sent, this.newId('item_'), bytesPerMs(formatOf(this.#input())));
    if (isApiError(item)) return item;
    const error = this.conversation.add(item, typeof after === 'string' ? after : null);
    if (!error) this.#announce(item);
    return error;
  }

  #announce({ json }: Item): void {
    const fields = { previous_item_id: this.conversation.idBefore(json.id), item: json };
    this.send('conversation.item.added', fields);
    this.send('conversation.item.done', fields);
  }

  #truncate({ item_id: id, content_index: index, audio_end_ms: end }: JsonObject): ApiError | null {
    const item = this.conversation.find(id);
    if (isApiError(item)) return item;
    if (item.json.role !== 'assistant' || item.audioMs === 0)
      return invalidRequest('Only model output audio messages can be truncated', null, 'invalid_value');
    if (typeof end !== 'number' || end < 0 || end > item.audioMs) {
      const message = `Audio content of ${item.audioMs}ms is already shorter than ${String(end)}ms`;
      return invalidRequest(message, 'audio_end_ms', 'invalid_value');
    }
    item.audioMs = end;
    item.textTokens = 0;
    item.json.content = [{ type: 'output_audio', transcript: '' }];
    this.send('conversation.item.truncated', { item_id: id, content_index: index, audio_end_ms: end });
    return null;
  }

  #append(audio: unknown): ApiError | null {
    if (typeof audio !== 'string' || !/^[A-Za-z0-9+/]*={0,2}$/.test(audio))
      return invalidRequest(
        "Invalid 'audio'. Expected base64-encoded audio bytes.",
        'audio',
        'invalid_value',
      );
    const turns = this.#turns;
    this.#buffer.append(Buffer.from(audio, 'base64'), formatOf(this.#input()), turns, (heard) =>
      this.#hear(turns ?? {}, heard),
    );
    return null;
  }

  #hear(turns: JsonObject, { started, stopped }: Heard): void {
    if (started !== null) {
      this.#nextItemId = this.newId('item_');
      this.send('input_audio_buffer.speech_started', { audio_start_ms: started, item_id: this.#nextItemId });
      if (turns.interrupt_response !== false) this.active?.cancel('turn_detected');
      return;
    }
    this.send('input_audio_buffer.speech_stopped', { audio_end_ms: stopped, item_id: this.#nextItemId });
    this.#commit();
    if (turns.create_response !== false && this.model !== null && this.active === null) this.#create({});
  }

  #commit(): void {
    const id = this.#nextItemId ?? this.newId('item_');
    const seconds = this.#buffer.bufferedMs / 1000;
    this.#nextItemId = null;
    const content = [{ type: 'input_audio', transcript: null }];
    const json = { id, object: 'realtime.item', type: 'message', role: 'user', status: 'completed', content };
    const item: Item = { json, audioMs: this.#buffer.bufferedMs, textTokens: null, wasRead: false };
    this.#buffer.clear();
    this.send('input_audio_buffer.committed', { previous_item_id: this.conversation.lastId, item_id: id });
    this.conversation.add(item, null);
    this.#announce(item);
    const { transcription } = this.#input();
    if (isObject(transcription)) this.#transcribe(item, seconds, transcription);
  }

  /** Of faults a transcription knows one: it fails. */
  #transcribe(item: Item, seconds: number, { model, prompt }: JsonObject): void {
    const work = this.session.begin('realtime.transcription');
    const name = String(model);
    work.entry.model = name;
    if (work.fault?.name !== 'failed') work.fault = null;
    const worst = this.session.modeOf(work) === 'worst';
    const { said, usage, costPicoUsd } = planTranscription(name, seconds, String(prompt ?? ''), {
      worst,
      random: work.random,
    });
    const isBilled = work.fault?.billed ?? true;
    if (isBilled) work.entry.usage = usage;
    const line = this.session.bill(work, 200, isBilled ? costPicoUsd : 0n);
    const place = { item_id: item.json.id, content_index: 0 };
    const name_ = 'conversation.item.input_audio_transcription';
    if (work.fault !== null) {
      const error = {
        type: 'server_error',
        code: 'audio_unintelligible',
        message: 'The audio could not be transcribed.',
        param: null,
      };
      this.send(`${name_}.failed`, { ...place, error });
      return;
    }
    const pieces = words(work.random, Math.max(1, Math.ceil(seconds)), true);
    const write = (at: number): void => {
      if (at < pieces.length) this.send(`${name_}.delta`, { ...place, delta: pieces[at] });
      else this.send(`${name_}.completed`, { ...place, transcript: pieces.join(''), usage: said });
    };
    this.session.pace(work, pieces.length + 1, write, () => {
      line.completed = true;
    });
  }

  #create(response: JsonObject): ApiError | null {
    const { model } = this;
    if (model === null)
      return invalidRequest(
        'Responses cannot be created in a transcription session.',
        'type',
        'invalid_value',
      );
    const { input, conversation = 'auto', metadata } = response;
    const inConversation = conversation !== 'none';
    const error = checkResponse(response, model, 'response');
    if (error) return error;
    if (inConversation && this.active !== null) {
      const message = `Conversation already has an active response in progress: ${this.active.id}. Wait until the response is finished before creating a new one.`;
      return invalidRequest(message, null, 'conversation_already_has_active_response');
    }
    const items = Array.isArray(input) ? this.#resolve(input) : this.conversation.items;
    if (isApiError(items)) return items;
    const ordered =
      isObject(metadata) && typeof metadata.simulator === 'string' ? metadata.simulator : undefined;
    const directives = readDirectives(ordered);
    if (isApiError(directives)) return directives;
    const work = this.session.begin('realtime', directives);
    work.entry.model = model.name;
    return this.#run(work, model, {
      body: { ...this.config, ...response },
      items: [...items],
      inConversation,
    });
  }

  #run(work: Work, model: RealtimeModel, wanted: Wanted): ApiError | null {
    const running = new RunningResponse(this, work, model, wanted);
    if (running.error !== null) {
      this.session.bill(work, running.error.status, 0n);
      return running.error;
    }
    this.#running.add(running);
    if (wanted.inConversation) this.active = running;
    running.start();
    return null;
  }

  /** Called by each response at its end. */
  ended(running: RunningResponse, audioMs: number): void {
    this.#running.delete(running);
    if (this.active !== running) return;
    this.active = null;
    const idleMs = this.#turns?.idle_timeout_ms;
    if (typeof idleMs !== 'number') return;
    this.#idle = setTimeout(() => {
      const [start, end] = [this.#buffer.totalMs, this.#buffer.totalMs + idleMs];
      this.send('input_audio_buffer.timeout_triggered', {
        audio_start_ms: start,
        audio_end_ms: end,
        item_id: this.newId('item_'),
      });
      this.#create({});
    }, idleMs + audioMs).unref();
  }

  /** The items that a response is given instead of the conversation: its own, and such as stand in the session. */
  #resolve(input: readonly unknown[]): Item[] | ApiError {
    const items: Item[] = [];
    for (const sent of input) {
      const isReference = isObject(sent) && sent.type === 'item_reference';
      const item = isReference
        ? this.conversation.find(sent.id)
        : readItem(sent, this.newId('item_'), bytesPerMs(formatOf(this.#input())));
      if (isApiError(item)) return item;
      items.push(item);
    }
    return items;
  }

  markRead(items: readonly Item[]): void {
    for (const item of this.conversation.items) item.wasRead = items.includes(item);
  }
}
