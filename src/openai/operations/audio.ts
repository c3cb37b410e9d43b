/** Audio: speech, transcriptions and translations. What is refused of audio stands in refused.ts. */
import type { StatedUsage } from '../../domain/operation.ts';
import { quantityOf } from '../../domain/quantities.ts';
import { type Bounds, type Fields, isObject } from '../body.ts';
import { metered, RESPONSE_USAGE } from './descriptor.ts';

/** The API takes files of 25 MB (OpenAI's guide to speech to text); the other fields are short. */
const AUDIO_BODY_BYTES = 26 * 1024 * 1024;

export const AUDIO = [
  metered({
    name: 'audio.speech',
    path: '/audio/speech',
    bound: readSpeech,
    usage: {
      members: RESPONSE_USAGE,
      answer: 'text',
      piece: 'delta',
      skipsArrays: false,
      stream: 'done_event',
      doneEvent: 'speech.audio.done',
      media: { output: 'output_audio_tokens', unreported: null },
    },
    isFile: true,
    fields: ['input', 'instructions', 'model', 'response_format', 'speed', 'stream_format', 'voice'],
    otel: 'audio.speech',
  }),
  metered({
    name: 'audio.transcriptions',
    path: '/audio/transcriptions',
    request: 'form',
    bodyBytesMax: AUDIO_BODY_BYTES,
    bound: readTranscription,
    usage: transcript(),
    otel: 'audio.transcriptions',
  }),
  metered({
    name: 'audio.translations',
    path: '/audio/translations',
    request: 'form',
    bodyBytesMax: AUDIO_BODY_BYTES,
    bound: readTranscription,
    usage: { ...transcript(), stream: 'none' },
    otel: 'audio.translations',
  }),
];

function transcript() {
  return {
    // Of transcripts the name of the details has no plural (OpenAPI specification 2.3.0, TranscriptTextUsageTokens).
    members: { ...RESPONSE_USAGE, inputDetails: 'input_token_details' },
    answer: 'text',
    piece: 'delta',
    skipsArrays: false,
    stream: 'done_event',
    doneEvent: 'transcript.text.done',
    media: { output: null, unreported: 'duration' },
  } as const;
}

const SPEECH_CHARACTERS_MAX = 4096;
/**
 * Speech is 20.8 tokens a second ($0.015 a minute at $12 for a million, OpenAI's pricing page of 2025-03), and spoken text about
 * 14 bytes a second in English and 12 in Chinese: five times as many are held, for slow voices, digits and pauses.
 */
const SPEECH_TOKENS_PER_BYTE = 8;
const SPEECH_TOKENS_LEAST = 256;

/** The fields of `POST /v1/audio/speech` that move cost. */
function readSpeech(fields: Fields): Bounds {
  const { input, voice, speed, stream_format: format } = fields.json;
  const text = typeof input === 'string' ? input : '';
  const characters = [...text].length;
  if (characters === 0 || characters > SPEECH_CHARACTERS_MAX)
    fields.invalid('input', `'input' must be a text of 1 to ${SPEECH_CHARACTERS_MAX} characters.`);
  if (isObject(voice))
    fields.invalid('voice', "'voice' must be the name of a voice: custom voices are not served.");
  const pace = speed ?? 1;
  if (typeof pace !== 'number' || pace < 0.25 || pace > 4)
    fields.invalid('speed', "'speed' must be a number from 0.25 to 4.");
  const name = fields.json.model;
  const isOfEvents = typeof name === 'string' && /^gpt-/.test(name);
  const slowness = typeof pace === 'number' ? Math.max(1, 1 / pace) : 1;
  const tokens = SPEECH_TOKENS_LEAST + Buffer.byteLength(text) * SPEECH_TOKENS_PER_BYTE * slowness;
  return {
    outputTokensLimit: Math.ceil(tokens),
    choices: 1,
    extraOutputTokens: 0,
    media: {
      otherBounds: { characters },
      isBilledEither: true,
      stated: { usage: { characters }, isExact: true },
      // Audio as it is says nothing of its tokens; events do.
      audioType: isOfEvents && (format ?? 'audio') === 'audio' ? typeOf(fields) : null,
    },
  };
}

/** As the API names the types of what it speaks. */
const AUDIO_TYPES: Readonly<Record<string, string>> = {
  mp3: 'audio/mpeg',
  opus: 'audio/ogg',
  aac: 'audio/aac',
  flac: 'audio/flac',
  wav: 'audio/wav',
  pcm: 'audio/pcm',
};

function typeOf(fields: Fields): string | null {
  const format = fields.json.response_format ?? 'mp3';
  return (typeof format === 'string' && AUDIO_TYPES[format]) || null;
}

/**
 * Tokens of a second of audio: 10, as realtime sessions document it; 16.7 by the estimate of a minute on the pricing page ($0.006 of
 * gpt-4o-transcribe at $6 for a million, 2026-04).
 */
const AUDIO_TOKENS_PER_SECOND = 20;
/** What such a model writes at most of one block of audio. */
const TRANSCRIPT_TOKENS = 2000;
/** Audio in several blocks: four times as fast as anyone speaks. */
const TRANSCRIPT_TOKENS_PER_SECOND = 16;
const PROMPT_FRAME_TOKENS = 256;

/** The fields of transcriptions and translations that move cost. */
function readTranscription(fields: Fields): Bounds {
  const { json, files } = fields;
  const audio = files.filter(({ name }) => name === 'file');
  const [file] = audio;
  if (file === undefined || audio.length > 1) fields.invalid('file', "'file' must be one file of audio.");
  const others = files.filter(({ name }) => name !== 'file');
  if (others.length > 0)
    fields.invalid(others[0]?.name ?? 'file', 'The only file of a transcription is its audio.');
  const { seconds = null, secondsMost = 0 } = file?.audio ?? {};
  let bytes = 0;
  for (const value of Object.values(json)) bytes += Buffer.byteLength(JSON.stringify(value ?? ''));
  const isCut = json.chunking_strategy !== undefined || /diarize/.test(String(json.model));
  const ofBlocks = isCut ? Math.ceil(secondsMost * TRANSCRIPT_TOKENS_PER_SECOND) : 0;
  return {
    outputTokensLimit: Math.max(TRANSCRIPT_TOKENS, ofBlocks),
    choices: 1,
    extraOutputTokens: 0,
    media: {
      inputTokens: Math.ceil(secondsMost * AUDIO_TOKENS_PER_SECOND) + bytes + PROMPT_FRAME_TOKENS,
      otherBounds: { audio_seconds: quantityOf('audio_seconds', secondsMost) },
      isBilledEither: true,
      stated: seconds === null ? null : wholeSeconds(seconds),
    },
  };
}

/** Audio is billed by whole seconds where a response tells none: a second that has begun is one. */
function wholeSeconds(seconds: number): StatedUsage {
  return { usage: { audio_seconds: quantityOf('audio_seconds', Math.ceil(seconds)) }, isExact: false };
}
