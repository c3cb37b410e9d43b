/** Operations whose input is a list of prompts: legacy completions and embeddings. */
import { type Bounds, type Fields, type Json, MAX_TOKENS } from '../body.ts';
import { COMPLETION_USAGE, LONG_OUTPUT, metered, SAMPLING_FIELDS, SHARED_FIELDS } from './descriptor.ts';

/** What the API writes when a completion names no limit (its published schema). Other servers write without end. */
const DEFAULT_COMPLETION_TOKENS = 16;

export const PROMPTS = [
  metered({
    name: 'completions',
    path: '/completions',
    bound: readCompletions,
    usage: {
      members: COMPLETION_USAGE,
      object: 'text_completion',
      answer: 'choices',
      piece: 'text',
      skipsArrays: false,
      stream: 'chunk',
    },
    outputLimitField: 'max_tokens',
    defaultOutputTokens: DEFAULT_COMPLETION_TOKENS,
    fields: [...SHARED_FIELDS, ...SAMPLING_FIELDS, 'best_of', 'echo', 'prompt', 'suffix'],
    probe: { limit: 1, body: { max_tokens: 1, prompt: LONG_OUTPUT }, choicesField: 'n' },
    report: 'completions',
    otel: 'text_completion',
  }),
  metered({
    name: 'embeddings',
    path: '/embeddings',
    bound: readEmbeddings,
    // OpenAPI specification 2.3.0, POST /embeddings: inputs that sum to more are refused.
    inputAtMostModelMaximum: true,
    fields: ['model', 'user', 'dimensions', 'encoding_format', 'input'],
    usage: {
      members: { ...COMPLETION_USAGE, output: null },
      object: 'list',
      answer: 'data',
      piece: 'text',
      skipsArrays: true,
      stream: 'none',
    },
    report: 'embeddings',
    otel: 'embeddings',
  }),
];

/** The fields of `POST /v1/completions` that move cost. */
function readCompletions(fields: Fields): Bounds {
  const outputTokensLimit = fields.integer('max_tokens', 0, MAX_TOKENS) ?? DEFAULT_COMPLETION_TOKENS;
  const answers = fields.integer('n', 1, 128) ?? 1;
  // Of 0 (the least that the specification allows) one is written all the same.
  const given = fields.integer('best_of', 0, 20);
  const bestOf = given === 0 ? 1 : given;
  if (bestOf !== null && bestOf < answers) {
    fields.invalid(
      'best_of',
      "'best_of' must be at least 'n': it is how many completions are written to choose from.",
    );
  }
  const choices = countPrompts(fields, 'prompt') * (bestOf ?? answers);
  // No source says whether an echoed prompt counts as output, so it is held as if it did.
  const extraOutputTokens = fields.boolean('echo')
    ? Buffer.byteLength(JSON.stringify(fields.json.prompt ?? ''))
    : 0;
  return {
    outputTokensLimit,
    choices,
    extraOutputTokens: extraOutputTokens * (bestOf ?? answers),
  };
}

/** The fields of `POST /v1/embeddings` that move cost: the input alone. */
function readEmbeddings(fields: Fields): Bounds {
  countPrompts(fields, 'input');
  return { outputTokensLimit: 0, choices: 1, extraOutputTokens: 0 };
}

/** How many prompts a field holds: one for a string or a list of tokens, else as many as the list has. */
function countPrompts(fields: Fields, name: string): number {
  const value = fields.json[name];
  if (typeof value === 'string') return 1;
  if (Array.isArray(value) && value.length > 0) {
    if (value.every(isToken)) return 1;
    if (value.every((item) => typeof item === 'string')) return value.length;
    if (value.every((item) => Array.isArray(item) && item.length > 0 && item.every(isToken)))
      return value.length;
  }
  const message = `'${name}' must be a string, an array of strings, an array of tokens or an array of token arrays`;
  fields.invalid(name, `${message}, none of the arrays empty.`);
  return 1;
}

function isToken(value: Json): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}
