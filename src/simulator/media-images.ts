/** Images that are made, edited or varied: by tokens of text and image, or by the image. */
import { imageSize } from 'image-size';
import { type ApiError, unknownModel } from './errors.ts';
import { FieldReader, isObject, type JsonObject } from './fields.ts';
import {
  baseOf,
  MEDIA_PRICES,
  type MediaPlan,
  type MediaRequest,
  mediaEvent,
  missingField,
  priceOf,
  usageOf,
} from './media-plan.ts';

const MILLION = 1_000_000;
/** One image of low, medium and high quality by its size, and of any other size by its pixels. */
const LOW: Record<string, number> = { '1024x1024': 272, '1024x1536': 408, '1536x1024': 400 };
const MEDIUM: Record<string, number> = { '1024x1024': 1056, '1024x1536': 1584, '1536x1024': 1568 };
const HIGH: Record<string, number> = { '1024x1024': 4160, '1024x1536': 6240, '1536x1024': 6208 };
const PIXELS = { low: 272 / 1048576, medium: 1056 / 1048576, high: 4160 / 1048576 };
const PIXEL =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** What the images of one request cost. */
interface Bill {
  textIn: number;
  imageIn: number;
  textOut: number;
  imageOut: number;
}

export function planImages(
  request: MediaRequest,
  event: 'image_generation' | 'image_edit',
): MediaPlan | ApiError {
  const { body, exchange } = request;
  const reader = new FieldReader(body);
  const model = reader.string('model') ?? 'dall-e-2';
  const n = reader.integer('n', 1, 10) ?? 1;
  const partial = reader.integer('partial_images', 0, 3) ?? 0;
  const stream = reader.boolean('stream');
  if (reader.error) return reader.error;
  const isVariation = exchange.entry.operation === 'images.variations';
  if (body.prompt === undefined && !isVariation) return missingField('prompt');
  if (model.startsWith('dall-e')) return dallE(body, model, n);
  const prices = MEDIA_PRICES.usd_per_1m_tokens[baseOf(model)];
  if (prices?.image_in === undefined || prices.image_out === undefined) return unknownModel(model);
  const bill = billOf(request, baseOf(model), n, stream ? partial : 0);
  const textOutPrice = prices.text_out ?? prices.image_out;
  const costPicoUsd =
    priceOf(bill.textIn, prices.text_in, MILLION) +
    priceOf(bill.imageIn, prices.image_in, MILLION) +
    priceOf(bill.textOut, textOutPrice, MILLION) +
    priceOf(bill.imageOut, prices.image_out, MILLION);
  const usage = usageOf(bill.textIn + bill.imageIn, bill.textOut + bill.imageOut);
  const plan = { model, usage, units: { unit: 'images', amount: n } as const, costPicoUsd };
  const created = Math.floor(Date.now() / 1000);
  const withUsage = exchange.fault?.name !== 'no_usage';
  if (!stream) {
    const data = Array.from({ length: n }, () => ({ b64_json: PIXEL }));
    const said = withUsage ? { usage: usageJson(bill, true) } : null;
    const json = { created, background: 'opaque', output_format: 'png', size: '1024x1024', data, ...said };
    return { ...plan, contentType: 'application/json', body: JSON.stringify(json) };
  }
  return {
    ...plan,
    contentType: 'text/event-stream; charset=utf-8',
    body: events(event, n, partial, bill, withUsage),
  };
}

/** The first image has what cannot be shared evenly. */
function events(type: string, n: number, partial: number, bill: Bill, withUsage: boolean): string[] {
  const common = {
    b64_json: PIXEL,
    size: '1024x1024',
    quality: 'high',
    background: 'opaque',
    output_format: 'png',
  };
  const written: string[] = [];
  for (let image = 0; image < n; image++) {
    for (let index = 0; index < partial; index++) {
      const event = { type: `${type}.partial_image`, ...common, created_at: 1, partial_image_index: index };
      written.push(mediaEvent(event));
    }
    const share = (all: number) => (image === 0 ? all - (n - 1) * Math.floor(all / n) : Math.floor(all / n));
    const own = {
      textIn: share(bill.textIn),
      imageIn: share(bill.imageIn),
      textOut: 0,
      imageOut: share(bill.imageOut),
    };
    const said = withUsage ? { usage: usageJson(own, false) } : null;
    written.push(mediaEvent({ type: `${type}.completed`, ...common, created_at: 1, ...said }));
  }
  return written;
}

function usageJson({ textIn, imageIn, textOut, imageOut }: Bill, tellsOutput: boolean): object {
  const input = {
    input_tokens: textIn + imageIn,
    input_tokens_details: { text_tokens: textIn, image_tokens: imageIn },
  };
  const output = { output_tokens: textOut + imageOut, total_tokens: textIn + imageIn + textOut + imageOut };
  const details = { output_tokens_details: { text_tokens: textOut, image_tokens: imageOut } };
  return { ...input, ...output, ...(tellsOutput ? details : null) };
}

function billOf(request: MediaRequest, model: string, n: number, partial: number): Bill {
  const { body, worst, exchange } = request;
  const prompt = Buffer.byteLength(String(body.prompt ?? ''));
  const { quality, size } = body;
  const asked = quality === 'low' || quality === 'medium' || quality === 'high' ? quality : null;
  const made = asked ?? (worst ? 'high' : 'medium');
  const isTabled = /^gpt-image-1|^chatgpt/.test(model);
  const shown =
    typeof size === 'string' && size !== 'auto'
      ? size
      : worst
        ? isTabled
          ? '1024x1536'
          : '3840x2160'
        : '1024x1024';
  const table = { low: LOW, medium: MEDIUM, high: HIGH }[made];
  const [width = 1, height = 1] = shown.split('x').map(Number);
  const byPixels = Math.ceil(width * height * PIXELS[worst ? 'high' : made] * (worst ? 1.9 : 1));
  const one = (isTabled ? (table[shown] ?? byPixels) : byPixels) + partial * 100;
  const writes = /^gpt-image-1\.5|^gpt-image-2|^chatgpt/.test(model) && !body.stream;
  const text = writes ? (worst ? 1000 : Math.floor(exchange.random() * 50)) : 0;
  return {
    textIn: worst ? prompt : Math.ceil(prompt / 4),
    imageIn: inputTokens(request, isTabled),
    textOut: text * n,
    imageOut: one * n,
  };
}

/** 65, 129 for each tile of the image at a shorter side of 512; and what high fidelity adds. */
function inputTokens({ body, files, worst }: MediaRequest, isTabled: boolean): number {
  const sent = files.map(({ bytes }) => sizeOf(bytes));
  const named = Array.isArray(body.images) ? [...body.images, ...(body.mask ? [body.mask] : [])] : [];
  const sizes = [...sent, ...named.map((image) => sizeOfReference(image))];
  const isHigh = body.input_fidelity === 'high' || (!isTabled && worst);
  let tokens = 0;
  for (const { width, height } of sizes) {
    const scale = Math.min(1, 512 / Math.min(width, height));
    const tiles = Math.max(1, Math.ceil((Math.max(width, height) * scale - 1e-6) / 512));
    tokens += 65 + 129 * tiles + (isHigh ? (width === height ? 4160 : 6240) : 0);
  }
  return tokens;
}

function sizeOfReference(image: unknown): { width: number; height: number } {
  const url = isObject(image) ? String(image.image_url ?? '') : '';
  return sizeOf(Buffer.from(url.replace(/^data:[^,]*,/, ''), 'base64'));
}

/** What cannot be read is taken for one that is twice as wide as high. */
function sizeOf(bytes: Buffer): { width: number; height: number } {
  try {
    const { width, height } = imageSize(bytes);
    return { width, height };
  } catch {
    return { width: 1024, height: 512 };
  }
}

function dallE(body: JsonObject, model: string, n: number): MediaPlan | ApiError {
  const size = String(body.size ?? '1024x1024');
  const row = model === 'dall-e-3' && body.quality === 'hd' ? 'dall-e-3 hd' : model;
  const price = MEDIA_PRICES.usd_per_image[row]?.[size];
  if (price === undefined) return unknownModel(model);
  const data = Array.from({ length: n }, () => ({ b64_json: PIXEL }));
  const json = JSON.stringify({ created: Math.floor(Date.now() / 1000), data });
  return {
    model,
    usage: usageOf(0, 0),
    units: { unit: 'images', amount: n },
    costPicoUsd: priceOf(n, price, 1),
    contentType: 'application/json',
    body: json,
  };
}
