/**
 * Planning: what a call will consume, which tier serves it, and what it costs, all decided before the first byte.
 * The upstream is committed to this plan; a client that leaves early is billed for all of it.
 */
import { askedTokens, type ModelCall } from './call.ts';
import type { Directives } from './directives.ts';
import { type ApiError, invalidRequest } from './errors.ts';
import { billTools, type Containers, type HostedTool, madeCalls } from './hosted.ts';
import { audioTokens, mostInputTokens, usualInputTokens } from './input.ts';
import type { ToolLine } from './invoice.ts';
import { bill, cacheWriteRate, findRates, type Rates, type Tier, type Usage } from './prices.ts';
import type { Mode, Profile } from './profile.ts';
import { lognormal, type Random } from './random.ts';

export interface Candidate {
  tokens: number;
  reasoningTokens: number;
  /** It ended at the limit, not by itself. */
  cut: boolean;
}

export interface Plan {
  usage: Usage;
  /** Calls of tools that the upstream ran, in their order. */
  hosted: HostedTool[];
  /** What those are billed, but for images. */
  tools: readonly ToolLine[];
  /** The returned candidates, prompt by prompt. */
  returned: Candidate[];
  /** Part of the output tokens: a prediction that was not used. */
  rejectedPredictionTokens: number;
  tier: Tier;
  costPicoUsd: bigint;
  /** What usage costs in the tier and at the rates of this call. */
  billOf(usage: Usage): bigint;
}

export interface PlanContext {
  mode: Mode;
  profile: Profile;
  directives: Directives;
  random: Random;
  containers: Containers;
}

/** Published limit of one embeddings request, over all its inputs. */
const MAX_EMBEDDING_TOKENS = 300_000;
/** The share of its output that a reasoning model may think in, at most. */
const MOST_REASONING = 0.8;

/** Returns the plan and price of a call; an error when the model does not offer its input length or tier. */
export function planCall(call: ModelCall, context: PlanContext): Plan | ApiError {
  const { mode, random } = context;
  const countInput = mode === 'worst' ? mostInputTokens : usualInputTokens;
  const ownTokens = countInput(call.input, call.model.name);
  const tooLong = checkLength(call, ownTokens);
  if (tooLong) return tooLong;
  const hosted = planHosted(call, context);
  // Each turn after a call of a tool reads the input again, and what came back.
  const turnTokens = mode === 'worst' ? (call.model.maxInputTokens ?? ownTokens) : ownTokens + FOUND_TOKENS;
  const turns = hosted.length + (call.hosted?.approved ?? 0);
  const inputTokens = ownTokens + turns * turnTokens;

  const returned: Candidate[] = [];
  let outputTokens = 0;
  let reasoningTokens = 0;
  for (let index = 0; index < call.prompts * call.candidates; index++) {
    const candidate = planCandidate(call, context);
    outputTokens += candidate.tokens;
    reasoningTokens += candidate.reasoningTokens;
    if (index % call.candidates < call.choices) returned.push(candidate);
  }
  const rejectedShare = mode === 'worst' ? 1 : random() / 4;
  const rejectedPredictionTokens = Math.floor(call.predictionBytes * rejectedShare);

  const tools = billTools(hosted, call.model.feePerCallPicoUsd, context.containers, Date.now());
  const imageFees = hosted.reduce((sum, { made }) => sum + (made?.costPicoUsd ?? 0n), 0n);
  const toolFees = tools.reduce((sum, { cost_pico_usd: fee }) => sum + BigInt(fee), imageFees);
  const cacheDraws: [number, number, number] = [random(), random(), random()];
  const tierDraw = random();
  const priced = (tier: Tier): Plan | null => {
    const rates = findRates(call.model, tier, inputTokens);
    if (!rates) return null;
    const usage: Usage = {
      input_tokens: inputTokens,
      ...planCache(inputTokens, rates, call.keepsCache12h, context, cacheDraws),
      output_tokens: outputTokens + rejectedPredictionTokens,
      reasoning_tokens: reasoningTokens,
      ...planAudio(call, outputTokens, context),
    };
    const billOf = (used: Usage) => bill(used, rates, call.keepsCache12h, toolFees);
    const costPicoUsd = billOf(usage);
    return { usage, hosted, tools, returned, rejectedPredictionTokens, tier, costPicoUsd, billOf };
  };
  return choosePlan(call, context, tierDraw, priced);
}

/** Of an answer that may be spoken a part is text; in the worst case none of it. */
function planAudio(
  { input, speaks }: ModelCall,
  outputTokens: number,
  { mode }: PlanContext,
): Partial<Usage> {
  const worst = mode === 'worst';
  const heard = audioTokens(input, worst);
  if (heard === 0 && !speaks) return {};
  const spoken = speaks ? (worst ? outputTokens : Math.floor(outputTokens * 0.75)) : 0;
  return { input_audio_tokens: heard, output_audio_tokens: spoken };
}

/** What a search usually finds. */
const FOUND_TOKENS = 2000;

function planHosted({ hosted }: ModelCall, { mode, random }: PlanContext): HostedTool[] {
  if (hosted === null) return [];
  const { tools, least, most } = hosted;
  const drawn = Math.max(least, Math.floor(random() * 3));
  const calls = mode === 'worst' ? most : Math.min(most, drawn);
  const dearest = tools.toSorted((a, b) => Number(b.feePicoUsd - a.feePicoUsd));
  // At worst all are of the dearest, but those that begin a session.
  const order = [...tools.filter(({ container }) => container !== null), ...dearest];
  const made = Array.from({ length: calls }, (_, at) =>
    mode === 'worst' ? (order[at] ?? dearest[0]) : tools[Math.floor(random() * tools.length)],
  ).filter((tool) => tool !== undefined);
  return madeCalls(made, mode === 'worst', random);
}

/** What is billed of a call whose output ended after so many tokens. */
export function billPart(
  { usage, billOf }: Plan,
  outputTokens: number,
): { usage: Usage; costPicoUsd: bigint } {
  const used = {
    ...usage,
    output_tokens: outputTokens,
    reasoning_tokens: Math.min(usage.reasoning_tokens, outputTokens),
  };
  return { usage: used, costPicoUsd: billOf(used) };
}

function checkLength(call: ModelCall, inputTokens: number): ApiError | null {
  const limit = call.operation === 'embeddings' ? MAX_EMBEDDING_TOKENS : call.model.maxInputTokens;
  if (limit === null || inputTokens <= limit) return null;
  const message = `Your input exceeds the maximum of ${limit} tokens for this model: it resulted in ${inputTokens} tokens.`;
  return invalidRequest(
    message,
    call.operation === 'chat.completions' ? 'messages' : null,
    'context_length_exceeded',
  );
}

function planCandidate(call: ModelCall, { mode, profile, directives, random }: PlanContext): Candidate {
  const drawn = lognormal(random, profile.medianOutputTokens, profile.p99OutputTokens);
  const reasoningShare = random() * MOST_REASONING;
  const thought = call.model.reasoning ? Math.floor(drawn * reasoningShare) : 0;
  const asked = askedTokens(call);
  const needed = directives.outputTokens ?? (asked === null ? drawn : asked + thought);
  const wanted = mode === 'worst' ? (directives.outputTokens ?? call.outputTokensMost) : needed;
  const ignoresLimit = directives.ignoreLimit ?? profile.ignoresLimits;
  const written = ignoresLimit ? wanted : Math.min(wanted, call.outputTokensMost);
  const hidden = directives.hiddenReasoningTokens ?? profile.hiddenReasoningTokens;
  // What it is asked to write is whole if it fits, however much is billed.
  const cut = !ignoresLimit && (asked === null ? wanted : needed) >= call.outputTokensMost;
  const shared = call.model.reasoning ? Math.floor(written * reasoningShare) : 0;
  return {
    tokens: written + hidden,
    reasoningTokens: hidden + (asked === null || cut ? shared : Math.min(thought, written)),
    cut,
  };
}

/** Splits the input into uncached, cached and cache-written tokens, only in kinds that the rates list. */
function planCache(
  inputTokens: number,
  rates: Rates,
  keeps12h: boolean,
  { mode, profile }: PlanContext,
  [chance, cachedShare, writtenShare]: [number, number, number],
): Pick<Usage, 'cached_input_tokens' | 'cache_write_tokens'> {
  if (mode === 'worst') {
    const writesCostMost = rates.cacheWrite !== null && cacheWriteRate(rates, keeps12h) > rates.input;
    return { cached_input_tokens: 0, cache_write_tokens: writesCostMost ? inputTokens : 0 };
  }
  if (chance >= profile.cacheChance) return { cached_input_tokens: 0, cache_write_tokens: 0 };
  const cached = rates.cachedInput === null ? 0 : Math.floor(inputTokens * cachedShare);
  const written = rates.cacheWrite === null ? 0 : Math.floor((inputTokens - cached) * writtenShare);
  return { cached_input_tokens: cached, cache_write_tokens: written };
}

/** Picks the tier that serves the call, among those that the request leaves open. */
function choosePlan(
  call: ModelCall,
  { mode, profile, directives }: PlanContext,
  draw: number,
  priced: (tier: Tier) => Plan | null,
): Plan | ApiError {
  if (directives.tier) {
    const message = `The directive orders the tier '${directives.tier}', which this model or length has no price for.`;
    return priced(directives.tier) ?? invalidRequest(message, 'x-simulator');
  }
  const standard = priced('default');
  if (!standard) throw new Error(`no default price for ${call.model.name}`);
  const { tier } = call;
  const other = tier === 'default' ? null : priced(tier === 'auto' ? 'priority' : tier);
  // 12-hour cache writes have a price in the default tier only.
  if (!other || call.keepsCache12h) return standard;
  if (mode === 'worst') return other.costPicoUsd > standard.costPicoUsd ? other : standard;
  if (tier === 'auto') return draw < profile.autoPriorityChance ? other : standard;
  return tier === 'priority' && draw < profile.priorityDowngradeChance ? standard : other;
}
