/** The output of a call before it is rendered. */
import { askedTokens, type ModelCall } from './call.ts';
import type { Directives } from './directives.ts';
import type { Candidate, Plan } from './plan.ts';
import type { Profile, UsageReports } from './profile.ts';
import { type Random, randomHex } from './random.ts';
import type { ToolCall } from './tools.ts';
import { words } from './words.ts';

/** One returned choice with its text, in the pieces of a stream. */
export interface Choice {
  index: number;
  pieces: string[];
  /** The tools that it calls instead. */
  calls: WrittenCall[];
  candidate: Candidate;
}

/** A call of a tool, its arguments in the pieces of a stream. */
export interface WrittenCall extends ToolCall {
  /** Unique in the response. */
  id: string;
  pieces: string[];
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
  /** It says nothing of what images used. */
  hidesImageUsage: boolean;
  completesAtLimit: boolean;
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
  requestId: string,
): Output {
  // As unique as that of the request: some clients send one id with all calls of a conversation.
  const id = `${randomHex(random, 16)}${requestId.slice(-8)}`;
  const choices = plan.returned.map((candidate, index): Choice => {
    const chunkTokens = directives.chunkTokens ?? profile.chunkTokens;
    const visibleTokens = candidate.tokens - candidate.reasoningTokens;
    const usualEvents = Math.min(visibleTokens, profile.maxChunks);
    const events =
      chunkTokens > 0 ? Math.ceil(visibleTokens / chunkTokens) : (directives.chunks ?? usualEvents);
    if (call.asked !== null)
      return { index, ...writeAsked(call, candidate, `${id}${index}`, events), candidate };
    if (chunkTokens > 0) {
      const pieces = chunked(words(random, visibleTokens, true), chunkTokens);
      return { index, pieces, calls: [], candidate };
    }
    const pieces = words(random, events, profile.plainText);
    // An event with text is a token or more: what was ordered beyond that has none.
    return { index, pieces: pieces.fill('', visibleTokens), calls: [], candidate };
  });
  const usageReports = directives.usageReports ?? profile.usageReports;
  return {
    call,
    plan,
    choices,
    id,
    created: Math.floor(Date.now() / 1000),
    withUsage,
    usageReports,
    hidesImageUsage: directives.hidesImageUsage ?? false,
    completesAtLimit: profile.completesAtLimit,
    sealed: asksForReasoning(call) ? sealedText(random, plan.usage.reasoning_tokens) : null,
  };
}

/** Writes what was asked for, or as much of it as fits, in so many events. */
function writeAsked(
  call: ModelCall,
  { tokens, reasoningTokens, cut }: Candidate,
  id: string,
  events: number,
): Pick<Choice, 'pieces' | 'calls'> {
  const { asked } = call;
  const share = cut ? Math.min(1, (tokens - reasoningTokens) / (askedTokens(call) ?? 1)) : 1;
  if (asked === null) return { pieces: [], calls: [] };
  if ('json' in asked) return { pieces: split(asked.json, share, events), calls: [] };
  // What does not fit breaks off in its last call.
  const count = Math.max(1, Math.ceil(asked.calls.length * share));
  const perCall = Math.max(1, Math.floor(events / count));
  const calls = asked.calls.slice(0, count).map((one, at): WrittenCall => {
    const part = at < count - 1 ? 1 : Math.min(1, asked.calls.length * share - (count - 1));
    return { ...one, id: `${id}${at}`, pieces: split(one.text, part, perCall) };
  });
  return { pieces: [], calls };
}

/** Splits the leading share of a text into so many pieces at most, and never a character. */
function split(text: string, share: number, most: number): string[] {
  const characters = [...text];
  const kept = characters.slice(0, Math.ceil(characters.length * share));
  const size = Math.max(1, Math.ceil(kept.length / Math.max(1, most)));
  return chunked(kept, size);
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
  const called = choice?.calls.reduce((sum, call) => sum + call.pieces.length, 0) ?? 0;
  const pieces = (choice?.pieces.length ?? 0) + called;
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

/** The delta of a chunk, a text of a completion, arguments of a tool, a delta of a response. */
const TEXT_EVENT =
  /"delta":\{"content":"[^"]|"text":"[^"]|"(?:arguments|input)":"[^"]|(?:output_text|arguments|input)\.delta/;

/** One server-sent event without a name, as chat and completions streams send them. */
export function dataEvent(json: string): string {
  return `data: ${json}\n\n`;
}

export const FAILED_MESSAGE = 'The model had an error while writing its output. Sorry about that!';

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
      audio_tokens: usage.input_audio_tokens ?? 0,
    },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoning_tokens,
      audio_tokens: usage.output_audio_tokens ?? 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: plan.rejectedPredictionTokens,
    },
  };
}
