/**
 * The events of realtime sessions (OpenAPI specification 2.3.0), as far as they move cost. Owns: which of a client's events are sent
 * on, what an item weighs at most, what a session's configuration says. Does not own: what a conversation weighs (domain/realtime.ts).
 * What is not known is refused, as everywhere: a new event could cost something.
 */
import { ApiError, apiError } from '../domain/errors.ts';
import { added, times, UNKNOWN_IMAGE_TOKENS, WEIGHTLESS, type Weight } from '../domain/realtime.ts';
import { isObject, type Json, type JsonObject } from './body.ts';

/** Tokens of a second of audio: 10 as OpenAI's guide to realtime sessions says; twice as many are held. */
const AUDIO_TOKENS_PER_SECOND = 20;
/** What frames an item, and what opens a response, beside their text. */
const ITEM_FRAME_TOKENS = 16;
const RESPONSE_FRAME_TOKENS = 64;
/** The API takes limits up to this, and `inf`. */
const OUTPUT_LIMIT_MOST = 4096;

/** What of a session decides what it costs, as the upstream says it. */
export interface RealtimeConfig {
  /** Of a session that transcribes alone there are no responses. */
  readonly type: 'realtime' | 'transcription';
  /** Responses may be spoken. */
  readonly speaks: boolean;
  /** Null: as long as the model writes. */
  readonly maxOutputTokens: number | null;
  readonly prefaceTokens: number;
  /** The upstream detects turns, and commits them. */
  readonly turns: boolean;
  /** It would respond to each turn. */
  readonly responds: boolean;
  readonly transcription: { readonly model: string; readonly promptBytes: number } | null;
  readonly bytesPerSecond: number;
  /** The most tokens behind the instructions before some are left out; null: as many as fit. */
  readonly retainedTokens: number | null;
}

export function readConfig(session: JsonObject): RealtimeConfig {
  const audio = objectOf(session.audio);
  const input = objectOf(audio.input);
  const { turn_detection: turns, transcription } = input;
  const { max_output_tokens: most, truncation } = session;
  const limits = objectOf(objectOf(truncation).token_limits);
  return {
    type: session.type === 'transcription' ? 'transcription' : 'realtime',
    speaks: !isTextOnly(session.output_modalities),
    maxOutputTokens: typeof most === 'number' ? most : null,
    prefaceTokens: prefaceTokens(session.instructions, session.tools),
    turns: isObject(turns),
    responds: isObject(turns) && turns.create_response !== false,
    transcription:
      isObject(transcription) && typeof transcription.model === 'string'
        ? { model: transcription.model, promptBytes: Buffer.byteLength(JSON.stringify(transcription)) }
        : null,
    bytesPerSecond: bytesPerSecond(objectOf(input.format).type),
    retainedTokens: typeof limits.post_instructions === 'number' ? limits.post_instructions : null,
  };
}

function objectOf(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function isTextOnly(modalities: Json | undefined): boolean {
  return Array.isArray(modalities) && modalities.length > 0 && modalities.every((one) => one === 'text');
}

/** 24 kHz in 16 bits; G.711 has 8 kHz in 8. What is not known is taken for the denser. */
function bytesPerSecond(format: Json | undefined): number {
  return format === 'audio/pcm' ? 48_000 : 8_000;
}

function prefaceTokens(instructions: Json | undefined, tools: Json | undefined): number {
  const list = Array.isArray(tools) ? tools : [];
  return RESPONSE_FRAME_TOKENS + bytesOf(instructions) + bytesOf(list) + list.length * ITEM_FRAME_TOKENS;
}

function bytesOf(value: Json | undefined): number {
  if (value === undefined || value === null) return 0;
  return Buffer.byteLength(typeof value === 'string' ? value : JSON.stringify(value));
}

const SESSION_FIELDS = new Set([
  ...['type', 'model', 'output_modalities', 'instructions', 'audio', 'tools', 'tool_choice'],
  ...['max_output_tokens', 'truncation', 'include', 'tracing', 'parallel_tool_calls', 'reasoning', 'prompt'],
]);
const INPUT_FIELDS = new Set(['format', 'transcription', 'noise_reduction', 'turn_detection']);
const TURN_FIELDS = new Set([
  ...['type', 'threshold', 'prefix_padding_ms', 'silence_duration_ms', 'eagerness'],
  ...['create_response', 'interrupt_response', 'idle_timeout_ms'],
]);
const RESPONSE_FIELDS = new Set([
  ...['output_modalities', 'instructions', 'audio', 'tools', 'tool_choice', 'max_output_tokens'],
  ...['conversation', 'metadata', 'input', 'parallel_tool_calls', 'reasoning', 'prompt'],
]);

/** Events that are sent on as they are, and such as are looked at. */
export const CLIENT_EVENTS = new Set([
  ...['session.update', 'response.create', 'response.cancel', 'output_audio_buffer.clear'],
  ...['input_audio_buffer.append', 'input_audio_buffer.commit', 'input_audio_buffer.clear'],
  ...['conversation.item.create', 'conversation.item.retrieve', 'conversation.item.delete'],
  'conversation.item.truncate',
]);

/** What an update is sent on as: the upstream responds to no turn by itself, for each response is held before it begins. */
export interface SessionUpdate {
  readonly session: JsonObject;
  /** Whether turns are to be responded to; null: it does not say. */
  readonly responds: boolean | null;
}

/** @param model of the session; null: it transcribes alone */
export function readUpdate(session: Json | undefined, model: string | null): SessionUpdate | ApiError {
  if (!isObject(session)) return invalid('session', 'must be an object');
  const error =
    unknownIn(session, SESSION_FIELDS, 'session') ??
    unknownIn(objectOf(objectOf(session.audio).input), INPUT_FIELDS, 'session.audio.input') ??
    whyNotTools(session, 'session');
  if (error !== null) return error;
  if (session.model !== undefined && session.model !== model)
    return invalid('session.model', 'cannot be changed: open another session');
  // The upstream may have another name for it.
  const { model: _model, ...rest } = session;
  const { turn_detection: turns } = objectOf(objectOf(session.audio).input);
  if (turns === undefined) return { session: rest, responds: null };
  if (!isObject(turns)) return { session: rest, responds: false };
  const unknown = unknownIn(turns, TURN_FIELDS, 'session.audio.input.turn_detection');
  if (unknown !== null) return unknown;
  const at = 'session.audio.input.turn_detection.idle_timeout_ms';
  if ((turns.idle_timeout_ms ?? null) !== null)
    return unbounded(at, 'the upstream would respond again and again while nobody speaks: leave it out');
  return {
    session: withTurns(rest, { ...turns, create_response: false }),
    responds: turns.create_response !== false,
  };
}

/** Returns a session's configuration with other turns. */
export function withTurns(session: JsonObject, turns: JsonObject): JsonObject {
  const audio = objectOf(session.audio);
  return { ...session, audio: { ...audio, input: { ...objectOf(audio.input), turn_detection: turns } } };
}

export function turnsOf(session: JsonObject): JsonObject | null {
  const { turn_detection: turns } = objectOf(objectOf(session.audio).input);
  return isObject(turns) ? turns : null;
}

/** Returns why not all of the tools can be served; null: they can. */
function whyNotTools({ tools, prompt }: JsonObject, at: string): ApiError | null {
  if ((prompt ?? null) !== null)
    return unbounded(`${at}.prompt`, 'what it says is kept by the upstream: send it as instructions');
  const foreign = Array.isArray(tools) ? tools.findIndex((tool) => objectOf(tool).type !== 'function') : -1;
  if (foreign === -1) return null;
  return unbounded(
    `${at}.tools[${foreign}]`,
    "what a server's tools bring has no bound: offer tools of the type 'function' alone",
  );
}

function unknownIn(value: JsonObject, known: ReadonlySet<string>, at: string): ApiError | null {
  const name = Object.keys(value).find((each) => !known.has(each));
  if (name === undefined) return null;
  return unbounded(`${at}.${name.slice(0, 64)}`, 'this gateway does not know it: leave it out');
}

function unbounded(param: string, why: string): ApiError {
  return apiError('unbounded_request', `The cost of '${param}' has no known bound: ${why}.`, { param });
}

function invalid(param: string, what: string): ApiError {
  return apiError('invalid_request', `'${param}' ${what}.`, { param });
}

export function secondsOf(base64: string, bytesPerSecond: number): number {
  return Buffer.byteLength(base64, 'base64') / bytesPerSecond;
}

export function audioWeight(seconds: number): Weight {
  return { ...WEIGHTLESS, audio: Math.ceil(seconds * AUDIO_TOKENS_PER_SECOND) };
}

/** Of an item that audio was made to. */
export const FRAME: Weight = { ...WEIGHTLESS, text: ITEM_FRAME_TOKENS };

const PARTS = new Set([
  'input_text',
  'input_audio',
  'input_image',
  'output_text',
  'output_audio',
  'text',
  'audio',
]);

/** Returns the most that an item weighs. An image is bounded by the model's window alone. */
export function weighItem(item: Json | undefined, bytesPerSecond: number): Weight | ApiError {
  if (!isObject(item)) return invalid('item', 'must be an object');
  if (item.type !== 'message' && item.type !== 'function_call' && item.type !== 'function_call_output')
    return unbounded(
      'item.type',
      "send items of the types 'message', 'function_call' and 'function_call_output' alone",
    );
  let bytes = bytesOf(item);
  let weight: Weight = WEIGHTLESS;
  for (const part of Array.isArray(item.content) ? item.content : []) {
    const { type, audio, image_url: image = type === 'input_image' ? null : undefined } = objectOf(part);
    if (typeof type !== 'string' || !PARTS.has(type))
      return unbounded(
        'item.content',
        `send parts of the types ${[...PARTS].map((each) => `'${each}'`).join(', ')} alone`,
      );
    if (objectOf(part).file_id !== undefined)
      return unbounded('item.content', "a stored file is not read here: send an image in 'image_url'");
    if (typeof audio === 'string') {
      bytes -= audio.length;
      weight = added(weight, audioWeight(secondsOf(audio, bytesPerSecond)));
    }
    if (image === undefined) continue;
    if (typeof image === 'string') bytes -= image.length;
    weight = added(weight, { ...WEIGHTLESS, image: UNKNOWN_IMAGE_TOKENS });
  }
  return added(weight, { ...FRAME, text: ITEM_FRAME_TOKENS + bytes });
}

/** What a response is asked for. */
export interface WantedResponse {
  readonly speaks: boolean;
  /** The client's own limit; null: none. */
  readonly limit: number | null;
  /** Tokens of instructions and tools of its own; null: the session's. */
  readonly prefaceTokens: number | null;
  /** What it reads instead of the conversation, where that stands in it, and how often it names an item; null: it reads the conversation. */
  readonly input: { readonly weight: Weight; readonly references: number } | null;
  readonly inConversation: boolean;
}

export function readWanted(response: JsonObject, config: RealtimeConfig): WantedResponse | ApiError {
  const error = unknownIn(response, RESPONSE_FIELDS, 'response') ?? whyNotTools(response, 'response');
  if (error !== null) return error;
  const { output_modalities: modalities, max_output_tokens: most, input, instructions, tools } = response;
  const isLimit = typeof most === 'number' && Number.isSafeInteger(most) && most > 0;
  if (most !== undefined && most !== 'inf' && !isLimit)
    return invalid('response.max_output_tokens', "must be a positive integer or 'inf'");
  const ownPreface = instructions !== undefined || tools !== undefined;
  // What it does not replace stays the session's.
  const preface = ownPreface ? config.prefaceTokens + prefaceTokens(instructions, tools) : null;
  const read = input === undefined ? null : weighInput(input, config.bytesPerSecond);
  if (read instanceof ApiError) return read;
  return {
    speaks: modalities === undefined ? config.speaks : !isTextOnly(modalities),
    limit: most === undefined ? config.maxOutputTokens : isLimit ? most : null,
    prefaceTokens: preface,
    input: read,
    inConversation: response.conversation !== 'none',
  };
}

function weighInput(input: Json, bytesPerSecond: number): WantedResponse['input'] | ApiError {
  if (!Array.isArray(input)) return invalid('response.input', 'must be a list of items');
  let weight = WEIGHTLESS;
  let references = 0;
  for (const item of input) {
    if (objectOf(item).type === 'item_reference') {
      references++;
      continue;
    }
    const own = weighItem(item, bytesPerSecond);
    if (own instanceof ApiError) return own;
    weight = added(weight, own);
  }
  return { weight, references };
}

/** The most that a response reads. @param conversation what the session's may weigh, without instructions and tools */
export function inputOf(
  { weight, references }: NonNullable<WantedResponse['input']>,
  conversation: Weight,
): Weight {
  return added(weight, times(conversation, references));
}

/** A response's usage as an amount of each kind; null: it says none. */
export function reportedWeight(usage: Json | undefined): { input: Weight; output: Weight } | null {
  if (!isObject(usage)) return null;
  return { input: detailsOf(usage, 'input'), output: detailsOf(usage, 'output') };
}

function detailsOf(usage: JsonObject, side: 'input' | 'output'): Weight {
  const details = objectOf(usage[`${side}_token_details`]);
  const number = (value: Json | undefined): number => (typeof value === 'number' && value > 0 ? value : 0);
  const weight = {
    text: number(details.text_tokens),
    audio: number(details.audio_tokens),
    image: number(details.image_tokens),
  };
  // What no detail speaks of may be any kind; audio is the dearest.
  const rest = number(usage[`${side}_tokens`]) - weight.text - weight.audio - weight.image;
  return rest > 0 ? { ...weight, audio: weight.audio + rest } : weight;
}

/** Bytes of what a response wrote as text: its words, transcripts and arguments. */
export function writtenBytes(output: Json | undefined): number {
  let bytes = 0;
  for (const item of Array.isArray(output) ? output : []) {
    const { content, name, arguments: given } = objectOf(item);
    bytes += ITEM_FRAME_TOKENS + bytesOf(name) + bytesOf(given);
    for (const part of Array.isArray(content) ? content : [])
      bytes += bytesOf(objectOf(part).text) + bytesOf(objectOf(part).transcript);
  }
  return bytes;
}

/** What the call of a response says of its cost: the fields of its descriptor. */
export function bodyOf({ limit, speaks }: WantedResponse, { text, audio, image }: Weight): JsonObject {
  const input = { input_tokens: text + audio + image, audio_tokens: audio, image_tokens: image };
  return { ...(limit === null ? null : { max_output_tokens: limit }), ...input, speaks };
}

/** What a response is asked for with: what it was held for. @param limit null: none is written in */
export function sentAs(response: JsonObject, { speaks }: WantedResponse, limit: number | null): JsonObject {
  // The API takes no larger number.
  const most = limit === null ? null : { max_output_tokens: Math.min(limit, OUTPUT_LIMIT_MOST) };
  return { ...response, output_modalities: [speaks ? 'audio' : 'text'], ...most };
}

export function unknownEvent(type: Json | undefined): ApiError {
  const message = `Tollgate does not send on events of the type '${String(type).slice(0, 64)}'. It sends on: ${[...CLIENT_EVENTS].join(', ')}.`;
  return apiError('invalid_request', message, { param: 'type' });
}

export function wrongType(param: string): ApiError {
  return apiError('invalid_request', `'${param}' is missing, or of a wrong type.`, { param });
}

export function noResponses(): ApiError {
  const message = 'A session that transcribes has no responses: open one with ?model=… instead.';
  return apiError('invalid_request', message, { param: 'type' });
}
