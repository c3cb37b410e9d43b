/** The output of a call before it is rendered. */
import type { ModelCall } from './call.ts';
import type { Directives } from './directives.ts';
import type { Candidate, Plan } from './plan.ts';
import type { Profile } from './profile.ts';
import { type Random, randomHex } from './random.ts';
import { words } from './words.ts';

/** One returned choice with its text, in the pieces of a stream. */
export interface Choice {
  index: number;
  pieces: string[];
  candidate: Candidate;
}

export interface Output {
  call: ModelCall;
  plan: Plan;
  choices: Choice[];
  /** Unique part of the ids. */
  id: string;
  /** Seconds since the epoch. */
  created: number;
  /** False: the fault `no_usage` leaves it out. */
  withUsage: boolean;
}

export function composeOutput(
  call: ModelCall,
  plan: Plan,
  random: Random,
  profile: Profile,
  directives: Directives,
  withUsage: boolean,
): Output {
  const choices = plan.returned.map((candidate, index): Choice => {
    const visibleTokens = candidate.tokens - candidate.reasoningTokens;
    const count = directives.chunks ?? Math.min(visibleTokens, profile.maxChunks);
    return { index, pieces: words(random, count, profile.plainText), candidate };
  });
  return {
    call,
    plan,
    choices,
    id: randomHex(random, 24),
    created: Math.floor(Date.now() / 1000),
    withUsage,
  };
}

/** One server-sent event without a name, as chat and completions streams send them. */
export function dataEvent(json: string): string {
  return `data: ${json}\n\n`;
}

export const DONE_EVENT = 'data: [DONE]\n\n';

/** `usage` in the words of chat, completions and embeddings. */
export function completionUsage({ call, plan }: Output): object {
  const { usage } = plan;
  const counts = {
    prompt_tokens: usage.input_tokens,
    completion_tokens: usage.output_tokens,
    total_tokens: usage.input_tokens + usage.output_tokens,
  };
  if (call.operation !== 'chat.completions') return counts;
  const pricesCacheWrites = call.model.tiers.default?.standard.cacheWrite != null;
  return {
    ...counts,
    prompt_tokens_details: {
      cached_tokens: usage.cached_input_tokens,
      ...(pricesCacheWrites ? { cache_write_tokens: usage.cache_write_tokens } : {}),
      audio_tokens: 0,
    },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoning_tokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: plan.rejectedPredictionTokens,
    },
  };
}
