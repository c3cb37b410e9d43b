/**
 * The input of a conversation, item by item: which items lead it, and what each weighs. Owns: where the items stand in the
 * bytes that are sent, and their fingerprints. Does not own: what was counted for them (gateway/anchors.ts).
 * Invariants: a fingerprint covers the bytes as they go upstream, never what they mean; what moves the input and is neither
 * an item nor an element is part of every fingerprint.
 */
import { hash } from 'node:crypto';
import type { BeyondText, Operation } from '../domain/operation.ts';
import { endOfString, endOfValue, isObject, type Json, type JsonObject, type Span } from './body.ts';
import type { Descriptor } from './operations/descriptor.ts';
import type { InputCount } from './usage/count-input.ts';

/** Fingerprints are 128 bits of SHA-256, as strings of as many Latin-1 characters: others' items must not be met by search. */
export const FINGERPRINT_CHARACTERS = 16;

export interface InputParts {
  /** A fingerprint for the first 0, 1, 2 … items, with all that moves the input beside items and elements. */
  readonly chain: readonly string[];
  /** The most tokens that each item costs, without its images and hidden reasoning. */
  readonly weights: readonly number[];
  /** After how many items a message of the user's has ended. */
  readonly turns: readonly number[];
  /** The fingerprint of no items with all tools. */
  readonly root: string;
  /** Fingerprints, one after the other, of what may differ between calls that share items: tools, instructions, formats. */
  readonly elements: string;
  /** The most tokens that each element costs. */
  readonly elementWeights: readonly number[];
  /** Weights were counted by an encoding: the most that is neither item nor element costs. Null: they are bytes. */
  readonly otherTokens: number | null;
  /** Among the items are some that the model wrote, or that reply to it. */
  readonly isContinued: boolean;
}

/** Smaller bodies are held at their bytes, which costs no work. */
export const PARTS_BYTES_LEAST = 4096;
/** More are no conversation, and each costs a look into the memory. */
const ITEMS_MAX = 2500;
const ELEMENTS_MAX = 256;

/**
 * Tokens that the upstream may write around an item, or instead of its syntax. Published chat formats write 4 to 11, which the
 * item's own JSON (28 bytes and more) covers nearly always.
 */
const ITEM_TOKENS = 16;

/** Members that do not move what the model reads: limits, sampling, who calls, how the answer is sent and kept. */
const NEUTRAL = new Set(
  `frequency_penalty include logit_bias logprobs max_completion_tokens max_output_tokens max_tokens metadata model
  presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier seed service_tier stop store
  stream stream_options temperature top_logprobs top_p user`.split(/\s+/),
);
/** Members that the upstream writes into the input as they are: their bytes bound them. */
const ELEMENTS = new Set(['instructions', 'response_format', 'text']);
const ITEMS: Readonly<Record<string, string>> = { 'chat.completions': 'messages', responses: 'input' };
/** Whose items a conversation begins with. */
const FIRST_ROLES = new Set<Json | undefined>(['user', 'system', 'developer']);

/** Whether a request's body is worth to be read for its parts. */
export function mayHaveParts({ name }: Descriptor, body: Buffer): boolean {
  return body.length >= PARTS_BYTES_LEAST && ITEMS[name] !== undefined;
}

/** Whether the input goes on with what the model wrote before, so that an earlier call most likely had its leading items. */
export function isContinued({ name }: Descriptor, json: JsonObject): boolean {
  const input = json[ITEMS[name] ?? ''];
  return Array.isArray(input) && input.some(isReply);
}

/** Calls of tools, reasoning and the like have no role at all. */
function isReply(item: Json): boolean {
  return isObject(item) && !FIRST_ROLES.has(item.role);
}

/** A request as it is sent, and what was found in it. */
export interface PartsSource {
  readonly descriptor: Descriptor;
  readonly operation: Operation;
  readonly body: Buffer;
}

/**
 * Returns the parts of a request's input; null: nothing may be concluded from it for other requests, nor from them.
 * @param text the body's bytes as Latin-1; each name stands once in each of its objects
 * @param count counts by the model's encoding; null: by bytes
 */
export function readInputParts(
  { descriptor, operation, body }: PartsSource,
  json: JsonObject,
  text: string,
  count: InputCount | null = null,
): InputParts | null {
  const itemsName = ITEMS[descriptor.name];
  const input = itemsName === undefined ? undefined : json[itemsName];
  const items = typeof input === 'string' ? [input] : input;
  if (itemsName === undefined || !Array.isArray(items) || items.length > ITEMS_MAX) return null;
  if (!isSettled(operation, json, items)) return null;
  const members = new Members(body, text, itemsName);
  if (members.itemSpans.length !== items.length || members.weights.length > ELEMENTS_MAX) return null;
  const start = fingerprint(`${descriptor.name}\0${members.options}`);
  const chain = [start];
  const turns: number[] = [];
  let last = start;
  for (let index = 0; index < items.length; index++) {
    const [from, to] = members.itemSpans[index] ?? [0, 0];
    last = fingerprint(last + fingerprint(body.subarray(from, to)));
    chain.push(last);
    const item = items[index];
    if (isObject(item) && item.role === 'user') turns.push(index + 1);
  }
  const weights = weightsOf(items, members, operation, count);
  if (weights === null) return null;
  const root = fingerprint(`${start}\0${members.tools}`);
  const parts = { chain, weights, turns, root, elements: members.elements, isContinued: items.some(isReply) };
  if (count === null) return { ...parts, elementWeights: members.weights, otherTokens: null };
  const elementWeights = members.weights.map((bytes, index) =>
    Math.min(bytes, count.element(members.elementOf(index)) ?? bytes),
  );
  return { ...parts, elementWeights, otherTokens: body.length - members.bytesOfParts };
}

/** Returns the most tokens of each item, without its images; null: it is not known where an image stands. */
function weightsOf(
  items: readonly Json[],
  { itemSpans }: Members,
  { beyondText }: Operation,
  count: InputCount | null,
): number[] | null {
  const longestName = longestNameOf(items);
  const weights = items.map((item, index) => {
    const [from, to] = itemSpans[index] ?? [0, 0];
    return to - from + ITEM_TOKENS + (isToolOutput(item) ? longestName : 0);
  });
  for (const [index, item] of items.entries()) {
    // What is encrypted is counted by its tokens.
    if (!isReasoning(item) || typeof item.encrypted_content !== 'string') continue;
    weights[index] = (weights[index] ?? 0) - item.encrypted_content.length;
  }
  const imageBytes = weights.map(() => 0);
  for (const { item, bytes } of beyondText?.images ?? []) {
    if (item === undefined || bytes === undefined || weights[item] === undefined) return null;
    weights[item] -= bytes;
    imageBytes[item] = (imageBytes[item] ?? 0) + bytes;
  }
  if (count === null) return weights;
  return weights.map((weight, index) => {
    const item = items[index] ?? null;
    const { tokens, imageCharacters } = count.item(item);
    if (imageCharacters !== imageBytes[index]) return weight;
    return Math.min(weight, tokens + (isToolOutput(item) ? longestName : 0));
  });
}

/** Whether the input is all that the request says: nothing of it is cut, compacted, fetched, searched for or kept upstream. */
function isSettled(
  { hosted, beyondText }: Operation,
  json: JsonObject,
  items: readonly (Json | undefined)[],
): boolean {
  if (hosted !== null || !isBounded(beyondText, items)) return false;
  const { truncation } = json;
  if (truncation !== undefined && truncation !== null && truncation !== 'disabled') return false;
  return !UPSTREAM_STATE.some((name) => json[name] !== undefined && json[name] !== null);
}

const UPSTREAM_STATE = ['context_management', 'conversation', 'previous_response_id', 'prompt'];

/** What is kept upstream stands in no body, but for reasoning, of which the request says where it stands. */
function isBounded(beyond: BeyondText | null, items: readonly (Json | undefined)[]): boolean {
  if (beyond === null) return true;
  const { windowParam, references, hasFiles, compactions, audioTokens } = beyond;
  if (windowParam !== null || hasFiles || compactions > 0 || audioTokens > 0) return false;
  return (references ?? []).every(({ item, isSent }) => isSent && isReasoning(items[item]));
}

function isReasoning(item: Json | undefined): item is JsonObject {
  return isObject(item) && item.type === 'reasoning';
}

/** One call into the engine that returns text: made of buffers and cut there, the same costs four times as much for small items. */
function fingerprint(data: string | Buffer): string {
  return hash('sha256', data, 'binary').slice(0, FINGERPRINT_CHARACTERS);
}

function isToolOutput(item: Json | undefined): boolean {
  if (!isObject(item)) return false;
  return item.role === 'tool' || item.role === 'function' || String(item.type ?? '').endsWith('_output');
}

/** A tool's output may be headed by the name of its call. Returns the bytes of the longest. */
function longestNameOf(items: readonly Json[]): number {
  let most = 0;
  const add = (name: Json | undefined) => {
    if (typeof name === 'string') most = Math.max(most, Buffer.byteLength(name));
  };
  for (const item of items) {
    if (!isObject(item)) continue;
    add(item.name);
    add(item.namespace);
    if (isObject(item.function_call)) add(item.function_call.name);
    if (!Array.isArray(item.tool_calls)) continue;
    for (const call of item.tool_calls) {
      if (!isObject(call)) continue;
      if (isObject(call.function)) add(call.function.name);
      if (isObject(call.custom)) add(call.custom.name);
    }
  }
  return 2 * most;
}

/** The members of a body's object: its items, its elements, and everything else that is not neutral. */
class Members {
  /** Names and fingerprints of what has to be equal, in the order of the body. */
  options = '';
  tools = '';
  elements = '';
  readonly weights: number[] = [];
  itemSpans: Span[] = [];
  readonly #body: Buffer;
  readonly #elementSpans: Span[] = [];

  constructor(body: Buffer, text: string, itemsName: string) {
    this.#body = body;
    let at = text.indexOf('{') + 1;
    for (;;) {
      const opening = text.indexOf('"', at);
      if (opening === -1) return;
      const closing = endOfString(text, opening + 1);
      const name = JSON.parse(text.slice(opening, closing)) as string;
      const start = text.indexOf(':', closing) + 1;
      at = endOfValue(text, start);
      if (NEUTRAL.has(name)) continue;
      const span = trimmed(text, start, at);
      const spans = name === itemsName || name === 'tools' ? spansOfArray(text, span) : null;
      if (name === itemsName) this.itemSpans = spans ?? [span];
      else if (spans !== null) this.#addTools(spans);
      else if (ELEMENTS.has(name)) this.#addElement(name, span);
      else this.options += `${name}\0${fingerprint(body.subarray(...span))}`;
    }
  }

  #addTools(spans: readonly Span[]): void {
    for (const span of spans) this.#addElement('tools', span);
    this.tools = this.elements.slice(-spans.length * FINGERPRINT_CHARACTERS);
    if (spans.length === 0) this.tools = '';
  }

  #addElement(name: string, [start, end]: Span): void {
    this.elements += fingerprint(`${name}\0${fingerprint(this.#body.subarray(start, end))}`);
    this.weights.push(end - start + ITEM_TOKENS);
    this.#elementSpans.push([start, end]);
  }

  /** Bytes of all items and elements. */
  get bytesOfParts(): number {
    return [...this.itemSpans, ...this.#elementSpans].reduce((sum, [start, end]) => sum + end - start, 0);
  }

  elementOf(index: number): Json {
    const [start, end] = this.#elementSpans[index] ?? [0, 0];
    return JSON.parse(this.#body.toString('utf8', start, end)) as Json;
  }
}

/** Returns where the values of an array stand; null: it is no array. */
function spansOfArray(text: string, [start, end]: Span): Span[] | null {
  if (text[start] !== '[') return null;
  const spans: Span[] = [];
  let at = start + 1;
  while (at < end) {
    const close = endOfValue(text, at);
    const span = trimmed(text, at, close);
    if (span[0] < span[1]) spans.push(span);
    at = close + 1;
  }
  return spans;
}

/** Without the white space around a value. */
function trimmed(text: string, from: number, to: number): Span {
  let start = from;
  let end = to;
  while (start < end && text.charCodeAt(start) <= 0x20) start++;
  while (end > start && text.charCodeAt(end - 1) <= 0x20) end--;
  return [start, end];
}
