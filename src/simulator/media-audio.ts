/** Speech, and what is heard in audio. A second of audio is 10 tokens read, and 20 spoken. */
import { parseBuffer } from 'music-metadata';
import { type ApiError, invalidRequest, isApiError, unknownModel } from './errors.ts';
import { FieldReader } from './fields.ts';
import { type MediaPlan, type MediaRequest, mediaEvent, missingField, usageOf } from './media-plan.ts';
import { baseOf, MEDIA_PRICES, priceOf } from './media-prices.ts';
import { words } from './words.ts';

const MILLION = 1_000_000;
const TYPES: Record<string, string> = {
  mp3: 'audio/mpeg',
  opus: 'audio/ogg',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
};
/** Each event of speech carries so many bytes. */
const PIECE_BYTES = 600;

export function planSpeech({ exchange, body, worst }: MediaRequest): MediaPlan | ApiError {
  const reader = new FieldReader(body);
  const model = reader.string('model') ?? '';
  const input = reader.string('input');
  const format = reader.choice('response_format', Object.keys(TYPES)) ?? 'mp3';
  const isStream = reader.choice('stream_format', ['sse', 'audio']) === 'sse';
  const speed = reader.decimal('speed', 0.25, 4) ?? 1;
  if (reader.error) return reader.error;
  if (!input) return missingField('input');
  const perMillion = MEDIA_PRICES.usd_per_1m_characters[baseOf(model).replace(/-1106$/, '')];
  const tokens = MEDIA_PRICES.usd_per_1m_tokens[baseOf(model)];
  if (perMillion === undefined && (tokens === undefined || !model.includes('tts')))
    return unknownModel(model);
  if (perMillion !== undefined && isStream)
    return invalidRequest("'sse' is not supported with this model.", 'stream_format', 'unsupported_value');
  const characters = [...input].length;
  const bytes = Buffer.byteLength(input);
  const outputTokens = worst
    ? 256 + Math.floor((bytes * 8) / Math.min(1, speed))
    : 3 + Math.ceil(characters * 1.5);
  const inputTokens = worst ? Buffer.byteLength(JSON.stringify(body)) : Math.ceil(bytes / 4);
  const audio = Buffer.alloc(Math.min(200_000, 40 * outputTokens));
  for (let at = 0; at < audio.length; at++) audio[at] = Math.floor(exchange.random() * 256);
  const costPicoUsd =
    perMillion !== undefined
      ? priceOf(characters, perMillion, MILLION)
      : priceOf(inputTokens, tokens?.text_in ?? '0', MILLION) +
        priceOf(outputTokens, tokens?.text_out ?? '0', MILLION);
  const usage = perMillion === undefined ? usageOf(inputTokens, outputTokens) : usageOf(0, 0);
  const units = { unit: 'characters', amount: characters } as const;
  const plan = { model, usage, units, costPicoUsd };
  if (!isStream) return { ...plan, contentType: TYPES[format] ?? '', body: audio };
  const events: string[] = [];
  for (let at = 0; at < audio.length; at += PIECE_BYTES) {
    const piece = audio.subarray(at, at + PIECE_BYTES).toString('base64');
    events.push(mediaEvent({ type: 'speech.audio.delta', audio: piece }));
  }
  const said = {
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
  };
  const withUsage = exchange.fault?.name !== 'no_usage';
  events.push(mediaEvent({ type: 'speech.audio.done', ...(withUsage ? { usage: said } : null) }));
  return { ...plan, contentType: 'text/event-stream; charset=utf-8', body: events };
}

const FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt', 'diarized_json'];

interface Heard {
  usage: object | undefined;
  text: string;
  duration: number;
  format: string;
  translates: boolean;
}

/** Whole seconds are billed, each that has begun. */
export async function planTranscript(
  request: MediaRequest,
  translates: boolean,
): Promise<MediaPlan | ApiError> {
  const { exchange, body, files } = request;
  const reader = new FieldReader(body);
  const model = reader.string('model') ?? '';
  const format = reader.choice('response_format', FORMATS) ?? 'json';
  const stream = reader.boolean('stream') && !translates && model !== 'whisper-1';
  const file = files.find(({ name }) => name === 'file');
  if (reader.error) return reader.error;
  if (file === undefined) return missingField('file');
  const perMinute = MEDIA_PRICES.usd_per_minute[baseOf(model)];
  const perToken = MEDIA_PRICES.usd_per_1m_tokens[baseOf(model)];
  if (perMinute === undefined && (perToken === undefined || !model.includes('transcribe')))
    return unknownModel(model);
  const duration = await durationOf(file.bytes);
  if (isApiError(Object(duration))) return duration as ApiError;
  const seconds = Math.ceil(duration as number);
  const tokens = heardTokens(request, duration as number);
  const costPicoUsd =
    perMinute !== undefined
      ? priceOf(seconds, perMinute, 60)
      : priceOf(tokens.input_tokens, perToken?.text_in ?? '0', MILLION) +
        priceOf(tokens.output_tokens, perToken?.text_out ?? '0', MILLION);
  const usage = perMinute === undefined ? usageOf(tokens.input_tokens, tokens.output_tokens) : usageOf(0, 0);
  const said = perMinute === undefined ? tokens : { type: 'duration', seconds };
  const heard: Heard = {
    usage: exchange.fault?.name === 'no_usage' ? undefined : said,
    text: words(exchange.random, Math.max(1, seconds), true).join(''),
    duration: duration as number,
    format,
    translates,
  };
  const units = { unit: 'seconds', amount: seconds } as const;
  return { model, usage, units, costPicoUsd, ...(stream ? eventsOf(heard) : bodyOf(heard)) };
}

function heardTokens({ body, worst, exchange }: MediaRequest, duration: number) {
  const prompt = Buffer.byteLength(String(body.prompt ?? ''));
  const audio = Math.ceil(duration * (worst ? 20 : 10));
  const text = worst ? prompt + 200 : Math.ceil(prompt / 4);
  const isCut = body.chunking_strategy !== undefined || String(body.model).includes('diarize');
  const most = isCut ? Math.max(2000, Math.floor(duration * 16)) : 2000;
  const written = worst ? most : Math.min(most, 1 + Math.floor(duration * 4 * exchange.random()));
  return {
    type: 'tokens',
    input_tokens: audio + text,
    input_token_details: { text_tokens: text, audio_tokens: audio },
    output_tokens: written,
    total_tokens: audio + text + written,
  };
}

function bodyOf({
  usage,
  text,
  duration,
  format,
  translates,
}: Heard): Pick<MediaPlan, 'contentType' | 'body'> {
  const json = (value: object) => ({ contentType: 'application/json', body: JSON.stringify(value) });
  const task = translates ? 'translate' : 'transcribe';
  switch (format) {
    case 'verbose_json': {
      const verbose = { task, language: 'english', duration, text, segments: [] };
      return json(translates ? verbose : { ...verbose, usage });
    }
    case 'diarized_json':
      return json({ task, duration, text, segments: [], usage });
    case 'json':
      return json(translates ? { text } : { text, usage });
    case 'srt':
      return {
        contentType: 'text/plain; charset=utf-8',
        body: `1\n00:00:00,000 --> 00:00:01,000\n${text}\n\n`,
      };
    case 'vtt':
      return {
        contentType: 'text/vtt; charset=utf-8',
        body: `WEBVTT\n\n00:00.000 --> 00:01.000\n${text}\n\n`,
      };
    default:
      return { contentType: 'text/plain; charset=utf-8', body: `${text}\n` };
  }
}

function eventsOf({ usage, text }: Heard): Pick<MediaPlan, 'contentType' | 'body'> {
  const events = text
    .match(/.{1,12}/gs)
    ?.map((delta) => mediaEvent({ type: 'transcript.text.delta', delta, logprobs: [] }));
  events?.push(mediaEvent({ type: 'transcript.text.done', text, logprobs: [], usage }));
  return { contentType: 'text/event-stream; charset=utf-8', body: events ?? [] };
}

async function durationOf(bytes: Buffer): Promise<number | ApiError> {
  try {
    const { format } = await parseBuffer(bytes, undefined, { duration: true });
    if (format.duration) return format.duration;
  } catch {
    // As the API says of what it cannot read.
  }
  return invalidRequest('The audio file could not be decoded or its format is not supported.', 'file');
}
