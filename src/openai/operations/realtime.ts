/**
 * Realtime sessions: a response of one, a transcription of what was said in it, and a block of audio of one that translates. They are calls
 * that the gateway makes of what passes on a WebSocket (gateway/lines): their bodies are its own, and no request reaches them.
 */
import { quantityOf } from '../../domain/quantities.ts';
import type { Bounds, Fields } from '../body.ts';
import { metered, type UsagePlace } from './descriptor.ts';

/** `response.usage` of `response.done`, and the usage of a transcription (OpenAPI specification 2.3.0). */
const USAGE: UsagePlace = {
  members: {
    input: 'input_tokens',
    output: 'output_tokens',
    inputDetails: 'input_token_details',
    outputDetails: 'output_token_details',
  },
  answer: 'text',
  piece: 'delta',
  skipsArrays: false,
  stream: 'done_event',
  doneEvent: 'done',
  media: { output: null, unreported: null },
};

export const REALTIME = [
  metered({
    name: 'realtime.responses',
    method: 'WEBSOCKET',
    isLive: true,
    path: '/realtime',
    socket: 'realtime',
    bound: readResponse,
    inputAtMostModelMaximum: true,
    usage: USAGE,
    outputLimitField: 'max_output_tokens',
    fields: [
      ...['model', 'max_output_tokens', 'input_tokens', 'audio_tokens', 'image_tokens', 'speaks'],
      'metadata',
    ],
    otel: 'chat',
  }),
  metered({
    name: 'realtime.transcriptions',
    method: 'WEBSOCKET',
    isLive: true,
    path: '/realtime/transcriptions',
    bound: readTranscription,
    usage: USAGE,
    fields: ['model', 'seconds', 'prompt_bytes'],
    otel: 'audio.transcriptions',
  }),
  metered({
    name: 'realtime.translations',
    method: 'WEBSOCKET',
    isLive: true,
    path: '/realtime/translations',
    socket: 'translation',
    bound: readTranslation,
    usage: { ...USAGE, isMeasured: true },
    fields: ['model', 'seconds'],
    otel: 'audio.translations',
  }),
];

/** The most that a model may write: more than any does. */
const OUTPUT_TOKENS_MOST = 1_000_000;

function readResponse(fields: Fields): Bounds {
  const { json } = fields;
  const { input_tokens: input, audio_tokens: audio, image_tokens: image, speaks } = json;
  return {
    outputTokensLimit: fields.integer('max_output_tokens', 1, OUTPUT_TOKENS_MOST),
    choices: 1,
    extraOutputTokens: 0,
    media: {
      inputTokens: Number(input),
      otherBounds: {
        ...(Number(audio) > 0 ? { input_audio_tokens: Number(audio) } : null),
        ...(Number(image) > 0 ? { input_image_tokens: Number(image) } : null),
        ...(speaks === true ? { output_audio_tokens: OUTPUT_TOKENS_MOST } : null),
      },
    },
  };
}

/** Whole minutes of audio, at most. */
function readTranslation({ json }: Fields): Bounds {
  const otherBounds = { audio_seconds: quantityOf('audio_seconds', Number(json.seconds)) };
  return { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0, media: { inputTokens: 0, otherBounds } };
}

/** As for audio that is sent as a file: see audio.ts. */
const AUDIO_TOKENS_PER_SECOND = 20;
const TRANSCRIPT_TOKENS = 2000;
const TRANSCRIPT_TOKENS_PER_SECOND = 16;
const PROMPT_FRAME_TOKENS = 256;

function readTranscription({ json }: Fields): Bounds {
  const seconds = Number(json.seconds);
  const ofBlocks = String(json.model).includes('diarize') ? seconds * TRANSCRIPT_TOKENS_PER_SECOND : 0;
  return {
    outputTokensLimit: Math.max(TRANSCRIPT_TOKENS, Math.ceil(ofBlocks)),
    choices: 1,
    extraOutputTokens: 0,
    media: {
      inputTokens:
        Math.ceil(seconds * AUDIO_TOKENS_PER_SECOND) + Number(json.prompt_bytes) + PROMPT_FRAME_TOKENS,
      // A second that has begun is billed.
      otherBounds: { audio_seconds: quantityOf('audio_seconds', Math.ceil(seconds)) },
      isBilledEither: true,
    },
  };
}
