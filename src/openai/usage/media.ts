/** Usage of audio and images: by tokens of several kinds, by seconds, or by the image (OpenAPI specification 2.3.0). */
import { areQuantities, isCount, type Quantities, quantityOf } from '../../domain/quantities.ts';
import type { Usage } from '../../domain/usage.ts';
import { isObject, type Json, type JsonObject } from '../body.ts';
import type { UsageMembers, UsagePlace } from '../operations/descriptor.ts';
import { dataLines, eventType, parseLine } from '../wire/sse.ts';

/** Returns the usage of a response or event of media; null: it says none, or none that can be. */
export function readMediaUsage(place: UsagePlace, response: JsonObject): Usage | null {
  const { usage } = response;
  if (isObject(usage)) return usage.type === 'duration' ? ofSeconds(usage.seconds) : ofTokens(place, usage);
  switch (place.media?.unreported) {
    case 'images':
      return Array.isArray(response.data) && response.data.length > 0
        ? { images: response.data.length }
        : null;
    case 'duration':
      return ofWholeSeconds(
        typeof response.duration === 'string' ? Number(response.duration) : response.duration,
      );
    default:
      return null;
  }
}

function ofSeconds(seconds: Json | undefined): Usage | null {
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds < 0) return null;
  const usage = { audio_seconds: quantityOf('audio_seconds', seconds) };
  return areQuantities(usage) ? usage : null;
}

/** A duration beside the text is that of the audio; whole seconds are billed, each that has begun. */
function ofWholeSeconds(seconds: Json | undefined): Usage | null {
  return ofSeconds(typeof seconds === 'number' ? Math.ceil(seconds) : undefined);
}

/** Of what is not said apart all output is of the operation's own kind, and all input text. */
function ofTokens({ members, media }: UsagePlace, reported: JsonObject): Usage | null {
  const input = detailsOf(reported, members.inputDetails);
  const output = detailsOf(reported, members.outputDetails);
  const cached = detailsOf(input, 'cached_tokens_details');
  const whole = reported[members.output ?? 'output_tokens'];
  const usage: Record<string, Json> = {
    input_tokens: reported[members.input] ?? null,
    cached_input_tokens: input.cached_tokens ?? 0,
    output_tokens: whole ?? null,
  };
  addKind(usage, 'audio', input, cached, output);
  addKind(usage, 'image', input, cached, output);
  const kind = media?.output ?? null;
  if (kind !== null && usage[kind] === undefined && output.text_tokens === undefined)
    usage[kind] = whole ?? null;
  return areQuantities(usage) ? usage : null;
}

/**
 * Returns what the tool `image_generation` used over all of its calls, by `tool_usage.image_gen` (openai 7.57.0 on npm, `ToolUsage`);
 * null: it is not said. Where it is not said what output is, it is image.
 */
export function readImageToolUsage(reported: Json | undefined): Usage | null {
  const said = isObject(reported) ? reported.image_gen : undefined;
  // An image has tokens: a family of tools without recorded usage has zeros.
  if (!isObject(said) || !said.output_tokens) return null;
  const { image_tokens: read = 0 } = detailsOf(said, 'input_tokens_details');
  const written = detailsOf(said, 'output_tokens_details');
  const { cached_image_tokens: cached = 0 } = detailsOf(said, 'cached_tokens_details');
  if (!isCount(read) || !isCount(cached) || cached > read) return null;
  const usage = {
    input_tokens: said.input_tokens ?? null,
    cached_input_tokens: said.cached_tokens ?? 0,
    cached_image_tokens: cached,
    input_image_tokens: read - cached,
    output_tokens: said.output_tokens,
    output_image_tokens: written.image_tokens ?? said.output_tokens,
  };
  return areQuantities(usage) ? usage : null;
}

/** Details tell all input of a kind; the meters tell what was cached of it apart. */
function addKind(
  usage: Record<string, Json>,
  kind: 'audio' | 'image',
  input: JsonObject,
  cached: JsonObject,
  output: JsonObject,
): void {
  const name = `${kind}_tokens`;
  const fromCache = cached[name] ?? 0;
  if (isCount(fromCache) && fromCache > 0) usage[`cached_${name}`] = fromCache;
  const all = input[name] ?? 0;
  if (isCount(all) && isCount(fromCache) && all > fromCache) usage[`input_${name}`] = all - fromCache;
  const written = output[name];
  if (written !== undefined && written !== null && written !== 0) usage[`output_${name}`] = written;
}

function detailsOf(value: JsonObject, name: string): JsonObject {
  const details = value[name];
  return isObject(details) ? details : {};
}

/** Adds the audio tokens of a conversation to its usage of text; null: they cannot be. */
export function withAudio(usage: Quantities, members: UsageMembers, reported: JsonObject): Usage | null {
  const input = detailsOf(reported, members.inputDetails);
  const output = detailsOf(reported, members.outputDetails);
  const whole: Record<string, Json> = { ...usage };
  addKind(whole, 'audio', input, detailsOf(input, 'cached_tokens_details'), output);
  return areQuantities(whole) ? whole : null;
}

/** The sum of two usages. */
export function sumOf(a: Usage, b: Usage): Usage {
  const sum: Record<string, number> = { ...a };
  for (const [meter, amount] of Object.entries(b)) sum[meter] = (sum[meter] ?? 0) + amount;
  return areQuantities(sum) ? sum : a;
}

const NONE = Buffer.alloc(0);

/** Returns the audio that whole lines of a stream of speech carry. */
export function audioOf(lines: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (const at of dataLines(lines, 0)) {
    const event = eventType(lines, at) === 'speech.audio.delta' ? parseLine(lines, at) : null;
    if (typeof event?.audio === 'string') pieces.push(Buffer.from(event.audio, 'base64'));
  }
  return pieces.length === 0 ? NONE : Buffer.concat(pieces);
}
