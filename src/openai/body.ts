/**
 * A JSON body: values that are not checked yet, names that stand twice, typed reading of the fields that move a call's
 * cost, and the parts of a prompt. Text costs no more tokens than it has bytes; everything else either is bounded by the
 * model (inline images) or refused. Unknown types are refused: they may be anything.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { KeptInput } from '../domain/kept.ts';
import type { NamedObject } from '../domain/objects.ts';
import {
  type BeyondText,
  type HostedTools,
  noCalls,
  noneBeyondText,
  type Operation,
  type Reference,
} from '../domain/operation.ts';

export type Json = null | boolean | number | string | Json[] | JsonObject;

export interface JsonObject {
  [key: string]: Json | undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses text; undefined when it is not JSON. */
export function parseJson(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** Returns the body's object, or why it is none. */
export function parseBytes(body: Buffer, bytes: string): JsonObject | ApiError {
  // Of ASCII alone the two are the same, and a second copy is saved.
  const isPlain = isAscii(body);
  if (!isPlain && !isUtf8(body)) return apiError('invalid_json', 'The body is not valid UTF-8.');
  const json = parseJson(isPlain ? bytes : body.toString());
  if (json === undefined) return apiError('invalid_json', 'The body is not valid JSON.');
  return isObject(json) ? json : apiError('invalid_json', 'The body must be a JSON object.');
}

/** Counts the names of all objects within a value. The nesting was bounded when its text was scanned. */
export function countNames(value: Json | undefined): number {
  if (typeof value !== 'object' || value === null) return 0;
  let names = 0;
  if (Array.isArray(value)) {
    for (const item of value) names += countNames(item);
    return names;
  }
  for (const name of Object.keys(value)) names += 1 + countNames(value[name]);
  return names;
}

/** ECMAScript's "JSON.parse source text access", which the runtime has and TypeScript's library does not yet. */
const exact = JSON as unknown as {
  parse(text: string, reviver: (name: string, value: Json, context: { source?: string }) => Json): JsonObject;
  rawJSON(text: string): Json;
};

/**
 * Rewrites the body: each name once, with the value that was understood. Numbers keep the digits the client wrote
 * (a 64-bit seed would lose some as a JavaScript number). Values and nesting were bounded when the body was scanned.
 */
export function rewriteBody(body: Buffer): Buffer {
  const json = exact.parse(body.toString(), (_name, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exact.rawJSON(source)
      : value,
  );
  return Buffer.from(JSON.stringify(json));
}

/** Where the value of a member stands in a body: from its first byte to behind its last. */
export type Span = readonly [start: number, end: number];

/** Returns where the values of some members of the body's object stand, in their order. The body is one JSON object. */
export function findSpans(body: Buffer, wanted: readonly string[]): Map<string, Span> {
  const text = body.toString('latin1');
  const spans = new Map<string, Span>();
  let at = text.indexOf('{') + 1;
  while (spans.size < wanted.length) {
    const opening = text.indexOf('"', at);
    if (opening === -1) break;
    const closing = endOfString(text, opening + 1);
    const name = JSON.parse(text.slice(opening, closing)) as string;
    let start = text.indexOf(':', closing) + 1;
    while (text.charCodeAt(start) <= 0x20) start++;
    at = endOfValue(text, start);
    if (!wanted.includes(name)) continue;
    let end = at;
    while (text.charCodeAt(end - 1) <= 0x20) end--;
    spans.set(name, [start, end]);
  }
  return spans;
}

/** The index behind the closing quote of a string whose first character is at `start`. */
export function endOfString(text: string, start: number): number {
  let at = start;
  for (;;) {
    const quote = text.indexOf('"', at);
    let slashes = quote;
    while (slashes > at && text[slashes - 1] === '\\') slashes--;
    at = quote + 1;
    if ((quote - slashes) % 2 === 0) return at;
  }
}

/** The index of the comma or bracket that follows a value of an object. */
export function endOfValue(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    switch (text[at]) {
      case '"':
        at = endOfString(text, at + 1) - 1;
        break;
      case '{':
      case '[':
        depth++;
        break;
      case '}':
      case ']':
        if (depth-- === 0) return at;
        break;
      case ',':
        if (depth === 0) return at;
    }
  }
  return text.length;
}

/**
 * Names of the API's requests, at any depth (OpenAPI specification 2.3.0): those that the gateway reads, and the rest of the
 * top level.
 */
const NAMES = new Set(
  `audio background best_of content context_management conversation detail dimensions echo encoding_format
  encrypted_content environment execution file file_data file_id file_url frequency_penalty function_call functions image_url include include_usage input instructions logit_bias logprobs
  max_completion_tokens max_output_tokens max_tokens max_tool_calls messages metadata modalities mode model moderation n
  output parallel_tool_calls prediction presence_penalty previous_response_id prompt prompt_cache_key prompt_cache_options
  prompt_cache_retention reasoning reasoning_effort response_format result role safety_identifier seed service_tier stop store
  stream stream_options suffix temperature text tool_choice tools top_logprobs top_p truncation ttl type url user verbosity
  web_search_options evaluation_metric container container_id conversation_id file_ids input_file_id input_image_mask part_ids
  skill_id skills training_file validation_file vector_store_id vector_store_ids file grader graders images input_fidelity languages keywords mask partial_images quality size speed stream_format voice`.split(
    /\s+/,
  ),
);
/** What stands in these is named by the client. */
const OWN_NAMES = new Set(
  'headers input_schema item logit_bias metadata parameters sample schema variables'.split(' '),
);

/** The largest output limit that is passed on: OpenAI's integers are 32 bits wide. */
export const MAX_TOKENS = 2 ** 31 - 1;
const MAX_NAME_CHARACTERS = 256;

/**
 * Typed reading of one request's fields. The first error found stays and later reads go on with harmless values, so
 * that a reader of an operation is a plain list of fields; its caller reads `error` at the end.
 * Null and missing mean the same, as they do upstream.
 */
export class Fields {
  readonly json: JsonObject;
  error: ApiError | null = null;
  #beyondText: BeyondText | null = null;
  /** The tools that the upstream is to run; null: none. */
  hosted: HostedTools | null = null;
  /** Which of the input's items is being read. */
  item = 0;
  /** What the gateway has to write in as the choice of tools; null: nothing. */
  toolChoice: Json = null;
  /** Objects that the request names and that are not weighed by what is known of them; null: none. */
  objects: NamedObject[] | null = null;
  files: readonly FormFile[] = [];

  constructor(json: JsonObject) {
    this.json = json;
  }

  invalid(param: string, message: string): void {
    this.error ??= apiError('invalid_request', message, { param });
  }

  /** What of the input is more than text; made at the first use. */
  get beyondText(): BeyondText {
    this.#beyondText ??= noneBeyondText();
    return this.#beyondText;
  }

  /** Null: all of the input is text. */
  get maybeBeyondText(): BeyondText | null {
    return this.#beyondText;
  }

  /** The field may cost as much input as the model reads. */
  boundByWindow(param: string): void {
    this.beyondText.windowParam ??= param;
  }

  /** The field names what the upstream keeps. */
  refer(kind: Reference['kind'], name: string, param: string, isSent = false): void {
    const { beyondText } = this;
    beyondText.references ??= [];
    beyondText.references.push({ kind, name, param, item: this.item, isSent });
  }

  /** The field names an object that its team must own. */
  own(kind: NamedObject['kind'], id: string, param: string): void {
    this.objects ??= [];
    this.objects.push({ kind, id, param });
  }

  /** Refuses what nothing in the request bounds, naming the field and what to do instead of it. */
  unbounded(param: string, why: string, remedy = `Remove '${param}'.`): void {
    const message = `The cost of this request cannot be bounded before it is sent: ${why}. ${remedy}`;
    const { model } = this.json;
    const named = typeof model === 'string' ? model : undefined;
    this.error ??= apiError('unbounded_request', message, { param, model: named });
  }

  /**
   * Refuses names of the API in other letters (`Max_Tokens`, `ſtream`): servers written in Go read them as the names
   * themselves, others pass over them, so what they do cannot be bounded.
   */
  refuseOtherCase(): void {
    this.#refuseOtherCase(this.json, '');
  }

  #refuseOtherCase(value: Json | undefined, path: string): void {
    if (typeof value !== 'object' || value === null || this.error !== null) return;
    if (Array.isArray(value)) {
      for (let index = 0; index < value.length; index++)
        this.#refuseOtherCase(value[index], `${path}[${index}]`);
      return;
    }
    for (const name of Object.keys(value)) {
      const param = path === '' ? name : `${path}.${name}`;
      // Upper case first: it knows the long s and the Kelvin sign for what they are.
      const usual = name.toUpperCase().toLowerCase();
      if (usual !== name && NAMES.has(usual)) {
        const shown = param.slice(0, MAX_NAME_CHARACTERS);
        this.invalid(shown, `'${shown}' is not a name of the API: write '${usual}'.`);
      } else if (!OWN_NAMES.has(name)) this.#refuseOtherCase(value[name], param);
    }
  }

  /** Refuses a field unless it is missing, null, false or an empty list. */
  unboundedIfSet(name: string, why: string): void {
    const value = this.json[name];
    if (value === undefined || value === null || value === false) return;
    if (Array.isArray(value) && value.length === 0) return;
    this.unbounded(name, why);
  }

  integer(name: string, least: number, most: number): number | null {
    const value = this.json[name];
    if (value === undefined || value === null) return null;
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
    this.invalid(name, `'${name}' must be an integer from ${least} to ${most}.`);
    return null;
  }

  boolean(name: string): boolean {
    const value = this.json[name];
    if (value === undefined || value === null) return false;
    if (typeof value !== 'boolean') this.invalid(name, `'${name}' must be a boolean.`);
    return value === true;
  }

  /** A short text such as a model's or a user's name; null when missing or empty. */
  name(name: string): string | null {
    const value = this.json[name];
    if (value === undefined || value === null || value === '') return null;
    if (typeof value === 'string' && value.length <= MAX_NAME_CHARACTERS) return value;
    this.invalid(name, `'${name}' must be a string of at most ${MAX_NAME_CHARACTERS} characters.`);
    return null;
  }

  object(name: string): JsonObject | null {
    const value = this.json[name];
    if (value === undefined || value === null) return null;
    if (typeof value === 'object' && !Array.isArray(value)) return value;
    this.invalid(name, `'${name}' must be an object.`);
    return null;
  }
}

/** What one operation's fields say about its cost, beside what all operations have in common. */
export interface Bounds {
  /** Output tokens per choice, null: open-ended. */
  outputTokensLimit: number | null;
  choices: number;
  extraOutputTokens: number;
  /** What the upstream keeps of the call; missing: nothing. */
  keeps?: Pick<KeptInput, 'isStored' | 'isCut' | 'reasoningContext'>;
  /** The upstream works on it after its response. */
  isBackground?: boolean;
  /** Of media: what its bytes do not bound, or what is billed instead of tokens. */
  media?: MediaBounds;
}

/** What the fields of a request of audio or images say about its cost. */
export type MediaBounds = Pick<Operation, 'otherBounds' | 'isBilledEither' | 'stated' | 'pricedAs'> & {
  /** Input tokens; missing: the body's bytes bound them. */
  inputTokens?: number;
  /** The response is to come as events, which tell its usage, for a client that gets what they carry: of this type. */
  audioType?: string | null;
};

/** A file of a form. */
export interface FormFile {
  readonly name: string;
  readonly bytes: Buffer;
  /** Null: its length was not measured. */
  readonly audio: AudioLength | null;
}

/** How long a file of audio is, in seconds. */
export interface AudioLength {
  /** By its own header; null: it has none that can be read. */
  readonly seconds: number | null;
  /** What is held. */
  readonly secondsMost: number;
}

/** Fields into which the gateway can write an output limit. */
export type OutputLimitField = 'max_completion_tokens' | 'max_output_tokens' | 'max_tokens' | null;

/** Cache writes that are kept for longer have a price of their own, twice the usual one, that no rate card holds. */
export function readPromptCache(fields: Fields): void {
  const ttl = fields.object('prompt_cache_options')?.ttl;
  if (ttl === undefined || ttl === null || ttl === '30m') return;
  fields.unbounded('prompt_cache_options.ttl', "only what is cached for '30m' has a known price");
}

/** Refuses models of open lines, which no plain request reaches. */
export function readServedModel(fields: Fields): void {
  const { model } = fields.json;
  if (typeof model === 'string' && model.includes('realtime'))
    fields.unbounded('model', 'it is served on an open line');
}

/** Refuses models of audio: they are billed by more than text tokens. */
export function readTextModel(fields: Fields): void {
  const model = fields.json.model;
  if (typeof model !== 'string') return;
  if (/audio|realtime/.test(model)) fields.unbounded('model', 'audio is not billed as text tokens');
}

/**
 * Search models, and the option of chat completions that asks others to search, make one search a completion. It is billed
 * beside the usage, whose input has what was found (OpenAI's guide to web search).
 */
export function readSearchModel(fields: Fields, choices: number): void {
  const { model } = fields.json;
  const isSearchModel = typeof model === 'string' && model.includes('-search');
  if (!isSearchModel && fields.object('web_search_options') === null) return;
  if (choices > 1) fields.unbounded('n', 'how often a search for several choices is billed is not known');
  const meter = isSearchModel && model.includes('preview') ? 'web_search_preview_calls' : 'web_search_calls';
  const param = isSearchModel ? 'model' : 'web_search_options';
  fields.hosted = { ...noCalls(param, 1), meters: [meter], always: true };
}

/** Whether the client itself asks for the usage chunk of a stream. */
export function readIncludeUsage(fields: Fields): boolean {
  const includeUsage = fields.object('stream_options')?.include_usage ?? false;
  if (typeof includeUsage !== 'boolean')
    fields.invalid('stream_options.include_usage', "'stream_options.include_usage' must be a boolean.");
  return includeUsage === true;
}

/** Tiers that have no published price per token are refused; `auto` means what the upstream's project settings say. */
export function readServiceTier(fields: Fields): Operation['serviceTier'] {
  const tier = fields.json.service_tier;
  switch (tier) {
    case undefined:
    case null:
    case 'auto':
      return null;
    case 'default':
    case 'flex':
    case 'priority':
      return tier;
    // Another name for the same tier and price (OpenAI's pricing page, 2026-09).
    case 'fast':
      return 'priority';
  }
  if (typeof tier !== 'string') fields.invalid('service_tier', "'service_tier' must be a string.");
  else {
    const message = `The service tier ${JSON.stringify(tier.slice(0, 64))} has no known price: leave it out, or have one added.`;
    fields.error ??= apiError('unknown_price', message, { param: 'service_tier' });
  }
  return null;
}
