/** The output of a call before it is rendered. */
import type { ModelCall } from './call.ts';
import type { Directives } from './directives.ts';
import type { Candidate, Plan } from './plan.ts';
import type { Profile, UsageReports } from './profile.ts';
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
  usageReports: UsageReports;
  /** Its reasoning as clients are given it to send back; null: they did not ask. */
  sealed: string | null;
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
    const chunkTokens = directives.chunkTokens ?? profile.chunkTokens;
    if (chunkTokens > 0) {
      const pieces = chunked(words(random, visibleTokens, true), chunkTokens);
      return { index, pieces, candidate };
    }
    const count = directives.chunks ?? Math.min(visibleTokens, profile.maxChunks);
    const pieces = words(random, count, profile.plainText);
    // An event with text is a token or more: what was ordered beyond that has none.
    return { index, pieces: pieces.fill('', visibleTokens), candidate };
  });
  const usageReports = directives.usageReports ?? profile.usageReports;
  return {
    call,
    plan,
    choices,
    id: randomHex(random, 24),
    created: Math.floor(Date.now() / 1000),
    withUsage,
    usageReports,
    sealed: asksForReasoning(call) ? sealedText(random, plan.usage.reasoning_tokens) : null,
  };
}

function asksForReasoning({ body: { include } }: ModelCall): boolean {
  return Array.isArray(include) && include.includes('reasoning.encrypted_content');
}

/** A token of reasoning takes about five bytes when it is encrypted, and a little is always there. */
function sealedText(random: Random, reasoningTokens: number): string {
  return `gAAAA${randomHex(random, 64)}${'Qm9n'.repeat(Math.ceil((reasoningTokens * 5) / 4))}`;
}

function chunked(texts: string[], size: number): string[] {
  const chunks: string[] = [];
  for (let at = 0; at < texts.length; at += size) chunks.push(texts.slice(at, at + size).join(''));
  return chunks;
}

/** Whether the end of the response says what it used. */
export function saysUsage({ withUsage, usageReports }: Output): boolean {
  return withUsage && usageReports !== 'never';
}

/** The output tokens of a stream of one choice of which so many events were written. */
export function tokensWritten(
  { plan, choices: [choice] }: Output,
  events: string[],
  written: number,
): number {
  const pieces = choice?.pieces.length ?? 0;
  const before = Math.max(
    0,
    events.findIndex((event) => TEXT_EVENT.test(event)),
  );
  const hidden = plan.usage.reasoning_tokens;
  const visible = plan.usage.output_tokens - hidden;
  if (written >= before + pieces) return plan.usage.output_tokens;
  const perPiece = Math.ceil(visible / Math.max(1, pieces));
  return Math.min(plan.usage.output_tokens, hidden + perPiece * Math.max(0, written - before));
}

/** The delta of a chunk, a text of a completion, a delta of a response. */
const TEXT_EVENT = /"delta":\{"content":"[^"]|"text":"[^"]|output_text\.delta/;

/** One server-sent event without a name, as chat and completions streams send them. */
export function dataEvent(json: string): string {
  return `data: ${json}\n\n`;
}

export const DONE_EVENT = 'data: [DONE]\n\n';

/**
 * `usage` in the words of chat, completions and embeddings.
 * @param outputTokens as far as it was written; default: all
 */
export function completionUsage({ call, plan }: Output, outputTokens = plan.usage.output_tokens): object {
  const { usage } = plan;
  const counts = {
    prompt_tokens: usage.input_tokens,
    completion_tokens: outputTokens,
    total_tokens: usage.input_tokens + outputTokens,
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
