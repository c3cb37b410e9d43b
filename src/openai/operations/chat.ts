/** Chat completions. */
import {
  type Bounds,
  type Fields,
  isObject,
  MAX_TOKENS,
  readPromptCache,
  readSearchModel,
  readServedModel,
} from '../body.ts';
import { readContent, readTools } from '../prompt.ts';
import {
  COMPLETION_USAGE,
  CONVERSATION_FIELDS,
  free,
  LONG_OUTPUT,
  metered,
  SAMPLING_FIELDS,
  SHARED_FIELDS,
} from './descriptor.ts';

const STORED = '/chat/completions/{completion_id}';

export const CHAT = [
  metered({
    name: 'chat.completions',
    path: '/chat/completions',
    bound: readChat,
    usage: {
      members: COMPLETION_USAGE,
      object: 'chat.completion',
      answer: 'choices',
      piece: 'delta',
      skipsArrays: false,
      stream: 'chunk',
    },
    outputLimitField: 'max_completion_tokens',
    olderLimitField: 'max_tokens',
    takesOtherModels: true,
    hasServiceTier: true,
    fields: [
      ...[
        ...SHARED_FIELDS,
        ...SAMPLING_FIELDS,
        ...CONVERSATION_FIELDS,
        'audio',
        'function_call',
        'functions',
      ],
      ...[
        'max_completion_tokens',
        'messages',
        'modalities',
        'prediction',
        'reasoning_effort',
        'response_format',
      ],
      ...['verbosity', 'web_search_options'],
    ],
    probe: {
      limit: 1,
      body: { max_completion_tokens: 1, messages: [{ role: 'user', content: LONG_OUTPUT }] },
      choicesField: 'n',
    },
    makes: { kind: 'stored_completion', at: 'id' },
    report: 'completions',
    otel: 'chat',
  }),
  free({
    name: 'chat.completions.list',
    method: 'GET',
    path: '/chat/completions',
    lists: { kind: 'stored_completion', pageMax: 100, pageDefault: 20 },
    query: ['after', 'limit', 'metadata', 'model', 'order'],
  }),
  free({ name: 'chat.completions.retrieve', method: 'GET', path: STORED }),
  free({ name: 'chat.completions.update', method: 'POST', path: STORED }),
  free({ name: 'chat.completions.delete', method: 'DELETE', path: STORED, ends: true }),
  free({
    name: 'chat.completions.messages',
    method: 'GET',
    path: `${STORED}/messages`,
    query: ['after', 'limit', 'order'],
  }),
];

/** Any of the output may be spoken. */
const SPOKEN: Pick<Bounds, 'media'> = { media: { otherBounds: { output_audio_tokens: MAX_TOKENS } } };
const STORED_WHOLE = { isStored: true, isCut: false, reasoningContext: null };

/** The fields of `POST /v1/chat/completions` that move cost. */
function readChat(fields: Fields): Bounds {
  const maxCompletionTokens = fields.integer('max_completion_tokens', 1, MAX_TOKENS);
  const maxTokens = fields.integer('max_tokens', 1, MAX_TOKENS);
  const choices = fields.integer('n', 1, 128) ?? 1;
  readServedModel(fields);
  if (fields.json.tools !== undefined) readTools(fields, fields.json.tools);
  readPromptCache(fields);
  const speaks = readModalities(fields);
  readSearchModel(fields, choices);
  readVoice(fields);
  readMessages(fields);
  const isStored = fields.boolean('store');
  return {
    outputTokensLimit:
      maxCompletionTokens === null || maxTokens === null
        ? (maxCompletionTokens ?? maxTokens)
        : Math.max(maxCompletionTokens, maxTokens),
    choices,
    extraOutputTokens: predictionBytes(fields) * choices,
    ...(isStored ? { keeps: STORED_WHOLE } : null),
    ...(speaks ? SPOKEN : null),
  };
}

function readMessages(fields: Fields): void {
  const messages = fields.json.messages;
  if (!Array.isArray(messages) || messages.length === 0) {
    fields.invalid('messages', "'messages' must be an array with at least one message.");
    return;
  }
  for (let index = 0; index < messages.length && !fields.error; index++) {
    const message = messages[index];
    fields.item = index;
    const param = `messages[${index}]`;
    if (!isObject(message)) fields.invalid(param, `'${param}' must be an object.`);
    else if (message.audio !== undefined && message.audio !== null) {
      fields.unbounded(
        `${param}.audio`,
        'a stored audio response is not part of the request',
        "Send its transcript as 'content' instead.",
      );
    } else if (typeof message.content !== 'string') readContent(fields, message.content, `${param}.content`);
  }
}

/** Returns whether the answer may be spoken. */
function readModalities(fields: Fields): boolean {
  const modalities = fields.json.modalities;
  if (modalities === undefined || modalities === null) return false;
  if (!Array.isArray(modalities)) fields.invalid('modalities', "'modalities' must be an array.");
  else if (modalities.some((modality) => modality !== 'text' && modality !== 'audio')) {
    fields.unbounded('modalities', 'only text and audio have known prices');
  } else return modalities.includes('audio');
  return false;
}

function readVoice(fields: Fields): void {
  if (isObject(fields.object('audio')?.voice))
    fields.invalid('audio.voice', "'audio.voice' must be the name of a voice: custom voices are not served.");
}

/**
 * Rejected prediction tokens are billed as output that the output limit may not cover; there are no more of them than
 * the prediction has bytes, in each choice.
 */
function predictionBytes(fields: Fields): number {
  const prediction = fields.object('prediction');
  return prediction === null ? 0 : Buffer.byteLength(JSON.stringify(prediction));
}
