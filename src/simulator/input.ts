/** Measuring the input of a request. A token is at least one byte of UTF-8, so the bytes are the most that a text can cost. */
import { readDocument } from './documents.ts';
import { isObject } from './fields.ts';
import { type Image, imageTokens } from './images.ts';
import { type Tokeniser, tokensOf } from './tokens.ts';

export interface InputSize {
  /** UTF-8 bytes of every text that a model reads: contents, names, tool schemas with their keys. */
  textBytes: number;
  /** The same as the tokeniser counts it; a fraction. */
  textTokens: number;
  tokeniser: Tokeniser;
  /** Tokens that the client counted itself (token arrays). */
  tokens: number;
  messages: number;
  images: Image[];
  /** Audio, in seconds. */
  audioSeconds: number;
  /** Files that cannot be read here, and prompts that are kept: what they say stands in no request. */
  documents: number;
  /** A part that the simulator cannot bill (`input_audio`, …), if there is one. */
  unbillable: string | null;
}

/** The chat format adds three tokens to each message and primes the output with three (OpenAI cookbook). */
const FRAMING_TOKENS = 3;
const IMAGE_PARTS = new Set(['image_url', 'input_image', 'computer_screenshot']);
const DOCUMENT_PARTS = new Set(['file', 'input_file']);
/** A page, as text and as an image; and many. */
const DOCUMENT_TOKENS = { usual: 2_000, most: 20_000 };
const UNBILLABLE_PARTS = new Set(['item_reference', 'video_url', 'input_video']);
/** Keys whose values name things to the API and never reach the model as text. */
const WIRE_KEYS = new Set(['type', 'role']);

export function emptyInput(tokeniser: Tokeniser): InputSize {
  const counts = { textBytes: 0, textTokens: 0, tokens: 0, messages: 0, documents: 0, audioSeconds: 0 };
  return { ...counts, tokeniser, images: [], unbillable: null };
}

export function addText(size: InputSize, text: string): void {
  size.textBytes += Buffer.byteLength(text);
  size.textTokens += tokensOf(text, size.tokeniser);
}

/** Adds what was measured apart, by the same tokeniser. */
export function add(size: InputSize, part: InputSize): void {
  size.textBytes += part.textBytes;
  size.textTokens += part.textTokens;
  size.tokens += part.tokens;
  size.messages += part.messages;
  size.images.push(...part.images);
  size.documents += part.documents;
  size.audioSeconds += part.audioSeconds;
  size.unbillable ??= part.unbillable;
}

/**
 * Adds everything that a model would read in `value`. `withKeys`: object keys are text too (JSON schemas).
 * Walks with its own stack: a body may be nested deeper than the call stack.
 */
export function measure(size: InputSize, value: unknown, withKeys = false): void {
  const rest: unknown[] = [value];
  while (rest.length > 0) {
    const next = rest.pop();
    if (typeof next === 'string') addText(size, next);
    // One byte at least; its decimal form may be longer than what the client wrote (1e20).
    else if (typeof next === 'number') addText(size, '0');
    else if (Array.isArray(next)) for (const item of next) rest.push(item);
    else if (isObject(next)) measureObject(size, next, withKeys, rest);
  }
}

function measureObject(
  size: InputSize,
  part: Record<string, unknown>,
  withKeys: boolean,
  rest: unknown[],
): void {
  if (!withKeys && typeof part.type === 'string') {
    if (IMAGE_PARTS.has(part.type)) {
      size.images.push(imageOf(part));
      return;
    }
    if (part.type === 'input_audio') {
      size.audioSeconds += secondsOf(part.input_audio);
      return;
    }
    if (DOCUMENT_PARTS.has(part.type)) {
      addDocument(size, part);
      return;
    }
    if (UNBILLABLE_PARTS.has(part.type)) size.unbillable ??= part.type;
  }
  for (const key in part) {
    if (withKeys) addText(size, key);
    if (withKeys || !WIRE_KEYS.has(key)) rest.push(part[key]);
  }
}

/** Ten tokens a second, and in the worst case twice as many. */
export function audioTokens({ audioSeconds }: InputSize, worst: boolean): number {
  return Math.ceil(audioSeconds * (worst ? 20 : 10));
}

/** As the head of a WAV says; of MP3 as if all of it were 16 kbit/s. */
function secondsOf(audio: unknown): number {
  const { data, format } = isObject(audio) ? audio : {};
  const bytes = Buffer.from(String(data ?? ''), 'base64');
  if (format === 'mp3') return bytes.length / 2000;
  return bytes.length < 44 ? 0 : (bytes.length - 44) / Math.max(1, bytes.readUInt32LE(28));
}

/** A PDF is an image of each page and its text; of other documents nothing is known. */
function addDocument(size: InputSize, part: Record<string, unknown>): void {
  const document = readDocument(part);
  if (document === null) {
    size.documents++;
    return;
  }
  for (let page = 0; page < document.pages; page++) size.images.push({ url: '', detail: 'high' });
  addText(size, document.text);
}

/** In chat the address and detail stand in an object, in responses beside the type. */
function imageOf(part: Record<string, unknown>): Image {
  const image = isObject(part.image_url) ? part.image_url : { url: part.image_url, detail: part.detail };
  return { url: String(image.url ?? ''), detail: String(image.detail ?? 'auto') };
}

/** Input tokens as usually billed: as the tokeniser counts them. */
export function usualInputTokens(size: InputSize, model: string): number {
  const { textTokens, tokens, documents } = size;
  const text = Math.ceil(textTokens) + framing(size) + tokens + documents * DOCUMENT_TOKENS.usual;
  return text + ofImages(size, model, false) + audioTokens(size, false);
}

/** The most that the same input can be billed at: a token for every byte, and images as large as they come. */
export function mostInputTokens(size: InputSize, model: string): number {
  const { textBytes, tokens, documents } = size;
  const text = textBytes + framing(size) + tokens + documents * DOCUMENT_TOKENS.most;
  return text + ofImages(size, model, true) + audioTokens(size, true);
}

function ofImages({ images }: InputSize, model: string, worst: boolean): number {
  return images.reduce((sum, image) => sum + imageTokens(model, image, worst), 0);
}

function framing(size: InputSize): number {
  return size.messages === 0 ? 0 : FRAMING_TOKENS * (size.messages + 1);
}
