/**
 * A JSON body: values that are not checked yet, names that stand twice, typed reading of the fields that move a call's
 * cost, and the parts of a prompt. Text costs no more tokens than it has bytes; everything else either is bounded by the
 * model (inline images) or refused. Unknown types are refused: they may be anything.
 */
import { type ApiError, apiError } from '../domain/errors.ts';

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

/*
 * What JSON.parse hides: names that stand twice in one object. JavaScript takes the last one, other parsers the first, so
 * such a body could be estimated as one request and served as another. Rejected: counting a list of known names with
 * indexOf, which says nothing about `type` inside messages, must grow with the API and takes the names in a tool's schema
 * for duplicates.
 */

/** Deeper bodies are refused: recursive code (ours on rewriting, perhaps the upstream's) must not meet them. */
export const MAX_DEPTH = 256;
/** Objects with more names count as ambiguous, which keeps the search for duplicates linear in the body's size. */
const MAX_NAMES = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Hashes of the names seen in every open object, innermost last. Scanning is synchronous, so one stack serves all. */
const hashes = new Int32Array(MAX_DEPTH * (MAX_NAMES + 1));
/** For each open container, where its names start in `hashes`; -1 for an array. */
const bases = new Int32Array(MAX_DEPTH + 1);

/**
 * Scans a text that JSON.parse accepted (of anything else the answer means nothing).
 * `plain`: every parser reads the same values. `ambiguous`: it may hold a name twice (never a false `plain`: equal
 * names have equal hashes, and a name with an escape counts as ambiguous). `too_deep`: nested over {@link MAX_DEPTH}.
 */
export function scanNames(text: string): 'plain' | 'ambiguous' | 'too_deep' {
  const length = text.length;
  let ambiguous = false;
  let depth = 0;
  let base = -1;
  let top = 0;
  let nameIsNext = false;
  for (let at = 0; at < length; ) {
    switch (text.charCodeAt(at++)) {
      case QUOTE: {
        if (!nameIsNext) {
          at = skipString(text, at);
          break;
        }
        nameIsNext = false;
        let hash = 0;
        for (let code = text.charCodeAt(at++); code !== QUOTE; code = text.charCodeAt(at++)) {
          if (code === BACKSLASH) {
            ambiguous = true;
            at++;
          }
          hash = Math.imul(hash ^ code, 0x01000193);
        }
        for (let other = base; other < top; other++) if (hashes[other] === hash) ambiguous = true;
        if (top - base < MAX_NAMES) hashes[top++] = hash;
        else ambiguous = true;
        break;
      }
      case 0x2c: // ,
        nameIsNext = base !== -1;
        break;
      case 0x7b: // {
      case 0x5b: // [
        if (depth === MAX_DEPTH) return 'too_deep';
        nameIsNext = text.charCodeAt(at - 1) === 0x7b;
        base = nameIsNext ? top : -1;
        bases[++depth] = base;
        break;
      case 0x7d: // }
      case 0x5d: // ]
        if (base !== -1) top = base;
        base = --depth > 0 ? (bases[depth] ?? -1) : -1;
        nameIsNext = false;
        break;
    }
  }
  return ambiguous ? 'ambiguous' : 'plain';
}

/**
 * The index after the closing quote of the string whose first character is at `at`. The runtime's search in a string
 * is several times faster than one in a Buffer, or than a loop.
 */
function skipString(text: string, at: number): number {
  for (;;) {
    const quote = text.indexOf('"', at);
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH) slashes++;
    at = quote + 1;
    if (slashes % 2 === 0) return at;
  }
}

interface ParsedNumberSource {
  source?: string;
}

/** ECMAScript's "JSON.parse source text access", which the runtime has and TypeScript's library does not yet. */
const exact = JSON as unknown as {
  parse(text: string, reviver: (name: string, value: Json, context: ParsedNumberSource) => Json): JsonObject;
  rawJSON(text: string): Json;
};

/**
 * Rewrites the body: each name once, with the value that was understood. Numbers keep the digits the client wrote
 * (a 64-bit seed would lose some as a JavaScript number). The nesting was bounded when the body was read.
 */
export function rewriteBody(body: Buffer, fields: JsonObject): Buffer {
  const json = exact.parse(body.toString(), (_name, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exact.rawJSON(source)
      : value,
  );
  for (const [name, value] of Object.entries(fields)) json[name] = value;
  return Buffer.from(JSON.stringify(json));
}

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
  /** The first part of the input that costs more tokens than it has bytes. */
  inputBoundParam: string | null = null;

  constructor(json: JsonObject) {
    this.json = json;
  }

  invalid(param: string, message: string): void {
    this.error ??= apiError('invalid_request', message, { param });
  }

  /** Refuses what nothing in the request bounds, naming the field. */
  unbounded(param: string, why: string): void {
    const message = `The cost of this request cannot be bounded before it is sent: ${why}. Remove '${param}'.`;
    this.error ??= apiError('unbounded_request', message, { param });
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
}

/** Fields into which the gateway can write an output limit. */
export type OutputLimitField = 'max_completion_tokens' | 'max_output_tokens' | 'max_tokens' | null;

/** Cache writes that are kept for longer have a price of their own, twice the usual one, that no rate card holds. */
export function readPromptCache(fields: Fields): void {
  const ttl = fields.object('prompt_cache_options')?.ttl;
  if (ttl === undefined || ttl === null || ttl === '30m') return;
  fields.unbounded('prompt_cache_options.ttl', "only what is cached for '30m' has a known price");
}

/** Parts of a prompt that are text, in the words of both chat completions and responses. */
const TEXT_PARTS = new Set(['text', 'refusal', 'input_text', 'output_text']);
/**
 * Tools whose definition stands in the request and which the client runs itself. All others run or fetch upstream, or
 * bring hidden instructions that no byte of the request stands for.
 */
const CLIENT_TOOLS = new Set<unknown>(['function', 'custom']);

/** Refuses tools that cost more than the tokens of their definition. */
export function readTools(fields: Fields): void {
  const tools = fields.json.tools ?? [];
  if (!Array.isArray(tools)) {
    fields.invalid('tools', "'tools' must be an array.");
    return;
  }
  for (let index = 0; index < tools.length && !fields.error; index++) {
    const tool = tools[index];
    const param = `tools[${index}]`;
    if (!isObject(tool)) fields.invalid(param, `'${param}' must be an object.`);
    else if (!CLIENT_TOOLS.has(tool.type)) {
      fields.unbounded(param, `tools of type ${JSON.stringify(tool.type ?? null)} cost more than they say`);
    }
  }
}

/** Refuses models of audio and of web search: they are billed by more than text tokens. */
export function readTextModel(fields: Fields): void {
  const model = fields.json.model;
  if (typeof model !== 'string') return;
  if (model.includes('-search')) fields.unbounded('model', 'search models add fees and tokens of their own');
  else if (/audio|realtime/.test(model)) fields.unbounded('model', 'audio is not billed as text tokens');
}

/** Text, or a list of parts: the `content` of messages, the `output` of tool calls. */
export function readContent(fields: Fields, content: Json | undefined, param: string): void {
  if (typeof content === 'string' || content === undefined || content === null) return;
  if (!Array.isArray(content)) {
    fields.invalid(param, `'${param}' must be a string or an array of parts.`);
    return;
  }
  for (let index = 0; index < content.length && !fields.error; index++) {
    const part = content[index];
    const partParam = `${param}[${index}]`;
    if (isObject(part)) readPart(fields, part, partParam);
    else fields.invalid(partParam, `'${partParam}' must be an object.`);
  }
}

function readPart(fields: Fields, part: JsonObject, param: string): void {
  const { type } = part;
  if (typeof type === 'string' && TEXT_PARTS.has(type)) return;
  if (type === 'image_url') {
    const url = isObject(part.image_url) ? part.image_url.url : undefined;
    readImage(fields, url, `${param}.image_url`);
  } else if (type !== 'input_image') {
    const name = JSON.stringify(type ?? null);
    fields.unbounded(param, `content of type ${name} may cost more tokens than it has bytes`);
  } else if (part.file_id !== undefined && part.file_id !== null) {
    fields.unbounded(`${param}.file_id`, 'a stored file is not part of the request');
  } else readImage(fields, part.image_url, `${param}.image_url`);
}

function readImage(fields: Fields, url: Json | undefined, param: string): void {
  if (typeof url !== 'string') fields.invalid(param, `'${param}' must hold the image's URL as a string.`);
  else if (url.startsWith('data:')) fields.inputBoundParam ??= param;
  else fields.unbounded(param, 'a remote image is not part of the request; send it inline as a data: URL');
}
