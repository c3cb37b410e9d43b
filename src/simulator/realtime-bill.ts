/** What realtime sessions cost: models of text, audio and images, transcriptions and translations. Written apart from Tollgate's rates. */
import { readFileSync } from 'node:fs';
import { usageOf } from './media-plan.ts';
import { baseOf, priceOf } from './media-prices.ts';
import type { Usage } from './prices.ts';
import type { Random } from './random.ts';

interface RealtimeRow {
  names?: string[];
  /** Input and output together. */
  window: number;
  max_output_tokens: number;
  /** Input, cached input, output. */
  usd_per_1m_tokens: { text: string[]; audio: string[]; image: string[] };
}

interface RealtimePrices {
  models: Record<string, RealtimeRow>;
  transcription_usd_per_minute: Record<string, string>;
  transcription_usd_per_1m_tokens: Record<string, [string, string]>;
  translation_usd_per_minute: Record<string, string>;
}

const PRICES: RealtimePrices = JSON.parse(
  readFileSync(new URL('./realtime-prices.json', import.meta.url), 'utf8'),
);
const MILLION = 1_000_000;

export interface RealtimeModel {
  name: string;
  window: number;
  maxOutputTokens: number;
  row: RealtimeRow;
}

export function findRealtimeModel(name: string): RealtimeModel | null {
  const base = Object.hasOwn(PRICES.models, name) ? name : baseOf(name);
  const row = PRICES.models[base];
  if (row === undefined || (base !== name && !row.names?.includes(name))) return null;
  return { name, window: row.window, maxOutputTokens: row.max_output_tokens, row };
}

/** Tokens by what they are of. */
export interface Modalities {
  text: number;
  audio: number;
  image: number;
}

export interface RealtimeUsage {
  input: Modalities;
  /** Inside the input. */
  cached: Modalities;
  output: Omit<Modalities, 'image'>;
}

function sumOf({ text, audio, image = 0 }: Omit<Modalities, 'image'> & { image?: number }): number {
  return text + audio + image;
}

export function billRealtime({ row }: RealtimeModel, { input, cached, output }: RealtimeUsage): bigint {
  const rates = row.usd_per_1m_tokens;
  let total = 0n;
  for (const kind of ['text', 'audio', 'image'] as const) {
    const [fresh = '0', kept = '0', written = '0'] = rates[kind];
    total += priceOf(input[kind] - cached[kind], fresh, MILLION) + priceOf(cached[kind], kept, MILLION);
    if (kind !== 'image') total += priceOf(output[kind], written, MILLION);
  }
  return total;
}

/** As a line of the invoice says it. */
export function lineUsage({ input, cached, output }: RealtimeUsage): Usage {
  return {
    input_tokens: sumOf(input),
    cached_input_tokens: sumOf(cached),
    cache_write_tokens: 0,
    output_tokens: sumOf(output),
    reasoning_tokens: 0,
    input_audio_tokens: input.audio,
    output_audio_tokens: output.audio,
  };
}

/** As `response.done` says it. */
export function saidUsage({ input, cached, output }: RealtimeUsage): object {
  return {
    total_tokens: sumOf(input) + sumOf(output),
    input_tokens: sumOf(input),
    output_tokens: sumOf(output),
    input_token_details: {
      text_tokens: input.text,
      audio_tokens: input.audio,
      image_tokens: input.image,
      cached_tokens: sumOf(cached),
      cached_tokens_details: {
        text_tokens: cached.text,
        audio_tokens: cached.audio,
        image_tokens: cached.image,
      },
    },
    output_token_details: { text_tokens: output.text, audio_tokens: output.audio },
  };
}

export interface Transcription {
  said: object;
  usage: Usage;
  costPicoUsd: bigint;
}

export function transcribes(model: string): boolean {
  const base = baseOf(model);
  return (
    Object.hasOwn(PRICES.transcription_usd_per_minute, base) ||
    Object.hasOwn(PRICES.transcription_usd_per_1m_tokens, base)
  );
}

/** What hearing so much costs: whole seconds, each that has begun, or ten tokens a second, at worst twice as many. */
export function planTranscription(
  model: string,
  seconds: number,
  prompt: string,
  { worst, random }: { worst: boolean; random: Random },
): Transcription {
  const base = baseOf(model);
  const perMinute = PRICES.transcription_usd_per_minute[base];
  const whole = Math.ceil(seconds);
  if (perMinute !== undefined) {
    const costPicoUsd = priceOf(whole, perMinute, 60);
    return { said: { type: 'duration', seconds: whole }, usage: usageOf(0, 0), costPicoUsd };
  }
  const [textIn, textOut] = PRICES.transcription_usd_per_1m_tokens[base] ?? ['0', '0'];
  const audio = Math.ceil(seconds * (worst ? 20 : 10));
  const bytes = Buffer.byteLength(prompt);
  const text = worst ? bytes + 200 : Math.ceil(bytes / 4);
  const written = worst ? 2000 : Math.min(2000, 1 + Math.floor(seconds * 4 * random()));
  const said = {
    type: 'tokens',
    total_tokens: audio + text + written,
    input_tokens: audio + text,
    input_token_details: { text_tokens: text, audio_tokens: audio },
    output_tokens: written,
  };
  const costPicoUsd = priceOf(audio + text, textIn, MILLION) + priceOf(written, textOut, MILLION);
  return { said, usage: usageOf(audio + text, written), costPicoUsd };
}

/** What a translation of so much audio costs; null: no such model. */
export function priceTranslation(model: string, seconds: number): bigint | null {
  const perMinute = PRICES.translation_usd_per_minute[baseOf(model)];
  return perMinute === undefined ? null : priceOf(Math.ceil(seconds), perMinute, 60);
}
