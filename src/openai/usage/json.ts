/** Usage in a response's JSON: read where the operation's descriptor says that it stands. */
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
  const usage = {
    inputTokens: inputTokens ?? null,
    cachedInputTokens: input.cached_tokens ?? 0,
    cacheWriteTokens: input.cache_write_tokens ?? 0,
    outputTokens: outputTokens ?? null,
    reasoningTokens: output.reasoning_tokens ?? 0,
  };
  if (!isCounts(usage)) return null;
  if (usage.cachedInputTokens + usage.cacheWriteTokens > usage.inputTokens) return null;
  return usage.reasoningTokens > usage.outputTokens ? null : usage;
}

function isCounts(usage: Record<keyof Usage, Json>): usage is Record<keyof Usage, number> & Usage {
  return Object.values(usage).every((count) => Number.isSafeInteger(count) && (count as number) >= 0);
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
