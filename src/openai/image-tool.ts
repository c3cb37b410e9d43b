/**
 * The tool that makes images inside of a response, by a model of its own. Owns: what of it moves its cost, and the model that is
 * written into it. Does not own: what an image costs (domain/made-images.ts), nor how many are held for (domain/hosted.ts).
 */
import { madeImageTokens } from '../domain/made-images.ts';
import type { ImageTool } from '../domain/operation.ts';
import { endOfValue, type Fields, findSpans, isObject, type Json, type JsonObject } from './body.ts';
import { addCalls } from './hosted-tools.ts';

/** What may stand in the tool (OpenAPI specification 2.3.0, `ImageGenTool`): what is new may multiply what an image costs. */
const MEMBERS = new Set([
  ...['type', 'model', 'action', 'background', 'input_fidelity', 'input_image_mask', 'moderation'],
  ...['output_compression', 'output_format', 'partial_images', 'quality', 'size'],
]);
/** Members of newer clients (openai 7.57.0 on npm) for which no amount of tokens was published. */
const UNPUBLISHED = ['complexity', 'frame_count', 'frame_duration_ms', 'svg'];
const FORMATS = new Set<Json | undefined>([undefined, null, 'png', 'jpeg', 'webp']);
const QUALITIES = new Set<Json | undefined>([
  undefined,
  null,
  ...['auto', 'low', 'medium', 'high', 'standard', 'hd'],
]);
const PARTIAL_IMAGES_MAX = 3;
/** The API's own default was shut down (`gpt-image-1`) or has no published price (`gpt-image-2.6-sunburst`). */
const DEFAULT_MODEL = 'gpt-image-1.5';

/** Reads the tool `image_generation`, but for its mask, which is an image as any other. */
export function readImageTool(fields: Fields, tool: JsonObject, param: string): void {
  const unknown = Object.keys(tool).find((name) => !MEMBERS.has(name));
  if (unknown !== undefined)
    fields.unbounded(`${param}.${unknown}`, 'what it adds to the cost of an image is not published');
  refuseUnpublished(fields, tool, `${param}.`);
  if (fields.hosted?.images) fields.invalid(param, "Only one tool may be of the type 'image_generation'.");
  const { model: named, input_fidelity: fidelity, input_image_mask: mask } = tool;
  const partial = tool.partial_images ?? 0;
  const writtenInto = named === undefined ? indexIn(param) : null;
  if (named === undefined && writtenInto === null)
    fields.unbounded(`${param}.model`, 'which model makes the images is not said', 'Name it.');
  const model = named === undefined ? DEFAULT_MODEL : named;
  if (typeof model !== 'string' || model.length > 256) {
    fields.invalid(`${param}.model`, `'${param}.model' must be the name of a model, or be left out.`);
    return;
  }
  const isCount = typeof partial === 'number' && Number.isInteger(partial) && partial >= 0;
  if (!(isCount && partial <= PARTIAL_IMAGES_MAX))
    fields.invalid(
      `${param}.partial_images`,
      `'${param}.partial_images' must be an integer from 0 to ${PARTIAL_IMAGES_MAX}.`,
    );
  const partialImages = isCount ? partial : 0;
  const wanted = { size: textOf(tool.size), quality: textOf(tool.quality), partialImages };
  const outputTokens = madeImageTokens(model, wanted);
  if (outputTokens === null) fields.invalid(`${param}.size`, SIZE_MESSAGE);
  addCalls(fields, param).images = {
    model,
    param,
    outputTokens: outputTokens ?? 0,
    fidelity: fidelity === 'high' || fidelity === 'low' ? fidelity : null,
    hasMask: isObject(mask),
    writtenInto,
  };
}

export const SIZE_MESSAGE = "'size' must be 'auto' or WIDTHxHEIGHT of at most 3,840 × 2,160 pixels.";

/** Refuses what makes images of which no price is known: moving ones, drawings, and qualities beyond the published tables. */
export function refuseUnpublished(fields: Fields, json: JsonObject, prefix: string): void {
  const set = UNPUBLISHED.find((name) => (json[name] ?? null) !== null);
  if (set !== undefined)
    fields.unbounded(`${prefix}${set}`, 'what it adds to the cost of an image is not published');
  if (!FORMATS.has(json.output_format))
    fields.unbounded(
      `${prefix}output_format`,
      "only images of the formats 'png', 'jpeg' and 'webp' have a published cost",
      'Name one of them.',
    );
  if (!QUALITIES.has(json.quality))
    fields.unbounded(
      `${prefix}quality`,
      'what an image of this quality costs is not published',
      "Name 'low', 'medium' or 'high'.",
    );
}

/** Null: it is left to the model. */
function textOf(value: Json | undefined): string | null {
  return typeof value === 'string' && value !== 'auto' ? value : null;
}

/** Returns the place among the request's own tools; null: it stands elsewhere. */
function indexIn(param: string): number | null {
  const [, index] = /^tools\[(\d+)\]$/.exec(param) ?? [];
  return index === undefined ? null : Number(index);
}

/** Returns the body with the model in its tool, where the client named none. */
export function withImageModel(body: Buffer, { model, writtenInto }: ImageTool): Buffer {
  if (writtenInto === null) return body;
  const start = findSpans(body, ['tools']).get('tools')?.[0];
  if (start === undefined) throw new Error('a tool is not where it was read');
  const text = body.toString('latin1');
  let at = start + 1;
  for (let index = 0; index < writtenInto; index++) at = endOfValue(text, at) + 1;
  const inside = text.indexOf('{', at) + 1;
  const written = Buffer.from(`"model":${JSON.stringify(model)},`);
  return Buffer.concat([body.subarray(0, inside), written, body.subarray(inside)]);
}
