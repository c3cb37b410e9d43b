/** Images: generations, edits and variations. */

import type { ImageSize } from '../../domain/images.ts';
import { editedImageTokens, madeImageTokens } from '../../domain/made-images.ts';
import { type Bounds, type Fields, isObject, type Json, type JsonObject } from '../body.ts';
import { imageSizeIn, imageSizeOf } from '../image-size.ts';
import { refuseUnpublished, SIZE_MESSAGE } from '../image-tool.ts';
import { metered, RESPONSE_USAGE } from './descriptor.ts';

/** The API takes 16 images of 50 MB; what passes here is as much as four bodies of JSON may have. */
const IMAGES_BODY_BYTES = 80 * 1024 * 1024;

const USAGE = {
  members: RESPONSE_USAGE,
  answer: 'data',
  piece: 'delta',
  skipsArrays: false,
  stream: 'done_event',
  media: { output: 'output_image_tokens', unreported: 'images' },
} as const;

export const IMAGES = [
  metered({
    name: 'images.generations',
    path: '/images/generations',
    bound: readGeneration,
    defaultModel: modelOfGeneration,
    usage: { ...USAGE, doneEvent: 'image_generation.completed' },
    fields: [
      ...['background', 'model', 'moderation', 'n', 'output_compression', 'output_format', 'partial_images'],
      ...['prompt', 'quality', 'response_format', 'size', 'stream', 'style', 'user'],
    ],
    otel: 'image_generation',
  }),
  metered({
    name: 'images.edits',
    path: '/images/edits',
    request: 'form',
    takesJson: true,
    bodyBytesMax: IMAGES_BODY_BYTES,
    bound: readEdit,
    defaultModel: () => 'gpt-image-1.5',
    usage: { ...USAGE, doneEvent: 'image_edit.completed' },
    otel: 'images.edits',
  }),
  metered({
    name: 'images.variations',
    path: '/images/variations',
    request: 'form',
    bodyBytesMax: IMAGES_BODY_BYTES,
    bound: readVariation,
    defaultModel: () => 'dall-e-2',
    usage: { ...USAGE, stream: 'none' },
    otel: 'images.variations',
  }),
];

const PARTIAL_IMAGES_MAX = 3;
const IMAGES_MAX = 10;
const INPUT_IMAGES_MAX = 16;
/** Fields that make a generation without a model one of the newer family (OpenAPI specification 2.3.0, CreateImageRequest). */
const NEWER_FIELDS = [
  'background',
  'moderation',
  'output_compression',
  'output_format',
  'partial_images',
  'stream',
];

/** Returns the model that the API documents where a generation names none. */
function modelOfGeneration(json: JsonObject): string {
  const isNewer = NEWER_FIELDS.some((name) => (json[name] ?? null) !== null);
  return isNewer ? 'gpt-image-1.5' : 'dall-e-2';
}

function readGeneration(fields: Fields): Bounds {
  return boundsOf(fields, null);
}

function readVariation(fields: Fields): Bounds {
  readImageFiles(fields);
  return boundsOf(fields, null);
}

function readEdit(fields: Fields): Bounds {
  const sizes = fields.files.length > 0 ? readImageFiles(fields) : readImageReferences(fields);
  const fidelity = fields.json.input_fidelity ?? null;
  const model = String(fields.json.model);
  const known = fidelity === 'high' || fidelity === 'low' ? fidelity : null;
  let tokens = 0;
  for (const size of sizes) tokens += editedImageTokens(model, size, known);
  return boundsOf(fields, tokens);
}

/** @param imageTokens of what is edited; null: nothing is */
function boundsOf(fields: Fields, imageTokens: number | null): Bounds {
  refuseUnpublished(fields, fields.json, '');
  const n = fields.integer('n', 1, IMAGES_MAX) ?? 1;
  const partialImages = fields.integer('partial_images', 0, PARTIAL_IMAGES_MAX) ?? 0;
  const size = choiceOf(fields, 'size');
  const quality = choiceOf(fields, 'quality');
  const model = String(fields.json.model);
  const isDallE = model.startsWith('dall-e');
  const tokens = isDallE ? 0 : madeImageTokens(model, { size, quality, partialImages });
  if (tokens === null) fields.invalid('size', SIZE_MESSAGE);
  let bytes = Buffer.byteLength(JSON.stringify(fields.json.prompt ?? ''));
  bytes += Buffer.byteLength(JSON.stringify(fields.json.user ?? ''));
  return {
    outputTokensLimit: tokens ?? 0,
    choices: n,
    extraOutputTokens: 0,
    media: {
      inputTokens: isDallE ? 0 : bytes + PROMPT_FRAME_TOKENS + (imageTokens ?? 0),
      otherBounds: isDallE
        ? { images: n }
        : { images: n, input_image_tokens: imageTokens ?? 0, output_image_tokens: (tokens ?? 0) * n },
      isBilledEither: true,
      stated: null,
      pricedAs: isDallE ? priceName(model, size, quality) : null,
    },
  };
}

/** What stands around a prompt. */
const PROMPT_FRAME_TOKENS = 256;

/** Prices of DALL·E are by size and quality. */
function priceName(model: string, size: string | null, quality: string | null): string {
  const shown = size ?? '1024x1024';
  return model === 'dall-e-3'
    ? `${model}/${quality === 'hd' ? 'hd' : 'standard'}/${shown}`
    : `${model}/${shown}`;
}

/** Returns the value of a field that is one of a few; null: it is left to the model. */
function choiceOf(fields: Fields, name: string): string | null {
  const value = fields.json[name];
  if (value === undefined || value === null || value === 'auto') return null;
  if (typeof value === 'string' && value.length <= 32) return value;
  fields.invalid(name, `'${name}' must be a string of at most 32 characters.`);
  return null;
}

/** Images of a form: `image`, `image[]` and `mask`. */
function readImageFiles(fields: Fields): (ImageSize | null)[] {
  const known = fields.files.filter(({ name }) => name === 'image' || name === 'image[]' || name === 'mask');
  if (known.length !== fields.files.length || known.length === 0)
    fields.invalid('image', "The files of the form must be 'image', 'image[]' or 'mask'.");
  limitImages(fields, 'image', known.length);
  return known.map(({ bytes }) => imageSizeIn(bytes));
}

/** Images of a JSON body: `images` and `mask`, each an address or the id of a file. */
function readImageReferences(fields: Fields): (ImageSize | null)[] {
  const { images, mask } = fields.json;
  if (!Array.isArray(images) || images.length === 0) {
    fields.invalid('images', "'images' must be an array with at least one image.");
    return [];
  }
  limitImages(fields, 'images', images.length);
  const sizes = images.map((image, index) => sizeOfReference(fields, image, `images[${index}]`));
  return mask === undefined || mask === null ? sizes : [...sizes, sizeOfReference(fields, mask, 'mask')];
}

function limitImages(fields: Fields, param: string, count: number): void {
  if (count > INPUT_IMAGES_MAX + 1)
    fields.invalid(param, `'${param}' may be at most ${INPUT_IMAGES_MAX} images.`);
}

function sizeOfReference(fields: Fields, image: Json, param: string): ImageSize | null {
  if (isObject(image) && typeof image.file_id === 'string')
    fields.own('file', image.file_id, `${param}.file_id`);
  else if (isObject(image) && typeof image.image_url === 'string') return imageSizeOf(image.image_url);
  else fields.invalid(param, `'${param}' must have 'image_url' or 'file_id'.`);
  return null;
}
