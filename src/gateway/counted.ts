/**
 * What a `compatible` upstream's response costs by our own count, where its usage is missing or cannot be all of it. Owns:
 * when reported usage is believed, and telling the trust in limits what was seen. OpenAI's usage is the bill: none of this
 * runs for it.
 */
import type { MeteredResponse, Usage } from '../domain/usage.ts';
import { countJson } from '../openai/usage/count.ts';
import type { UpstreamResponse } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import type { Reserved } from './stages/reserve.ts';

/** The configured tokeniser may not be the model's own: usage is only doubted where it is far below the count. */
const TOKENISER_SHARE = 2 / 3;

export interface Counted {
  /** Output tokens that were written at least. */
  readonly outputTokens: number;
  /** To charge instead of what was reported; null: what was reported holds, or nothing is known but the hold. */
  readonly usage: Usage | null;
  /** What was reported is not all of it. */
  readonly isShort: boolean;
}

/** Counts a response and compares it with its usage and its limit. */
export function count(
  { profile, trust }: GatewayDeps,
  reserved: Reserved,
  response: UpstreamResponse,
  { usage, usageAtLeast, state }: MeteredResponse,
): Counted {
  const { descriptor, callKind, estimate, outputTokensSent, promptTokens } = reserved;
  const { tokens, deltas, choices } = written(reserved, response, profile.text?.countTokens ?? null);
  const reported = (usage ?? usageAtLeast)?.output_tokens ?? 0;
  const outputTokens = Math.max(tokens, reported);
  if (outputTokens > outputTokensSent) trust?.violated(descriptor.name, callKind.model);
  const isAnswer = response.status === 200 && response.ending === 'complete' && state === 'complete';
  if (!isAnswer || descriptor.outputLimitField === null) return { outputTokens, usage: null, isShort: false };
  if (usage === null) trust?.sawNoUsage(descriptor.name, callKind.model);
  const isOfOne = choices > 1 && !(trust?.countsChoices(descriptor.name, callKind.model) ?? false);
  const isShort = usage !== null && (deltas > reported || tokens * TOKENISER_SHARE > reported || isOfOne);
  if (usage !== null && !isShort) return { outputTokens, usage: null, isShort: false };
  // Without a tokeniser deltas and bytes say how much there is at least, not how much there is.
  if (profile.text?.countTokens == null) return { outputTokens, usage: null, isShort };
  const inputTokens = usage?.input_tokens ?? promptTokens ?? estimate.inputTokens;
  return {
    outputTokens,
    usage: { ...usage, input_tokens: inputTokens, output_tokens: outputTokens },
    isShort,
  };
}

function written(
  { descriptor }: Reserved,
  { stream, readable, status }: UpstreamResponse,
  countTokens: ((text: string) => number) | null,
): { tokens: number; deltas: number; choices: number } {
  const counter = stream?.counter;
  if (counter) return counter;
  if (readable === null || status !== 200 || descriptor.usage?.members.output === null) return NOTHING;
  return { deltas: 0, ...countJson(readable, { countTokens }) };
}

const NOTHING = { tokens: 0, deltas: 0, choices: 0 };
