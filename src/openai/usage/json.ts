/** Usage in a response's JSON: read where the operation's descriptor says that it stands. */
import { areQuantities } from '../../domain/quantities.ts';
import type { MeteredResponse, Usage } from '../../domain/usage.ts';
import type { UsageMembers, UsagePlace } from '../operations/descriptor.ts';
import { isObject, type Json, type JsonObject, parseJson } from '../wire/json.ts';

/** Returns usage, tier and model of a complete response (decoded, not a stream). Anything malformed is null. */
export function meterJson({ members, skipsArrays }: UsagePlace, body: Buffer): MeteredResponse {
  const response = (skipsArrays ? parseWithoutVectors(body) : undefined) ?? parseJson(body.toString());
  return meterObject(members, isObject(response) ? response : {});
}

/** The same of a response's object, which a Responses stream carries inside its last event. */
export function meterObject(members: UsageMembers, response: JsonObject): MeteredResponse {
  return {
    usage: readUsage(members, response.usage),
    serviceTier: typeof response.service_tier === 'string' ? response.service_tier : null,
    model: typeof response.model === 'string' ? response.model : null,
  };
}

/**
 * Returns usage in the shapes of the published schema (`CompletionUsage`, `ResponseUsage`, an embedding's usage). Null if
 * a count is missing, no non-negative safe integer, or a part is larger than its whole.
 */
export function readUsage(members: UsageMembers, reported: Json | undefined): Usage | null {
  if (!isObject(reported)) return null;
  const inputTokens = reported[members.input];
  const outputTokens = members.output === null ? 0 : reported[members.output];
  const inputDetails = reported[members.inputDetails];
  const outputDetails = reported[members.outputDetails];

  const input = isObject(inputDetails) ? inputDetails : {};
  const output = isObject(outputDetails) ? outputDetails : {};
  // Written out: one shape, whatever stood in the response.
  const usage = {
    input_tokens: inputTokens ?? null,
    cached_input_tokens: input.cached_tokens ?? 0,
    cache_write_tokens: input.cache_write_tokens ?? 0,
    output_tokens: outputTokens ?? null,
    reasoning_tokens: output.reasoning_tokens ?? 0,
  };
  return areQuantities(usage) ? usage : null;
}

/**
 * Reads a response of megabytes of numbers around a few fields: what stands between the first and the last bracket is
 * left out. Returns undefined if that is no JSON with usage: then the whole response is read.
 */
function parseWithoutVectors(body: Buffer): Json | undefined {
  const open = body.indexOf('[');
  const close = body.lastIndexOf(']');
  if (open === -1 || close < open) return undefined;
  const answer = parseJson(`${body.toString('utf8', 0, open)}[]${body.toString('utf8', close + 1)}`);
  return isObject(answer) && isObject(answer.usage) ? answer : undefined;
}
