/** Responses. */
import {
  type Bounds,
  type Fields,
  isObject,
  type JsonObject,
  MAX_TOKENS,
  readContent,
  readPromptCache,
  readTextModel,
  readTools,
} from '../body.ts';
import { metered, RESPONSE_USAGE } from './descriptor.ts';

export const RESPONSES = [
  metered({
    name: 'responses',
    path: '/responses',
    bound: readResponses,
    usage: { members: RESPONSE_USAGE, answer: 'output', skipsArrays: false, stream: 'terminal_event' },
    outputLimitField: 'max_output_tokens',
    hasServiceTier: true,
    object: { kind: 'response', makes: true },
    report: 'completions',
    otel: 'chat',
  }),
];

/** The least `max_output_tokens` that the API accepts (its published schema). */
const MIN_OUTPUT_TOKENS = 16;

const STORED = 'what is stored upstream is not part of the request';

/** The fields of `POST /v1/responses` that move cost. */
function readResponses(fields: Fields): Bounds {
  const outputTokensLimit = fields.integer('max_output_tokens', MIN_OUTPUT_TOKENS, MAX_TOKENS);
  if (fields.boolean('background')) {
    fields.unbounded('background', 'a background response may end without reporting its usage');
  }
  fields.unboundedIfSet('previous_response_id', STORED);
  fields.unboundedIfSet('conversation', STORED);
  fields.unboundedIfSet('prompt', STORED);
  fields.unboundedIfSet(
    'context_management',
    'a compaction adds tokens that the output limit does not cover',
  );
  readTextModel(fields);
  readTools(fields);
  readPromptCache(fields);
  readReasoning(fields);
  const instructions = fields.json.instructions;
  if (instructions !== undefined && instructions !== null && typeof instructions !== 'string') {
    fields.invalid('instructions', "'instructions' must be a string.");
  }
  readInput(fields);
  return { outputTokensLimit, choices: 1, extraOutputTokens: 0 };
}

/** No source says how often a mode other than the standard one reads the input or writes an answer. */
function readReasoning(fields: Fields): void {
  const mode = fields.object('reasoning')?.mode;
  if (mode === undefined || mode === null || mode === 'standard') return;
  fields.unbounded('reasoning.mode', 'only the standard mode is known to answer once');
}

function readInput(fields: Fields): void {
  const input = fields.json.input;
  if (typeof input === 'string') return;
  if (!Array.isArray(input) || input.length === 0) {
    fields.invalid('input', "'input' must be a string or an array with at least one item.");
    return;
  }
  for (let index = 0; index < input.length && !fields.error; index++) {
    const item = input[index];
    if (isObject(item)) readItem(fields, item, `input[${index}]`);
    else fields.invalid(`input[${index}]`, `'input[${index}]' must be an object.`);
  }
}

function readItem(fields: Fields, item: JsonObject, param: string): void {
  // An item without a type is a message if it has a role, otherwise a reference to a stored item.
  const type = item.type ?? (typeof item.role === 'string' ? 'message' : 'item_reference');
  switch (type) {
    case 'message':
      readContent(fields, item.content, `${param}.content`);
      break;
    case 'function_call':
    case 'custom_tool_call':
      break;
    case 'function_call_output':
    case 'custom_tool_call_output':
      readContent(fields, item.output, `${param}.output`);
      break;
    case 'reasoning':
      readReasoningItem(fields, item, param);
      break;
    default:
      fields.unbounded(
        param,
        `input items of type ${JSON.stringify(type)} may cost more tokens than they have bytes`,
      );
  }
}

/**
 * Earlier reasoning: without its encrypted content the upstream reads the stored one. The encrypted content is a
 * text of unknown encoding, perhaps compressed, so only the model's maximum input bounds its tokens.
 */
function readReasoningItem(fields: Fields, item: JsonObject, param: string): void {
  if (typeof item.encrypted_content === 'string') fields.inputBoundParam ??= `${param}.encrypted_content`;
  else fields.unbounded(param, `${STORED}; send reasoning with its 'encrypted_content'`);
}
