/** Images that are made, edited or varied: by tokens of text and image, or by the image. */
import { imageSize } from 'image-size';
import { type ApiError, unknownModel } from './errors.ts';
import { FieldReader, isObject, type JsonObject } from './fields.ts';
import { editTokens, isTabled, madeTokens, PIXEL, type Size } from './image-tokens.ts';
import { type MediaPlan, type MediaRequest, mediaEvent, missingField, usageOf } from './media-plan.ts';
import { baseOf, MEDIA_PRICES, priceOf } from './media-prices.ts';

const MILLION = 1_000_000;
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
  const writes = /^gpt-image-1\.5|^gpt-image-2|^chatgpt/.test(model) && !body.stream;
  const text = writes ? (worst ? 1000 : Math.floor(exchange.random() * 50)) : 0;
  return {
    textIn: worst ? prompt : Math.ceil(prompt / 4),
    imageIn: inputTokens(request, isTabled(model)),
    textOut: text * n,
    imageOut: (madeTokens(body, model, worst) + partial * 100) * n,
  };
}

function inputTokens({ body, files, worst }: MediaRequest, tabled: boolean): number {
  const sent = files.map(({ bytes }) => sizeOf(bytes));
  const named = Array.isArray(body.images) ? [...body.images, ...(body.mask ? [body.mask] : [])] : [];
  const sizes = [...sent, ...named.map((image) => sizeOfReference(image))];
  const isHigh = body.input_fidelity === 'high' || (!tabled && worst);
  return sizes.reduce((sum, size) => sum + editTokens(size, isHigh), 0);
}

function sizeOfReference(image: unknown): Size {
  const url = isObject(image) ? String(image.image_url ?? '') : '';
  return sizeOf(Buffer.from(url.replace(/^data:[^,]*,/, ''), 'base64'));
}

/** What cannot be read is taken for one that is twice as wide as high. */
function sizeOf(bytes: Buffer): Size {
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
