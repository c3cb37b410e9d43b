/** Readers of the operations on plain texts: legacy completions, embeddings, moderations. */
import { checkSampling, type ModelCall, outputMost, readModel, readStream } from './call.ts';
import { type ApiError, invalidRequest, isApiError } from './errors.ts';
import { FieldReader, type JsonObject, missing, wrongType } from './fields.ts';
import { emptyInput, type InputSize, measure } from './input.ts';
import type { Profile } from './profile.ts';

/** Published limits of an embeddings request. */
const MAX_EMBEDDING_INPUTS = 2048;
/** The API's documented default of `/v1/completions`. */
const DEFAULT_COMPLETION_TOKENS = 16;

/** What the three have in common: neither tiers, nor predictions, nor chat framing. */
const PLAIN = {
  stream: false,
  includeUsage: false,
  prompts: 1,
  choices: 1,
  candidates: 0,
  outputTokensMost: 0,
  predictionBytes: 0,
  hosted: null,
  speaks: false,
  tier: 'default',
  keepsCache12h: false,
  items: null,
  reasoningContext: null,
  asked: null,
} as const;

export function readCompletionCall(body: JsonObject, { tokeniser }: Profile): ModelCall | ApiError {
  const reader = new FieldReader(body);
  const found = readModel(reader, ['completion']);
  if (isApiError(found)) return found;
  checkSampling(reader);
  const input = emptyInput(tokeniser);
  const prompts = readTexts(reader, 'prompt', input) ?? 1;
  // A missing prompt is the token <|endoftext|>.
  if (!reader.has('prompt')) input.tokens = 1;
  measure(input, reader.string('suffix'));
  const choices = reader.integer('n', 1, 128) ?? 1;
  const candidates = reader.integer('best_of', 1, 20) ?? choices;
  if (candidates < choices) {
    const message = `You requested that the server return more choices than it will generate (HINT: you must set 'best_of' (${candidates}) to be at least 'n' (${choices})).`;
    reader.fail(invalidRequest(message, 'best_of'));
  }
  const { stream, includeUsage } = readStream(reader);
  if (stream && candidates > choices) {
    reader.fail(invalidRequest('Cannot stream results when best_of is greater than n.', 'best_of'));
  }
  const limit = reader.integer('max_tokens', 0) ?? DEFAULT_COMPLETION_TOKENS;
  return (
    reader.error ?? {
      ...PLAIN,
      operation: 'completions',
      body,
      ...found,
      stream,
      includeUsage,
      input,
      prompts,
      choices,
      candidates,
      outputTokensMost: outputMost(found.model, limit),
    }
  );
}

export function readEmbeddingCall(body: JsonObject, { tokeniser }: Profile): ModelCall | ApiError {
  const reader = new FieldReader(body);
  const found = readModel(reader, ['embedding']);
  if (isApiError(found)) return found;
  const input = emptyInput(tokeniser);
  const prompts = readTexts(reader, 'input', input);
  if (prompts === null) return reader.error ?? missing('input');
  if (prompts > MAX_EMBEDDING_INPUTS) {
    const message = `Invalid 'input': array too long. Expected an array with maximum length ${MAX_EMBEDDING_INPUTS}.`;
    reader.fail(invalidRequest(message, 'input', 'array_above_max_length'));
  }
  reader.choice('encoding_format', ['float', 'base64']);
  reader.integer('dimensions', 1, found.model.name.endsWith('-large') ? 3072 : 1536);
  if (reader.has('dimensions') && found.model.name.endsWith('-ada-002')) {
    reader.fail(invalidRequest('This model does not support specifying dimensions.', 'dimensions'));
  }
  return reader.error ?? { ...PLAIN, operation: 'embeddings', body, ...found, input, prompts };
}

export function readModerationCall(body: JsonObject, { tokeniser }: Profile): ModelCall | ApiError {
  const reader = new FieldReader({ model: 'omni-moderation-latest', ...body });
  const found = readModel(reader, ['moderation']);
  if (isApiError(found)) return found;
  const { input } = body;
  if (input === undefined || input === null) return missing('input');
  if (typeof input !== 'string' && !Array.isArray(input))
    return wrongType('input', 'a string or an array', input);
  // An array of content parts is one multimodal input; an array of strings is one input each.
  const prompts = Array.isArray(input) && input.every((one) => typeof one === 'string') ? input.length : 1;
  return { ...PLAIN, operation: 'moderations', body, ...found, input: emptyInput(tokeniser), prompts };
}

/**
 * Measures a text, a list of texts, a token array or a list of token arrays; returns how many there are.
 * Null when the field is absent or wrong (then the reader holds the error).
 */
function readTexts(reader: FieldReader, name: string, size: InputSize): number | null {
  const value = reader.body[name];
  if (value === undefined || value === null) return null;
  const list = Array.isArray(value) && !value.every((one) => Number.isInteger(one)) ? value : [value];
  for (const text of list) {
    const isTokens = Array.isArray(text) && text.every((one) => Number.isInteger(one) && one >= 0);
    if (typeof text === 'string') measure(size, text);
    else if (isTokens) size.tokens += text.length;
    else {
      reader.fail(
        wrongType(name, 'a string, array of strings, array of tokens, or array of token arrays', text),
      );
      return null;
    }
    if (text.length === 0) {
      reader.fail(invalidRequest(`Invalid '${name}': input cannot be an empty string or array.`, name));
      return null;
    }
  }
  return list.length;
}
