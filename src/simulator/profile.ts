/** How the simulator behaves: its mode, the profile of its responses, and the faults that it injects. */
import type { FaultName } from './faults.ts';
import type { Habit, ReasoningContext } from './reading.ts';
import type { Tokeniser } from './tokens.ts';

/** `worst` bills every request at the most that it allows; `normal` draws from the seed. */
export type Mode = 'normal' | 'worst';

/**
 * `once`: in the usage chunk or the last event, if it was asked for. `late`: the same, after the end and a delay. `partly`: in
 * the events of the first half alone. `twice`: two times at the end. `never`. `every_chunk`: as it grows, and at the end.
 */
export const USAGE_REPORTS = ['once', 'late', 'partly', 'twice', 'never', 'every_chunk'] as const;
export type UsageReports = (typeof USAGE_REPORTS)[number];

export const LIMIT_NAMES = ['openai', 'either', 'max_tokens'] as const;
export type LimitNames = (typeof LIMIT_NAMES)[number];

/** Chances are probabilities in [0, 1]. */
export interface Profile {
  medianOutputTokens: number;
  p99OutputTokens: number;
  /** Chance that part of the input is read from and, where the model prices it, written to the cache. */
  cacheChance: number;
  /** Chance that a request without a tier (or `auto`) is served, and billed, as `priority`. */
  autoPriorityChance: number;
  /** Chance that a `priority` request is served, and billed, as `default`. */
  priorityDowngradeChance: number;
  /** Before the headers. */
  firstByteMs: number;
  /** Between two events of a stream. */
  chunkMs: number;
  /** The speed of the output, which delays a response by its tokens, a stream piece by piece. 0: no delay. */
  outputTokensPerSecond: number;
  /** The limit of a chat is read as OpenAI reads it, under either name as vLLM does, or as `max_tokens` alone as Ollama does. */
  limitNames: LimitNames;
  /** Output limits are ignored: what is written is what `medianOutputTokens` and its like say. */
  ignoresLimits: boolean;
  /** A response that ended at its limit calls itself completed, as those of llama-server and transformers do. */
  completesAtLimit: boolean;
  /** Tokens that a reasoning model, or one that hides it, thinks beside what it writes; no limit covers them. */
  hiddenReasoningTokens: number;
  /** How a stream reports its usage; JSON has it unless `never`. */
  usageReports: UsageReports;
  /** Before the usage, where it comes late. */
  usageDelayMs: number;
  /** Tokens of one event with text, each a word; 0: as many events as `maxChunks` allows, of one word each. */
  chunkTokens: number;
  /** What a byte of a file takes in a vector store, where one is enough for a test of many GiB. */
  storedBytesPerByte: number;
  /** A client that leaves is billed what was written until then, instead of all. */
  stopsWithClient: boolean;
  /** Most events with text per choice; short, because a test rarely needs one event for each token. */
  maxChunks: number;
  /** Output is readable, instead of hostile to careless parsers. */
  plainText: boolean;
  /** The chance of each fault; together at most 1. */
  faults: Partial<Record<FaultName, number>>;
  /** Of the faults that may be billed or not: the share that is not. */
  unbilledShare: number;
  slowFirstByteMs: number;
  slowChunkMs: number;
  /** What of earlier reasoning is read, and billed, again; in the mode `worst` all of it is. */
  reasoningContext: ReasoningContext;
  /** What it counts beside the texts of a conversation. */
  habit: Habit;
  tokeniser: Tokeniser;
  /** Chance that a model calls a tool that it is offered where the prompt names none, with arguments of the tool's schema. */
  toolCallChance: number;
  /** How long a training job, a batch or a background response takes. */
  jobMs: number;
  /** Where webhooks go; empty: none are sent. */
  webhookUrl: string;
  /** Signs them: `whsec_` and base64. */
  webhookSecret: string;
  /** From the end of a job to its webhook, and to the same again. */
  webhookDelayMs: number;
  /** Chance that one is never sent, and that one is sent twice. */
  webhookLossChance: number;
  webhookRepeatChance: number;
  /** The longest that a WebSocket stays open. */
  sessionMs: number;
  /** How long a `rate_limit` error asks the client to wait. */
  retryAfterMs: number;
  /** How late a line comes into the usage reports, and into the costs. */
  usageLagMs: number;
  costsLagMs: number;
  /** Decimals of an amount in the costs; 12: exact. */
  costDecimals: number;
}

export const DEFAULT_PROFILE: Profile = {
  medianOutputTokens: 60,
  p99OutputTokens: 400,
  cacheChance: 0.5,
  autoPriorityChance: 0,
  priorityDowngradeChance: 0.1,
  firstByteMs: 0,
  chunkMs: 0,
  outputTokensPerSecond: 0,
  limitNames: 'openai',
  ignoresLimits: false,
  completesAtLimit: false,
  hiddenReasoningTokens: 0,
  usageReports: 'once',
  usageDelayMs: 200,
  chunkTokens: 0,
  storedBytesPerByte: 1,
  stopsWithClient: false,
  maxChunks: 24,
  plainText: false,
  faults: {},
  unbilledShare: 0.5,
  slowFirstByteMs: 500,
  slowChunkMs: 50,
  reasoningContext: 'random',
  habit: 'frames',
  tokeniser: 'quarter',
  toolCallChance: 0,
  jobMs: 300,
  webhookUrl: '',
  webhookSecret: '',
  webhookDelayMs: 0,
  webhookLossChance: 0,
  webhookRepeatChance: 0,
  sessionMs: 3_600_000,
  retryAfterMs: 1000,
  usageLagMs: 0,
  costsLagMs: 0,
  costDecimals: 12,
};

/** Ready-made fault profiles for the command line: a good day, a bad day, and the worst day ever. */
export const FAULT_PRESETS = {
  none: {},
  mild: {
    slow_first_byte: 0.01,
    rate_limit: 0.01,
    server_error: 0.005,
    cut_mid_stream: 0.005,
    html_502: 0.005,
  },
  chaos: {
    slow_first_byte: 0.03,
    slow_chunks: 0.02,
    cut_before_headers: 0.04,
    cut_mid_stream: 0.06,
    no_usage: 0.03,
    hang: 0.01,
    rate_limit: 0.04,
    insufficient_quota: 0.01,
    server_error: 0.03,
    html_500: 0.01,
    html_502: 0.02,
    html_503: 0.01,
    html_504: 0.02,
    gzip: 0.03,
  },
} as const satisfies Record<string, Profile['faults']>;

export type FaultPreset = keyof typeof FAULT_PRESETS;

/** Throws on a profile that a caller got wrong: a run on it would prove nothing. */
export function mergeProfile(base: Profile, change: Partial<Profile>): Profile {
  const profile = { ...base, ...change };
  const { cacheChance, autoPriorityChance, priorityDowngradeChance, toolCallChance } = profile;
  const { webhookLossChance, webhookRepeatChance } = profile;
  const chances = [cacheChance, autoPriorityChance, priorityDowngradeChance, toolCallChance];
  chances.push(webhookLossChance, webhookRepeatChance);
  const faultChances = Object.values(profile.faults);
  const faultSum = faultChances.reduce((sum, chance) => sum + chance, 0);
  for (const chance of [...chances, profile.unbilledShare, ...faultChances, faultSum]) {
    if (!(chance >= 0 && chance <= 1.000001)) throw new RangeError(`not a probability: ${chance}`);
  }
  if (!(profile.medianOutputTokens >= 1 && profile.p99OutputTokens >= profile.medianOutputTokens)) {
    throw new RangeError('output lengths need 1 <= median <= p99');
  }
  return profile;
}
