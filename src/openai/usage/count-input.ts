/**
 * Counts what the items of an input cost by a published encoding. Owns: what is added to the count of the texts, since how the
 * upstream writes them into its prompt is not published. Invariant: no result is below the tokens of any rendering that writes
 * each text once, as the request has it, with at most {@link ITEM_TOKENS} around an item and what is added for each text.
 */
import type { Encoding } from '../../domain/upstream.ts';
import { isObject, type Json, type JsonObject } from '../body.ts';
import type { CountTokens } from './count.ts';

/** Where an encoding cuts a text before it merges bytes: a token never has parts of two pieces. */
export async function loadSplit(encoding: Encoding): Promise<RegExp> {
  const patterns = await import('gpt-tokenizer/encodingParams/constants');
  if (encoding === 'cl100k_base') return patterns.CL100K_TOKEN_SPLIT_REGEX;
  return encoding.startsWith('o200k') ? patterns.O200K_TOKEN_SPLIT_REGEX : patterns.R50K_TOKEN_SPLIT_REGEX;
}

/** Merging takes time by the square of a piece's length: longer ones are counted by their bytes. */
const PIECE_CHARACTERS_MAX = 256;
/** A text without such a run has no longer piece than twice that. */
const LONG_RUN = new RegExp(`\\S{${PIECE_CHARACTERS_MAX},}|\\s{${PIECE_CHARACTERS_MAX},}`);
/** What implementations of the published patterns take for white space, or not. */
const SPACES_OF_SOME = /[\u0080-\u009f\u180e\ufeff]/;

/** Tokens around an item: published chat formats write 4 to 11. */
const ITEM_TOKENS = 16;
/** A text that is joined to others may cost two tokens more than alone: in 40,000 texts no more was seen. */
const TEXT_TOKENS = 2;
/** The mark between a name and its value. */
const NAME_TOKENS = 1;

/** Names that the API gives to the parts of items. They stand for what {@link ITEM_TOKENS} is. */
const ITEM_NAMES = new Set(
  `annotations arguments call_id content custom detail encrypted_content function function_call id image_url input logprobs name namespace output
  phase role status summary text tool_call_id tool_calls type url`.split(/\s+/),
);
/** Members of items whose own members have such names. */
const ITEM_PARTS = new Set([
  'content',
  'custom',
  'function',
  'function_call',
  'image_url',
  'output',
  'summary',
  'tool_calls',
]);
const IMAGE_PARTS = new Set<unknown>(['image_url', 'input_image', 'computer_screenshot']);

export interface ItemCount {
  readonly tokens: number;
  /** Characters of inline images, which are no text. */
  readonly imageCharacters: number;
}

export class InputCount {
  readonly #countTokens: CountTokens;
  readonly #split: RegExp;
  #imageCharacters = 0;

  constructor(countTokens: CountTokens, split: RegExp) {
    this.#countTokens = countTokens;
    this.#split = split;
  }

  /** The most tokens of a message or another item; what is encrypted in reasoning has none here. */
  item(item: Json): ItemCount {
    this.#imageCharacters = 0;
    const isSealed =
      isObject(item) && item.type === 'reasoning' && typeof item.encrypted_content === 'string';
    const tokens = ITEM_TOKENS + this.#value(isSealed ? { ...item, encrypted_content: '' } : item, true);
    return { tokens, imageCharacters: this.#imageCharacters };
  }

  /** The most tokens of a tool, an instruction or a format; null: what it refers to may be written more than once. */
  element(element: Json): number | null {
    return hasReference(element) ? null : ITEM_TOKENS + this.#value(element, false);
  }

  /** The most tokens of a text. */
  text(text: string): number {
    if (!text.isWellFormed() || SPACES_OF_SOME.test(text)) return Buffer.byteLength(text);
    if (!LONG_RUN.test(text)) return this.#countTokens(text);
    let tokens = 0;
    let from = 0;
    for (const { 0: piece, index } of text.matchAll(this.#split)) {
      if (piece.length <= PIECE_CHARACTERS_MAX) continue;
      tokens += this.#countTokens(text.slice(from, index)) + Buffer.byteLength(piece);
      from = index + piece.length;
    }
    return tokens + this.#countTokens(text.slice(from));
  }

  #value(value: Json | undefined, isOfItem: boolean): number {
    if (typeof value === 'string') return this.text(value) + TEXT_TOKENS;
    if (Array.isArray(value)) {
      let tokens = 0;
      for (const each of value) tokens += this.#value(each, isOfItem);
      return tokens;
    }
    return isObject(value) ? this.#members(value, isOfItem) : String(value).length + NAME_TOKENS;
  }

  #members(object: JsonObject, isOfItem: boolean): number {
    let tokens = 0;
    for (const [name, value] of Object.entries(object)) {
      if (isOfItem && this.#isImage(object, name, value)) continue;
      if (!isOfItem || !ITEM_NAMES.has(name)) tokens += this.text(name) + NAME_TOKENS;
      tokens += this.#value(value, isOfItem && ITEM_PARTS.has(name));
    }
    return tokens;
  }

  /** Notes the characters of an inline image. A text that only looks like one is found out by their sum. */
  #isImage({ type }: JsonObject, name: string, value: Json | undefined): boolean {
    const isPart = name === 'image_url' && IMAGE_PARTS.has(type);
    if (!isPart) return false;
    const url = isObject(value) ? value.url : value;
    if (typeof url !== 'string' || !url.startsWith('data:')) return false;
    this.#imageCharacters += url.length;
    return true;
  }
}

function hasReference(value: Json | undefined): boolean {
  if (Array.isArray(value)) return value.some(hasReference);
  if (!isObject(value)) return false;
  return Object.entries(value).some(([name, each]) => name === '$ref' || hasReference(each));
}
