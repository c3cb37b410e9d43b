/**
 * How many tokens of a training file are billed, by the published rules: OpenAI's Cookbook for the framing of messages and tools, and its
 * guide for images. The tokeniser is OpenAI's own (tiktoken, compiled from its Rust), where it is installed; without it six bytes
 * are a token, more than of any published one. Written apart from Tollgate's planner on purpose.
 */
import { createRequire } from 'node:module';
import type { TiktokenEncoding } from 'tiktoken';
import { isObject, type JsonObject } from './fields.ts';
import { imageTokens } from './images.ts';

type Count = (text: string) => number;

interface Trained {
  model: string;
  count: Count;
  /** Tokens of a tool's frame. */
  perTool: number;
  /** Of an example no more is trained. */
  longest: number;
}

const BYTES_PER_TOKEN = 6;
const PER_MESSAGE = 3;
const PER_CONVERSATION = 3;
const PER_TOOLS = 12;

/** By how the name begins: the encoding, what a tool's frame has, the longest example. */
const MODELS: [RegExp, TiktokenEncoding, number, number][] = [
  [/^gpt-4o/, 'o200k_base', 7, 65_536],
  [/^(gpt-4\.1|o\d)/, 'o200k_base', 7, Number.POSITIVE_INFINITY],
  [/^gpt-3\.5-turbo/, 'cl100k_base', 10, 16_385],
  [/^(davinci|babbage)-002/, 'cl100k_base', 10, Number.POSITIVE_INFINITY],
];

const counters = new Map<TiktokenEncoding, Count>();

function counterOf(name: TiktokenEncoding): Count {
  let count = counters.get(name);
  if (count === undefined) {
    count = load(name);
    counters.set(name, count);
  }
  return count;
}

function load(name: TiktokenEncoding): Count {
  try {
    const { get_encoding } = createRequire(import.meta.url)('tiktoken') as typeof import('tiktoken');
    const encoding = get_encoding(name);
    return (text) => encoding.encode_ordinary(text).length;
  } catch {
    return (text) => Math.floor(Buffer.byteLength(text) / BYTES_PER_TOKEN);
  }
}

interface TrainingTokens {
  tokens: number;
  examples: number;
  /** Lines that are no JSON object; the API takes no file with one. */
  broken: number;
}

/** Counts a training file as a model is trained on it. */
export function trainingTokens(content: Buffer, model: string): TrainingTokens {
  const [, encoding = 'o200k_base', perTool = 7, longest = Number.POSITIVE_INFINITY] =
    MODELS.find(([names]) => names.test(model)) ?? [];
  const trained: Trained = { model, count: counterOf(encoding), perTool, longest };
  const sums = { tokens: 0, examples: 0, broken: 0 };
  for (const line of content.toString().split('\n')) {
    if (line.trim() === '') continue;
    const example = read(line);
    if (example === null) sums.broken++;
    else {
      sums.examples++;
      sums.tokens += Math.min(trained.longest, exampleTokens(example, trained));
    }
  }
  return sums;
}

function read(line: string): JsonObject | null {
  try {
    const json: unknown = JSON.parse(line);
    return isObject(json) ? json : null;
  } catch {
    return null;
  }
}

function exampleTokens(example: JsonObject, trained: Trained): number {
  const { prompt, completion, input, preferred_output, non_preferred_output } = example;
  if (typeof prompt === 'string' || typeof completion === 'string')
    return trained.count(String(prompt ?? '')) + trained.count(String(completion ?? ''));
  if (isObject(input)) {
    const answers = [preferred_output, non_preferred_output].flatMap((each) =>
      Array.isArray(each) ? each : [],
    );
    return (
      conversationTokens(input, trained) +
      answers.reduce((sum, each) => sum + messageTokens(each, trained), 0)
    );
  }
  return conversationTokens(example, trained);
}

function conversationTokens({ messages, tools }: JsonObject, trained: Trained): number {
  let tokens = PER_CONVERSATION;
  if (Array.isArray(messages)) for (const message of messages) tokens += messageTokens(message, trained);
  return Array.isArray(tools) && tools.length > 0 ? tokens + toolTokens(tools, trained) : tokens;
}

/** Cookbook, num_tokens_from_messages. */
function messageTokens(message: unknown, { count, model }: Trained): number {
  if (!isObject(message)) return 0;
  let tokens = PER_MESSAGE;
  for (const [name, value] of Object.entries(message)) {
    if (name === 'weight' || value === null) continue;
    if (name === 'name') tokens += 1;
    if (typeof value === 'string') tokens += count(value);
    else if (name === 'content' && Array.isArray(value))
      for (const part of value) tokens += partTokens(part, model, count);
    else tokens += count(JSON.stringify(value));
  }
  return tokens;
}

function partTokens(part: unknown, model: string, count: Count): number {
  if (!isObject(part)) return 0;
  if (typeof part.text === 'string') return count(part.text);
  const { image_url: image } = part;
  if (!isObject(image)) return 0;
  const detail = typeof image.detail === 'string' ? image.detail : 'auto';
  return imageTokens(model, { url: String(image.url), detail }, true);
}

/** Cookbook, num_tokens_for_tools. */
function toolTokens(tools: unknown[], { count, perTool }: Trained): number {
  const plain = (text: unknown) => String(text ?? '').replace(/\.$/, '');
  let tokens = PER_TOOLS;
  for (const tool of tools) {
    const made = isObject(tool) && isObject(tool.function) ? tool.function : {};
    tokens += perTool + count(`${made.name}:${plain(made.description)}`);
    const properties = isObject(made.parameters) ? made.parameters.properties : undefined;
    const entries = isObject(properties) ? Object.entries(properties) : [];
    if (entries.length > 0) tokens += 3;
    for (const [key, value] of entries) {
      const { type, description, enum: items } = isObject(value) ? value : ({} as JsonObject);
      tokens += 3 + count(`${key}:${type ?? ''}:${plain(description)}`);
      if (Array.isArray(items)) tokens += items.reduce((sum, item) => sum + 3 + count(String(item)), -3);
    }
  }
  return tokens;
}
