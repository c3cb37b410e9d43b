import type { OperationName } from '../domain/operation.ts';
import { areQuantities } from '../domain/quantities.ts';
import type { MeteredResponse, Usage } from '../domain/usage.ts';
import { isObject, type Json, type JsonObject, parseJson } from './json.ts';

/** Reads usage, tier and model from a complete answer (decoded, not a stream). Anything malformed is null. */
export function meterJson(name: OperationName, body: Buffer): MeteredResponse {
  const answer =
    (name === 'embeddings' ? parseWithoutVectors(body) : undefined) ?? parseJson(body.toString());
  return meterObject(name, isObject(answer) ? answer : {});
}

/** The same for an answer's object, which a Responses stream carries inside its last event. */
export function meterObject(name: OperationName, answer: JsonObject): MeteredResponse {
  return {
    usage: readUsage(name, answer.usage),
    serviceTier: typeof answer.service_tier === 'string' ? answer.service_tier : null,
    model: typeof answer.model === 'string' ? answer.model : null,
  };
}

/**
 * Usage in the shapes of the published schema (`CompletionUsage`, `ResponseUsage`, an embedding's usage). Null if a
 * count is missing, no non-negative safe integer, or a part is larger than its whole.
 */
export function readUsage(name: OperationName, reported: Json | undefined): Usage | null {
  if (!isObject(reported)) return null;
  const isResponse = name === 'responses';
  const inputTokens = isResponse ? reported.input_tokens : reported.prompt_tokens;
  const outputTokens = isResponse ? reported.output_tokens : reported.completion_tokens;
  const inputDetails = isResponse ? reported.input_tokens_details : reported.prompt_tokens_details;
  const outputDetails = isResponse ? reported.output_tokens_details : reported.completion_tokens_details;

  const input = isObject(inputDetails) ? inputDetails : {};
  const output = isObject(outputDetails) ? outputDetails : {};
  // Written out: one shape, whatever stood in the response.
  const usage = {
    input_tokens: inputTokens ?? null,
    cached_input_tokens: input.cached_tokens ?? 0,
    cache_write_tokens: input.cache_write_tokens ?? 0,
    output_tokens: outputTokens ?? (name === 'embeddings' ? 0 : null),
    reasoning_tokens: output.reasoning_tokens ?? 0,
  };
  return areQuantities(usage) ? usage : null;
}

/**
 * Embeddings are megabytes of numbers around a few fields, so what stands between the first and the last bracket is
 * left out. Undefined if that is no JSON with usage: then the whole answer is read.
 */
function parseWithoutVectors(body: Buffer): Json | undefined {
  const open = body.indexOf('[');
  const close = body.lastIndexOf(']');
  if (open === -1 || close < open) return undefined;
  const answer = parseJson(`${body.toString('utf8', 0, open)}[]${body.toString('utf8', close + 1)}`);
  return isObject(answer) && isObject(answer.usage) ? answer : undefined;
}
