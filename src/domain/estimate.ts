/**
 * Estimate. Owns: the most that one call can cost, before it is sent, and the output limit that an amount can pay for.
 * Does not own: what the call is (openai/), nor whether there is money for it (admission).
 * Invariant: for every usage within the bound and every tier that may be billed, `costOf` is at most this cost.
 */
import { type ApiError, apiError } from './errors.ts';
import { divideUp, type PicoUsd } from './money.ts';
import type { Operation } from './operation.ts';
import type { Price, RateCard, ServiceTier, TokenRates } from './price.ts';

export interface EstimateBound {
  inputTokens: number;
  /** Over all choices, with the extra ones; null: open-ended. */
  outputTokens: number | null;
  choices: number;
}

export interface Estimate {
  bound: EstimateBound;
  /** The call sets no output limit of its own. */
  openEnded: boolean;
  /** The model's sourced maximum output of one choice; null: unknown, so an open-ended call needs a written-in limit. */
  maxOutputTokens: number | null;
  /** The price rows that may be billed. */
  priceIds: string[];
  /** The cost of the bound; null while open-ended. */
  cost: PicoUsd | null;
  /** The cost with the model's maximum output in every choice; null where that has no source. */
  fullCost: PicoUsd | null;
  /** The cost before any output, extra output tokens aside. */
  inputCost: PicoUsd;
  /** The cost if every choice is limited to this many output tokens. Throws a RangeError unless a count. */
  costUpTo(outputTokensPerChoice: number): PicoUsd;
  /** All output tokens if every choice is limited to this many, the extra ones included. */
  outputTokensUpTo(outputTokensPerChoice: number): number;
  /** The largest limit of each choice that an amount pays for; 0 when it does not pay for a single token. */
  outputTokensFor(amount: PicoUsd): number;
}

/** Rates that the whole call may be billed at. */
interface Billing {
  /** The dearest kind of input: plain, cached or written to the cache. */
  input: PicoUsd;
  output: PicoUsd;
  perTokens: bigint;
}

/**
 * The upper bound of a call's tokens and cost. `strict` means that a call without a tier is sent as `default`; without
 * it the account's own setting may choose any tier. Faults: `unknown_price` (no card, or a possible tier without a
 * price), `unbounded_request` (fees outside the tokens, or input that only an unsourced maximum would bound).
 */
export function estimate(
  operation: Operation,
  card: RateCard | null,
  options: { strict: boolean },
): Estimate | ApiError {
  if (!operation.billable) return estimateOf(operation, operation.inputTokensBound, null, []);
  if (!card) return unknownPrice(`No price is known for the model ${quote(operation.model)}.`, 'model');
  if (card.unboundedReason !== null) {
    const why = `The cost of the model ${quote(card.model)} has no known bound: ${card.unboundedReason}.`;
    return apiError('unbounded_request', why, { param: 'model' });
  }
  const inputTokens = inputBound(operation, card);
  if (typeof inputTokens !== 'number') return inputTokens;
  const prices: Price[] = [];
  for (const tier of tiersPossible(operation, card, options.strict)) {
    const price = card.tiers[tier];
    if (!price) {
      const what = `No price is known for the model ${quote(card.model)} in the tier '${tier}'.`;
      return unknownPrice(what, tier === operation.serviceTier ? 'service_tier' : 'model');
    }
    prices.push(price);
  }
  const base = card.tiers.default;
  if (base && reachesLongContext(base, inputTokens) && !base.longContext) {
    return unknownPrice(
      `No price is known for the model ${quote(card.model)} with an input this long.`,
      'model',
    );
  }
  return estimateOf(operation, inputTokens, card.limits.maxOutputTokens, prices);
}

/**
 * Bytes bound the tokens of text, whatever the model: its maximum input comes from elsewhere, may be out of date, and
 * holds for each prompt where a request has several, so it never shrinks that bound. Embeddings are the exception:
 * the API itself refuses a request whose inputs sum to more (OpenAPI specification 2.3.0, POST /embeddings). Only
 * where bytes bound nothing (images) is the maximum all there is.
 */
function inputBound(operation: Operation, card: RateCard): number | ApiError {
  const { maxInputTokens } = card.limits;
  if (operation.inputBoundByModel) {
    if (maxInputTokens !== null) return maxInputTokens;
    const param = operation.inputBoundParam;
    const what = `The input tokens of '${param ?? 'this request'}' have no known bound with the model ${quote(card.model)}.`;
    return apiError('unbounded_request', what, param === null ? {} : { param });
  }
  const bound = operation.inputTokensBound;
  return operation.inputAtMostModelMaximum && maxInputTokens !== null ? Math.min(bound, maxInputTokens) : bound;
}

/** OpenAI may serve priority and flex calls as `default`, and bills the tier that served. */
function tiersPossible(operation: Operation, card: RateCard, strict: boolean): Set<ServiceTier> {
  if (operation.serviceTier !== null) return new Set([operation.serviceTier, 'default']);
  const tiers = new Set<ServiceTier>(['default']);
  if (!strict) for (const tier of ['flex', 'priority'] as const) if (card.tiers[tier]) tiers.add(tier);
  return tiers;
}

/** Published as "< 272K" for some models and "more than 272K" for others: at exactly the threshold, both may be billed. */
function reachesLongContext(price: Price, inputTokens: number): boolean {
  return price.longContextAboveTokens !== null && inputTokens >= price.longContextAboveTokens;
}

/**
 * The rates a price may bill a call of up to this much input at. A tier without a long-context price excludes such
 * calls; they are served and billed as `default`, which {@link tiersPossible} always includes.
 */
function billingsOf(price: Price, inputTokens: number): Billing[] {
  const bands = [price.standard];
  if (price.longContext && reachesLongContext(price, inputTokens)) bands.push(price.longContext);
  return bands.map((rates) => ({
    input: dearestInput(rates),
    output: rates.output,
    perTokens: price.perTokens,
  }));
}

function dearestInput({ input, cachedInput, cacheWrite }: TokenRates): PicoUsd {
  return larger(input, larger(cachedInput ?? input, cacheWrite ?? input));
}

function larger(a: PicoUsd, b: PicoUsd): PicoUsd {
  if (a > b) return a;
  return b;
}

function estimateOf(
  operation: Operation,
  inputTokens: number,
  maxOutputTokens: number | null,
  prices: Price[],
): Estimate {
  const { choices, extraOutputTokens, outputTokensLimit } = operation;
  const billings = prices.flatMap((price) => billingsOf(price, inputTokens));
  // A billing is one tier in one band, so the dearest total bounds the bill: rates of two are never added up.
  const costOfTokens = (outputTokens: bigint): PicoUsd =>
    billings
      .map(({ input, output, perTokens }) =>
        divideUp(BigInt(inputTokens) * input + outputTokens * output, perTokens),
      )
      .reduce(larger, 0n);
  const costUpTo = (perChoice: number): PicoUsd => {
    if (!Number.isSafeInteger(perChoice) || perChoice < 0)
      throw new RangeError(`not a token count: ${perChoice}`);
    return costOfTokens(BigInt(perChoice) * BigInt(choices) + BigInt(extraOutputTokens));
  };
  const openEnded = operation.billable && outputTokensLimit === null;
  const limit = openEnded
    ? null
    : Math.min(outputTokensLimit ?? 0, maxOutputTokens ?? Number.POSITIVE_INFINITY);
  const outputTokens = limit === null ? null : limit * choices + extraOutputTokens;
  return {
    bound: { inputTokens, outputTokens, choices },
    openEnded,
    maxOutputTokens,
    priceIds: prices.map((price) => price.id),
    cost: limit === null ? null : costUpTo(limit),
    fullCost: maxOutputTokens === null ? null : costUpTo(maxOutputTokens),
    inputCost: costOfTokens(0n),
    costUpTo,
    outputTokensUpTo: (perChoice) => perChoice * choices + extraOutputTokens,
    outputTokensFor: (amount) => {
      const affordable = billings.map((billing) => perChoiceFor(amount, billing, operation, inputTokens));
      return Math.max(0, Math.min(Number.MAX_SAFE_INTEGER, ...affordable));
    },
  };
}

/** `divideUp(total, perTokens) <= amount` is `total <= amount × perTokens`: solved for the limit of each choice. */
function perChoiceFor(amount: PicoUsd, billing: Billing, operation: Operation, inputTokens: number): number {
  const fixed = BigInt(inputTokens) * billing.input + BigInt(operation.extraOutputTokens) * billing.output;
  const left = amount * billing.perTokens - fixed;
  if (left < 0n) return 0;
  const step = BigInt(operation.choices) * billing.output;
  return step === 0n ? Number.MAX_SAFE_INTEGER : Number(left / step);
}

function unknownPrice(what: string, param: string): ApiError {
  return apiError('unknown_price', `${what} An administrator can add one.`, { param });
}

/** A name of the client's for a message, cut where it is longer than any model's. */
function quote(model: string | null): string {
  return `'${(model ?? '').slice(0, 100)}'`;
}
