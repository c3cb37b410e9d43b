/** Responses. */
import {
  type Bounds,
  type Fields,
  isObject,
  type Json,
  MAX_TOKENS,
  readPromptCache,
  readSearchModel,
  readTextModel,
} from '../body.ts';
import { readTemplateTools } from '../hosted-tools.ts';
import { readInput, readPromptVariables, readReference, readTools } from '../prompt.ts';
import {
  CONVERSATION_FIELDS,
  free,
  LONG_OUTPUT,
  metered,
  RESPONSE_USAGE,
  SHARED_FIELDS,
} from './descriptor.ts';

/** The least `max_output_tokens` that the API accepts (its published schema). */
const MIN_OUTPUT_TOKENS = 16;

const RESPONSE = '/responses/{response_id}';

const USAGE = {
  members: RESPONSE_USAGE,
  object: 'response',
  answer: 'output',
  piece: 'delta',
  skipsArrays: false,
  stream: 'terminal_event',
} as const;

const FIELDS = [
  ...[
    ...SHARED_FIELDS,
    ...CONVERSATION_FIELDS,
    'background',
    'context_management',
    'conversation',
    'include',
  ],
  ...['input', 'instructions', 'max_output_tokens', 'max_tool_calls', 'previous_response_id', 'prompt'],
  ...['reasoning', 'text', 'truncation'],
];

export const RESPONSES = [
  metered({
    name: 'responses',
    path: '/responses',
    bound: (fields) => readResponses(fields),
    usage: USAGE,
    outputLimitField: 'max_output_tokens',
    takesOtherModels: true,
    hasServiceTier: true,
    countPath: '/responses/input_tokens',
    fields: FIELDS,
    probe: {
      limit: MIN_OUTPUT_TOKENS,
      body: { max_output_tokens: MIN_OUTPUT_TOKENS, input: LONG_OUTPUT },
      choicesField: null,
    },
    makes: { kind: 'response', at: 'id' },
    report: 'completions',
    otel: 'chat',
  }),
  metered({
    name: 'responses.connect',
    method: 'WEBSOCKET',
    path: '/responses',
    socket: 'responses',
    bound: readResponseCreate,
    usage: USAGE,
    outputLimitField: 'max_output_tokens',
    hasServiceTier: true,
    fields: [...FIELDS, 'type', 'stream_id', 'generate', 'client_metadata'],
    makes: { kind: 'response', at: 'id' },
    report: 'completions',
    otel: 'chat',
  }),
  free({
    name: 'responses.retrieve',
    method: 'GET',
    path: RESPONSE,
    query: ['include', 'include_obfuscation', 'starting_after', 'stream'],
    replays: USAGE,
  }),
  free({ name: 'responses.delete', method: 'DELETE', path: RESPONSE, ends: true }),
  free({ name: 'responses.cancel', method: 'POST', path: `${RESPONSE}/cancel`, movesJob: 'response' }),
  free({
    name: 'responses.input_items',
    method: 'GET',
    path: `${RESPONSE}/input_items`,
    query: ['after', 'include', 'limit', 'order'],
  }),
  free({ name: 'responses.input_tokens', method: 'POST', path: '/responses/input_tokens' }),
  metered({
    name: 'responses.compact',
    path: '/responses/compact',
    bound: readCompaction,
    usage: {
      members: RESPONSE_USAGE,
      object: 'response.compaction',
      answer: 'output',
      piece: 'delta',
      skipsArrays: false,
      stream: 'none',
    },
    hasServiceTier: true,
    fields: [
      ...['model', 'input', 'instructions', 'previous_response_id', 'prompt_cache_key'],
      ...['prompt_cache_options', 'prompt_cache_retention', 'service_tier'],
    ],
    makes: { kind: 'response', at: 'id' },
    report: 'completions',
    otel: 'compaction',
  }),
];

/**
 * The fields of `POST /v1/responses` that move cost.
 * @param mayBeEmpty the request may have no input, because it asks for no response to it
 */
function readResponses(fields: Fields, mayBeEmpty = false): Bounds {
  const outputTokensLimit = fields.integer('max_output_tokens', MIN_OUTPUT_TOKENS, MAX_TOKENS);
  const isBackground = fields.boolean('background');
  readKept(fields);
  const prompt = fields.object('prompt');
  if (prompt !== null) {
    fields.boundByWindow('prompt');
    readPromptVariables(fields, prompt);
  }
  readContextManagement(fields);
  readTextModel(fields);
  readSearchModel(fields, 1);
  const searchesItself = fields.hosted !== null;
  if (fields.json.tools !== undefined) readTools(fields, fields.json.tools);
  if (prompt !== null) readTemplateTools(fields);
  readPromptCache(fields);
  readReasoning(fields);
  readInstructions(fields);
  if (!mayBeEmpty || !isEmpty(fields.json.input)) readInput(fields);
  if (searchesItself && fields.hosted?.always === false) {
    const why = 'this model makes a search of its own beside the tools that the upstream runs';
    fields.unbounded(fields.hosted.param, why, "Send such tools with a model whose name has no '-search'.");
  }
  if (isBackground) readBackground(fields);
  return { outputTokensLimit, choices: 1, extraOutputTokens: 0, keeps: readKeeps(fields), isBackground };
}

/** The message `response.create` of a WebSocket: the fields of `POST /v1/responses`, without those that make no sense there. */
function readResponseCreate(fields: Fields): Bounds {
  if (fields.json.type !== 'response.create')
    fields.invalid('type', "Tollgate sends on messages of the type 'response.create' alone.");
  if (fields.boolean('background'))
    fields.invalid('background', 'A response on a WebSocket cannot be one of the background: use POST.');
  // Codex opens its sessions so: the upstream gets ready, and writes nothing.
  return readResponses(fields, fields.json.generate === false);
}

/** The gateway asks how it stands, whether its client reads its stream to the end or not. */
function readBackground(fields: Fields): void {
  const { store, conversation } = fields.json;
  if (store === false)
    fields.invalid(
      'store',
      "A background response is stored, or it could not be retrieved: leave 'store' out.",
    );
  if (isSet(conversation))
    fields.unbounded('conversation', 'when a background response adds to a conversation is not known');
}

/** The fields of `POST /v1/responses/compact` that move cost. It has no output limit: the model's longest output is held. */
function readCompaction(fields: Fields): Bounds {
  if (fields.boolean('stream')) fields.invalid('stream', 'A compaction cannot be streamed.');
  if (fields.json.tools !== undefined)
    fields.invalid('tools', "A compaction has no 'tools': leave them out.");
  const { previous_response_id: previous } = fields.json;
  if (isSet(previous)) readReference(fields, 'response', previous, 'previous_response_id');
  readTextModel(fields);
  readPromptCache(fields);
  readInstructions(fields);
  // Whether there is anything to compact is the upstream's to say.
  if (isSet(fields.json.input)) readInput(fields);
  fields.beyondText.compactions = 1;
  const keeps = { isStored: true, isCut: true, reasoningContext: null };
  return { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0, keeps };
}

function readInstructions(fields: Fields): void {
  const { instructions } = fields.json;
  if (isSet(instructions) && typeof instructions !== 'string') {
    fields.invalid('instructions', "'instructions' must be a string.");
  }
}

/** What of the input the upstream has already. */
function readKept(fields: Fields): void {
  const { previous_response_id: previous, conversation } = fields.json;
  if (isSet(previous)) readReference(fields, 'response', previous, 'previous_response_id');
  if (!isSet(conversation)) return;
  const id = isObject(conversation) ? conversation.id : conversation;
  const param = isObject(conversation) ? 'conversation.id' : 'conversation';
  if (isSet(previous)) {
    fields.invalid('conversation', "'conversation' and 'previous_response_id' exclude each other.");
  } else readReference(fields, 'conversation', id, param);
}

/** What the upstream keeps of this call: its response, unless the client says otherwise. */
function readKeeps(fields: Fields): NonNullable<Bounds['keeps']> {
  const { store, truncation, context_management: management, reasoning } = fields.json;
  const context = isObject(reasoning) ? reasoning.context : null;
  return {
    isStored: store !== false,
    isCut: (isSet(truncation) && truncation !== 'disabled') || isSet(management),
    reasoningContext: context === 'all_turns' || context === 'current_turn' ? context : null,
  };
}

function isEmpty(value: Json | undefined): boolean {
  return Array.isArray(value) && value.length === 0;
}

function isSet(value: Json | undefined): boolean {
  return value !== undefined && value !== null;
}

/** Where the context grows beyond a threshold, the upstream compacts it: it reads it once more, and writes a summary. */
function readContextManagement(fields: Fields): void {
  const management = fields.json.context_management;
  if (!isSet(management)) return;
  if (!Array.isArray(management)) {
    fields.invalid('context_management', "'context_management' must be an array.");
    return;
  }
  for (const entry of management) {
    if (isObject(entry) && entry.type === 'compaction') continue;
    fields.unbounded('context_management', "what entries other than {type: 'compaction'} do is not known");
    return;
  }
  if (management.length === 0) return;
  fields.boundByWindow('context_management');
  fields.beyondText.compactions = 1;
}

/**
 * `pro` works for longer on one answer, which the output limit bounds with its reasoning (published schema); how often it
 * reads the input is not published, so the window bounds that. What other modes do is not known.
 */
function readReasoning(fields: Fields): void {
  const mode = fields.object('reasoning')?.mode;
  if (mode === undefined || mode === null || mode === 'standard') return;
  if (mode === 'pro') fields.boundByWindow('reasoning.mode');
  else
    fields.unbounded('reasoning.mode', "only the modes 'standard' and 'pro' are known", 'Name one of them.');
}
