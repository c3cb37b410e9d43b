/**
 * The conversation of a realtime session: its items, what each weighs when it is read, and what of them a response reads.
 * Every response reads all of it again. A second of a user's audio is 10 tokens, of the model's own 20 when it is written and
 * 10 when it is read; at worst both are 20.
 */
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import { isObject, type JsonObject } from './fields.ts';
import { imageTokens } from './images.ts';
import { emptyInput, measure, mostInputTokens, usualInputTokens } from './input.ts';
import type { Modalities } from './realtime-bill.ts';
import type { Tokeniser } from './tokens.ts';

export interface Item {
  json: JsonObject & { id: string };
  /** Of audio in it. */
  audioMs: number;
  /** Of text that the model wrote; null: the text is what the item says. */
  textTokens: number | null;
  /** The last response has read it, so that it may come from the cache. */
  wasRead: boolean;
}

/** How items are counted. */
export interface Counting {
  worst: boolean;
  tokeniser: Tokeniser;
  model: string;
}

const FRAMING_TOKENS = 3;
const TYPES = ['message', 'function_call', 'function_call_output'];
const PARTS: Record<string, readonly string[]> = {
  system: ['input_text'],
  user: ['input_text', 'input_audio', 'input_image'],
  assistant: ['output_text', 'text', 'output_audio'],
};

export class Conversation {
  #items: Item[] = [];

  /** Puts an item behind another; null: at the end, `root`: at the begin. */
  add(item: Item, after: string | null): ApiError | null {
    const at = after === null ? this.#items.length : after === 'root' ? 0 : this.#places(after) + 1;
    if (at === 0 && after !== 'root' && after !== null)
      return invalidRequest(
        `Error adding item: the previous item '${after}' does not exist.`,
        'previous_item_id',
        'item_create_invalid_item_id',
      );
    this.#items.splice(at, 0, item);
    return null;
  }

  #places(id: string): number {
    return this.#items.findIndex(({ json }) => json.id === id);
  }

  find(id: unknown): Item | ApiError {
    const message = `Item with item_id '${String(id)}' not found.`;
    return (
      this.#items.find(({ json }) => json.id === id) ?? invalidRequest(message, 'item_id', 'invalid_value')
    );
  }

  remove(id: unknown): ApiError | null {
    const found = this.find(id);
    if (isApiError(found)) return found;
    this.#items = this.#items.filter((item) => item !== found);
    return null;
  }

  get lastId(): string | null {
    return this.#items.at(-1)?.json.id ?? null;
  }

  idBefore(id: string): string | null {
    return this.#items[this.#places(id) - 1]?.json.id ?? null;
  }

  get items(): readonly Item[] {
    return this.#items;
  }
}

/** Reads an item that a client sends; its id is made where it has none. */
export function readItem(item: unknown, newId: string, audioBytesPerMs: number): Item | ApiError {
  if (!isObject(item))
    return invalidRequest("Missing required parameter: 'item'.", 'item', 'missing_required_parameter');
  const type = String(item.type);
  if (!TYPES.includes(type))
    return invalidRequest(
      `Invalid value: '${type}'. Supported values are: ${TYPES.map((one) => `'${one}'`).join(', ')}.`,
      'item.type',
      'invalid_value',
    );
  const json = {
    ...item,
    id: typeof item.id === 'string' ? item.id : newId,
    object: 'realtime.item',
    status: 'completed',
  };
  if (type !== 'message') return { json, audioMs: 0, textTokens: null, wasRead: false };
  const allowed = PARTS[String(item.role)];
  const content = Array.isArray(item.content) ? item.content.filter(isObject) : [];
  const wrong = content.find((part) => !allowed?.includes(String(part.type)));
  if (allowed === undefined || wrong)
    return invalidRequest(
      `Invalid value: '${String(wrong?.type ?? item.role)}'.`,
      'item.content',
      'invalid_value',
    );
  const audioMs = content.reduce(
    (sum, { audio }) =>
      sum + (typeof audio === 'string' ? Buffer.from(audio, 'base64').length / audioBytesPerMs : 0),
    0,
  );
  // Audio is kept, and not said again.
  const kept = content.map(({ audio, ...part }) =>
    audio === undefined ? part : { ...part, transcript: part.transcript ?? null },
  );
  return { json: { ...json, content: kept }, audioMs, textTokens: null, wasRead: false };
}

/** What an item weighs when it is read. */
export function weightOf(
  { json, audioMs, textTokens }: Item,
  { worst, tokeniser, model }: Counting,
): Modalities {
  const size = emptyInput(tokeniser);
  let image = 0;
  if (json.type === 'message') {
    for (const part of Array.isArray(json.content) ? json.content.filter(isObject) : []) {
      measure(size, part.text);
      if (part.type === 'input_image')
        image += imageTokens(
          model,
          { url: String(part.image_url ?? ''), detail: String(part.detail ?? 'auto') },
          worst,
        );
    }
  } else for (const name of ['name', 'arguments', 'output', 'call_id']) measure(size, json[name]);
  const count = worst ? mostInputTokens : usualInputTokens;
  return {
    text: FRAMING_TOKENS + (textTokens ?? count(size, model)),
    audio: Math.ceil((audioMs / 1000) * (worst ? 20 : 10)),
    image,
  };
}

/** What stands before the conversation: instructions and tools. */
export function prefaceWeight(
  instructions: unknown,
  tools: unknown,
  { worst, tokeniser, model }: Counting,
): number {
  const size = emptyInput(tokeniser);
  measure(size, instructions);
  measure(size, tools, true);
  return 2 * FRAMING_TOKENS + (worst ? mostInputTokens : usualInputTokens)(size, model);
}

/** How much of a conversation a response may read, and what becomes of the rest. */
export interface Room {
  tokens: number;
  /** Of the room, what is filled again once it was too small; null: nothing is dropped, it is an error. */
  retained: number | null;
}

/**
 * What a response reads of the items; the oldest are left out where there is no room for all. An error where none may be.
 */
export function fitItems(items: readonly Item[], room: Room, counting: Counting): readonly Item[] | ApiError {
  const weights = items.map((item) => {
    const { text, audio, image } = weightOf(item, counting);
    return text + audio + image;
  });
  let total = weights.reduce((sum, weight) => sum + weight, 0);
  if (total <= room.tokens) return items;
  if (room.retained === null)
    return invalidRequest(
      `The conversation exceeds the maximum of ${room.tokens} input tokens.`,
      null,
      'context_length_exceeded',
    );
  let first = 0;
  while (first < items.length && total > room.tokens * room.retained) total -= weights[first++] ?? 0;
  return items.slice(first);
}
