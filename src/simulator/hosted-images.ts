/** The tool of a response that makes images, by a model of its own: what each of its calls uses, and what is billed for it. */
import { imageSize } from 'image-size';
import { type ApiError, invalidRequest, unknownModel } from './errors.ts';
import { isObject, type JsonObject } from './fields.ts';
import { editTokens, madeTokens, type Size } from './image-tokens.ts';
import { baseOf, MEDIA_PRICES, priceOf } from './media-prices.ts';
import type { Random } from './random.ts';

/** What one or several images used, in tokens. */
export interface ImageUse {
  textIn: number;
  cachedText: number;
  imageIn: number;
  cachedImage: number;
  textOut: number;
  imageOut: number;
}

export interface MadeImage {
  tool: JsonObject;
  model: string;
  use: ImageUse;
  costPicoUsd: bigint;
}

/** The tool as a request offers it, and the images that stand in the request. */
export interface ImageTool {
  tool: JsonObject;
  model: string;
  given: Size[];
}

const MILLION = 1_000_000;
/** The API's own default has no published price, so it is not sold here. */
const DEFAULT_MODEL = 'gpt-image-2.6-sunburst';
/** The longest prompt, of characters of nearly four bytes each. */
const LONGEST_PROMPT_TOKENS = 125_000;
const EDITED_MOST = 16;
const LARGE: Size = { width: 1024, height: 8192 };

export function readImageTool(
  tool: JsonObject,
  items: readonly JsonObject[],
): ImageTool | { error: ApiError } {
  const model = typeof tool.model === 'string' ? tool.model : DEFAULT_MODEL;
  if (MEDIA_PRICES.usd_per_1m_tokens[baseOf(model)]?.image_out === undefined)
    return { error: unknownModel(model) };
  const partial = tool.partial_images ?? 0;
  if (typeof partial !== 'number' || partial > 3)
    return { error: invalidRequest("Invalid 'partial_images'.", 'tools') };
  const given: Size[] = [];
  collectImages([...items, tool.input_image_mask], given);
  return { tool, model, given };
}

/** Finds images at any depth: parts of contents, earlier results, a mask. */
function collectImages(value: unknown, found: Size[]): void {
  if (Array.isArray(value)) {
    for (const item of value) collectImages(item, found);
    return;
  }
  if (!isObject(value)) return;
  const { type, image_url: url, file_id: id, result } = value;
  if (typeof url === 'string') found.push(sizeOf(url.replace(/^data:[^,]*,/, '')));
  else if (type === 'image_generation_call') found.push(sizeOf(typeof result === 'string' ? result : ''));
  else if (typeof id === 'string') found.push(LARGE);
  else collectImages(Object.values(value), found);
}

function sizeOf(base64: string): Size {
  try {
    return imageSize(Buffer.from(base64, 'base64'));
  } catch {
    return LARGE;
  }
}

/** What an image uses that is made after so many others in the same response. */
export function planImage(
  { tool, model, given }: ImageTool,
  { worst, random, madeBefore }: { worst: boolean; random: Random; madeBefore: number },
): MadeImage {
  const base = baseOf(model);
  const isTabled = /^gpt-image-1|^chatgpt/.test(base);
  const isHigh = tool.input_fidelity === 'high' || (!isTabled && worst);
  const sizes = [...given, ...new Array<Size>(madeBefore).fill(LARGE)];
  const readMost = Math.min(EDITED_MOST, sizes.length);
  const read = worst ? readMost : Math.floor(random() * (readMost + 1));
  const tokens = sizes.map((size) => editTokens(size, isHigh)).sort((a, b) => b - a);
  const partial = typeof tool.partial_images === 'number' ? tool.partial_images : 0;
  const textIn = worst ? LONGEST_PROMPT_TOKENS : 20 + Math.floor(random() * 200);
  const imageIn = tokens.slice(0, read).reduce((sum, one) => sum + one, 0);
  const cachedShare = worst ? 0 : random() / 2;
  const writesText = /^gpt-image-1\.5|^gpt-image-2|^chatgpt/.test(base);
  const use = {
    textIn,
    cachedText: Math.floor(textIn * cachedShare),
    imageIn,
    cachedImage: Math.floor(imageIn * cachedShare),
    textOut: writesText ? (worst ? 1000 : Math.floor(random() * 50)) : 0,
    imageOut: madeTokens(tool, base, worst) + partial * 100,
  };
  return { tool, model, use, costPicoUsd: costOf(base, use) };
}

function costOf(
  base: string,
  { textIn, cachedText, imageIn, cachedImage, textOut, imageOut }: ImageUse,
): bigint {
  const prices = MEDIA_PRICES.usd_per_1m_tokens[base];
  const { text_in = '0', image_in = '0', image_out = '0' } = prices ?? {};
  const { cached_text = text_in, cached_image = image_in, text_out = image_out } = prices ?? {};
  return (
    priceOf(textIn - cachedText, text_in, MILLION) +
    priceOf(cachedText, cached_text, MILLION) +
    priceOf(imageIn - cachedImage, image_in, MILLION) +
    priceOf(cachedImage, cached_image, MILLION) +
    priceOf(textOut, text_out, MILLION) +
    priceOf(imageOut, image_out, MILLION)
  );
}

/** What the response says of all of them: `tool_usage.image_gen`. */
export function imageUsageJson(made: readonly MadeImage[]): object {
  const sum = (pick: (use: ImageUse) => number) => made.reduce((total, { use }) => total + pick(use), 0);
  const read = sum(({ textIn, imageIn }) => textIn + imageIn);
  const written = sum(({ textOut, imageOut }) => textOut + imageOut);
  return {
    input_tokens: read,
    input_tokens_details: { text_tokens: sum((use) => use.textIn), image_tokens: sum((use) => use.imageIn) },
    output_tokens: written,
    output_tokens_details: {
      text_tokens: sum((use) => use.textOut),
      image_tokens: sum((use) => use.imageOut),
    },
    total_tokens: read + written,
    cached_tokens: sum(({ cachedText, cachedImage }) => cachedText + cachedImage),
    cached_tokens_details: {
      cached_text_tokens: sum((use) => use.cachedText),
      cached_image_tokens: sum((use) => use.cachedImage),
    },
  };
}

/** The line's part of the invoice; undefined: no images were made. */
export function imageLine(made: readonly MadeImage[]) {
  const [first] = made;
  if (first === undefined) return undefined;
  const cost = made.reduce((sum, { costPicoUsd }) => sum + costPicoUsd, 0n);
  return { model: first.model, images: made.length, cost_pico_usd: cost.toString() };
}

/** The item that shows an image. */
export function imageItem({ tool }: MadeImage, id: string, result: string): JsonObject {
  const { size, quality, action = 'generate' } = tool;
  return {
    id,
    type: 'image_generation_call',
    status: 'completed',
    action,
    background: 'opaque',
    output_format: 'png',
    quality: quality ?? 'high',
    size: size ?? '1024x1024',
    revised_prompt: 'a drawing',
    result,
  };
}
