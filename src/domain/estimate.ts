/**
 * Estimate. Owns: the most that one call can cost, before it is sent, and the output limit that an amount can pay for.
 * Does not own: what the call is (openai/), nor whether there is money for it (admission).
 * Invariant: for every usage within the bound and every tier that may be billed, `costOf` is at most `costUpTo`.
 *
 * An estimate is plain data: what depends on the output limit is computed by functions over it, so that a call whose
 * client set none can be sized where the money is known.
 */
import { type ApiError, apiError } from './errors.ts';
import { type HostedBound, mostFees } from './hosted.ts';
import { inputBeyondText, quote } from './input-bound.ts';
import { divideUp, type PicoUsd } from './money.ts';
import type { Operation } from './operation.ts';
import { type Price, quotientUp, type RateCard } from './price.ts';
import { type Claim, isCount, METER_NAMES, type MeterName, outermost } from './quantities.ts';
import { dearest, pricesAny, type Rates } from './rates.ts';
import { noTier, unknownModel, unknownPrice, untimed } from './unpriced.ts';
import { mostOfTime } from './upstream-time.ts';

export interface Estimate {
  /** Null: the upstream runs no tools. */
  readonly hosted: HostedBound | null;
  /** The price of the tier that was asked for; null: the call costs nothing. */
  readonly priceId: string | null;
  /** The most input tokens, of all kinds. */
  readonly inputTokens: number;
  /** How many choices the output limit applies to, each in full. */
  readonly choices: number;
  /** Output tokens that may be billed beyond the limits of all choices. */
  readonly extraOutputTokens: number;
  /** The call sets no output limit of its own. */
  readonly openEnded: boolean;
  /**
   * The client's limit of one choice, as it is sent; null while open-ended. The model's maximum never lowers it: it may be
   * out of date, and not every upstream keeps it.
   */
  readonly outputTokensPerChoice: number | null;
  /** The fewest output tokens of one choice with which an open-ended call is sent; null: a shortened answer is of use too. */
  readonly wholeAnswerTokens: number | null;
  /** The model's sourced maximum output of one choice; null: unknown, so an open-ended call needs a written-in limit. */
  readonly maxOutputTokens: number | null;
  /** The most that is written in as the limit of one choice, which then always is; null: the model's maximum, which is not. */
  readonly outputCeiling: number | null;
  /** The most time of the upstream, in ms, where it costs money; null: it does not. */
  readonly upstreamMs: number | null;
  /** What may be billed. The dearest total bounds the bill: a call is billed in one tier and band, never in two. */
  readonly billing: Billing;
  /** Further ones that are dearer than `billing` for some output; nearly always none. */
  readonly otherBillings: readonly Billing[];
}

/**
 * A tier in a band that the whole call may be billed at: `(fixed + output tokens × perOutputToken) / denominator`
 * pico-USD, rounded up.
 */
export interface Billing {
  /** All but the output, each amount as the dearest that it can turn out to be. */
  readonly fixed: number;
  readonly perOutputToken: number;
  readonly denominator: number;
  /** The same where a Number would not be exact; else null. */
  readonly exact: {
    readonly fixed: bigint;
    readonly perOutputToken: bigint;
    readonly denominator: bigint;
  } | null;
}

const FREE: Billing = { fixed: 0, perOutputToken: 0, denominator: 1, exact: null };
const NO_OTHERS: readonly Billing[] = [];

/**
 * The upper bound of a call's tokens and cost. `strict` means that a call without a tier is sent as `default`; without
 * it the account's own setting may choose any tier. `inputAtMost` bounds the input too, `upstreamMsAtMost` the upstream's time. Errors:
 * `unknown_price` (no card, or a possible tier without a price), `unbounded_request` (fees outside the price, or what only an unsourced
 * maximum would bound: input, the upstream's time).
 */
export function estimate(
  operation: Operation,
  card: RateCard | null,
  {
    strict,
    hosted = null,
    inputAtMost,
    upstreamMsAtMost = null,
  }: {
    strict: boolean;
    hosted?: HostedBound | null;
    inputAtMost?: number | null;
    upstreamMsAtMost?: number | null;
  },
): Estimate | ApiError {
  if (!operation.billable)
    return estimateOf(operation, operation.inputTokensBound, null, null, FREE, NO_OTHERS, null);
  if (!card) return unknownModel(operation.model);
  if (card.unboundedReason !== null) {
    const why = `The cost of the model ${quote(card.model)} has no known bound: ${card.unboundedReason}.`;
    return apiError('unbounded_request', why, { param: 'model' });
  }
  const ownBound = inputBound(operation, card, hosted);
  if (typeof ownBound !== 'number') return ownBound;
  const inputTokens = Math.min(ownBound, inputAtMost ?? ownBound);
  if ((operation.beyondText?.compactions ?? 0) > 0 && card.limits.maxOutputTokens === null) {
    const what = `How much a compaction writes has no known bound with the model ${quote(card.model)}.`;
    return apiError('unbounded_request', what, { param: 'model' });
  }
  const asked = operation.serviceTier ?? 'default';
  const price = card.tiers[asked];
  if (!price) return noTier(card, asked, operation);
  const standard = card.tiers.default;
  if (!standard) return noTier(card, 'default', operation);
  if (reachesLongContext(standard, inputTokens) && !standard.long) {
    const what = `No price is known for the model ${quote(card.model)} with an input this long.`;
    return unknownPrice(what, 'model');
  }
  // OpenAI may serve priority and flex calls as `default`, and bills the tier that served.
  let billings = addBillings(null, price, operation, inputTokens);
  if (price !== standard) billings = addBillings(billings, standard, operation, inputTokens);
  else if (operation.serviceTier === null && !strict) {
    const { flex, priority } = card.tiers;
    if (flex) billings = addBillings(billings, flex, operation, inputTokens);
    if (priority) billings = addBillings(billings, priority, operation, inputTokens);
  }
  if (typeof billings === 'string') {
    return unknownPrice(`The model ${quote(card.model)} has no price of ${billings}.`, 'model');
  }
  const isTimed = price.short.ofTime !== 0n || standard.short.ofTime !== 0n;
  const upstreamMs = isTimed ? upstreamMsAtMost : null;
  if (isTimed && upstreamMs === null) return untimed(card.model);
  const time = upstreamMs === null ? 0n : mostOfTime([price, standard], upstreamMs);
  const fees = time + (hosted === null ? 0n : mostFees(hosted));
  const first = withFees(billings.first, fees);
  const others = fees === 0n ? billings.others : billings.others.map((each) => withFees(each, fees));
  return estimateOf(
    operation,
    inputTokens,
    card.limits.maxOutputTokens,
    price.id,
    first,
    others,
    hosted,
    upstreamMs,
  );
}

function estimateOf(
  operation: Operation,
  inputTokens: number,
  maxOutputTokens: number | null,
  priceId: string | null,
  billing: Billing,
  otherBillings: readonly Billing[],
  hosted: HostedBound | null,
  upstreamMs: number | null = null,
): Estimate {
  const { outputTokensLimit, choices } = operation;
  const compactions = operation.beyondText?.compactions ?? 0;
  const extraOutputTokens = operation.extraOutputTokens + compactions * (maxOutputTokens ?? 0);
  const openEnded = operation.billable && outputTokensLimit === null;
  return {
    hosted,
    priceId,
    inputTokens,
    choices,
    extraOutputTokens,
    openEnded,
    outputTokensPerChoice: outputTokensLimit ?? (openEnded ? null : 0),
    wholeAnswerTokens: null,
    maxOutputTokens,
    outputCeiling: null,
    upstreamMs,
    billing,
    otherBillings,
  };
}

/**
 * Bytes bound the tokens of text, whatever the model: its maximum input comes from elsewhere, may be out of date, and
 * holds for each prompt where a request has several, so it never shrinks that bound. Embeddings are the exception:
 * the API itself refuses a request whose inputs sum to more (OpenAPI specification 2.3.0, POST /embeddings). Only
 * where bytes bound nothing (images) is the maximum all there is.
 */
function inputBound(operation: Operation, card: RateCard, hosted: HostedBound | null): number | ApiError {
  const turns = hosted === null ? 0 : hosted.calls + hosted.approved;
  if (turns > 0) return inputOfTurns(operation, card, turns);
  const { maxInputTokens } = card.limits;
  const bound = operation.inputTokensBound;
  if (operation.beyondText !== null) return inputBeyondText(operation.beyondText, bound, card);
  return operation.inputAtMostModelMaximum && maxInputTokens !== null
    ? Math.min(bound, maxInputTokens)
    : bound;
}

/** After each call of a tool the model reads on: its input is sent again with what came back, which nothing but the window bounds. */
function inputOfTurns(operation: Operation, card: RateCard, turns: number): number | ApiError {
  const own = inputBound(operation, card, null);
  if (typeof own !== 'number') return own;
  const { maxInputTokens } = card.limits;
  if (maxInputTokens !== null) return own + turns * maxInputTokens;
  const param = operation.hosted?.param ?? 'tools';
  const what = `What '${param}' reads has no known bound with the model ${quote(card.model)}.`;
  return apiError('unbounded_request', what, { param });
}

/** Adds fees to what a billing costs whatever the output. */
function withFees(billing: Billing, fees: PicoUsd): Billing {
  if (fees === 0n) return billing;
  const { fixed, perOutputToken, denominator, exact } = billing;
  const all = {
    fixed: (exact?.fixed ?? BigInt(fixed)) + fees * (exact?.denominator ?? BigInt(denominator)),
    perOutputToken: exact?.perOutputToken ?? BigInt(perOutputToken),
    denominator: exact?.denominator ?? BigInt(denominator),
  };
  return billingOfExact(all);
}

/** Published as "< 272K" for some models and "more than 272K" for others: at exactly the threshold, both may be billed. */
function reachesLongContext(price: Price, inputTokens: number): boolean {
  return price.longContextAboveTokens !== null && inputTokens >= price.longContextAboveTokens;
}

interface Billings {
  first: Billing;
  others: readonly Billing[];
}

/**
 * Adds what a price may bill a call of up to this much input at. A tier without a long-context price excludes such
 * calls; they are served and billed as `default`, which is always among what may be billed. Returns a meter instead
 * that the call may use and the price has no line for.
 */
function addBillings(
  known: Billings | MeterName | null,
  price: Price,
  operation: Operation,
  inputTokens: number,
): Billings | MeterName {
  const billings = addBilling(known, billingOf(price.short, operation, inputTokens));
  if (!price.long || !reachesLongContext(price, inputTokens)) return billings;
  return addBilling(billings, billingOf(price.long, operation, inputTokens));
}

function addBilling(known: Billings | MeterName | null, added: Billing | MeterName): Billings | MeterName {
  if (typeof known === 'string') return known;
  if (typeof added === 'string') return added;
  if (known === null) return { first: added, others: NO_OTHERS };
  if (isAtLeast(known.first, added)) return known;
  if (isAtLeast(added, known.first)) return { first: added, others: known.others };
  return { first: known.first, others: [...known.others, added] };
}

/** Whether a billing is as dear as another for any output; false where that is not easily seen. */
function isAtLeast(a: Billing, b: Billing): boolean {
  if (a.exact !== null || b.exact !== null || a.denominator !== b.denominator) return false;
  return a.fixed >= b.fixed && a.perOutputToken >= b.perOutputToken;
}

function billingOf({ text, factors, denominator }: Rates, operation: Operation, inputTokens: number) {
  const { otherBounds } = operation;
  if (text !== null && !otherBounds) {
    const fixed = inputTokens * text.dearestInput;
    if (Number.isSafeInteger(fixed)) {
      return { fixed, perOutputToken: text.dearestOutput, denominator: text.denominator, exact: null };
    }
  }
  return exactBilling(factors, denominator, operation, inputTokens);
}

/** The same for any meters. */
function exactBilling(
  factors: Rates['factors'],
  denominator: bigint,
  { otherBounds, outputTokensLimit, extraOutputTokens, isBilledEither }: Operation,
  inputTokens: number,
): Billing | MeterName {
  const input = dearest('input_tokens', factors);
  const output = dearest('output_tokens', factors);
  const isPriced = isBilledEither && (input !== null || pricesAny(otherBounds ?? {}, factors));
  if (input === null && inputTokens > 0 && !isPriced) return 'input_tokens';
  if (output === null && (outputTokensLimit !== 0 || extraOutputTokens > 0) && !isPriced)
    return 'output_tokens';
  let fixed = BigInt(inputTokens) * (input ?? 0n);
  let perOutputToken = output ?? 0n;
  for (const meter of METER_NAMES) {
    const amount = otherBounds?.[meter];
    if (amount === undefined) continue;
    const factor = dearest(meter, factors);
    if (factor === null && isPriced) continue;
    if (factor === null) return meter;
    const whole = outermost(meter);
    if (whole === meter) fixed += BigInt(amount) * factor;
    else if (whole === 'input_tokens') {
      const more = factor - (input ?? 0n);
      if (more > 0n) fixed += BigInt(Math.min(amount, inputTokens)) * more;
    }
    // How much of the output is of that kind is as open as the output itself.
    else if (factor > perOutputToken) perOutputToken = factor;
  }
  return billingOfExact({ fixed, perOutputToken, denominator });
}

function billingOfExact(exact: NonNullable<Billing['exact']>): Billing {
  const rounded = {
    fixed: Number(exact.fixed),
    perOutputToken: Number(exact.perOutputToken),
    denominator: Number(exact.denominator),
  };
  return { ...rounded, exact: Object.values(rounded).every(isCount) ? null : exact };
}

/** All output tokens if every choice is limited to this many, the extra ones included. */
export function outputTokensUpTo({ choices, extraOutputTokens }: Estimate, perChoice: number): number {
  return perChoice * choices + extraOutputTokens;
}

/** The most that the call costs if every choice is limited to this many output tokens. Throws a RangeError unless a count. */
export function costUpTo(estimate: Estimate, perChoice: number): PicoUsd {
  if (!isCount(perChoice)) throw new RangeError(`not a token count: ${perChoice}`);
  let most = costOfBilling(estimate.billing, estimate, perChoice);
  for (const billing of estimate.otherBillings) {
    const cost = costOfBilling(billing, estimate, perChoice);
    if (cost > most) most = cost;
  }
  return most;
}

function costOfBilling(billing: Billing, estimate: Estimate, perChoice: number): PicoUsd {
  const { fixed, perOutputToken, denominator, exact } = billing;
  if (exact === null) {
    const outputTokens = outputTokensUpTo(estimate, perChoice);
    const total = fixed + outputTokens * perOutputToken;
    if (Number.isSafeInteger(outputTokens) && Number.isSafeInteger(total))
      return quotientUp(total, denominator);
  }
  const { choices, extraOutputTokens } = estimate;
  const outputTokens = BigInt(perChoice) * BigInt(choices) + BigInt(extraOutputTokens);
  const total =
    (exact?.fixed ?? BigInt(fixed)) + outputTokens * (exact?.perOutputToken ?? BigInt(perOutputToken));
  return divideUp(total, exact?.denominator ?? BigInt(denominator));
}

/**
 * The largest limit of each choice that an amount pays for; 0 when it does not pay for a single token, and
 * Number.MAX_SAFE_INTEGER when output costs nothing.
 */
export function outputTokensFor(estimate: Estimate, amount: PicoUsd): number {
  let least = perChoiceFor(amount, estimate.billing, estimate);
  for (const billing of estimate.otherBillings)
    least = Math.min(least, perChoiceFor(amount, billing, estimate));
  return least;
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** `divideUp(total, denominator) <= amount` is `total <= amount × denominator`: solved for the limit of each choice. */
function perChoiceFor(amount: PicoUsd, billing: Billing, { choices, extraOutputTokens }: Estimate): number {
  const { fixed, perOutputToken, denominator, exact } = billing;
  if (amount < 0n) return 0;
  if (exact === null && amount <= MAX_SAFE) {
    const payable = Number(amount) * denominator;
    const spent = fixed + extraOutputTokens * perOutputToken;
    const step = choices * perOutputToken;
    if (Number.isSafeInteger(payable) && Number.isSafeInteger(spent) && Number.isSafeInteger(step)) {
      const left = payable - spent;
      if (left < 0) return 0;
      return step === 0 ? Number.MAX_SAFE_INTEGER : (left - (left % step)) / step;
    }
  }
  const perToken = exact?.perOutputToken ?? BigInt(perOutputToken);
  const spent = (exact?.fixed ?? BigInt(fixed)) + BigInt(extraOutputTokens) * perToken;
  const left = amount * (exact?.denominator ?? BigInt(denominator)) - spent;
  if (left < 0n) return 0;
  const step = BigInt(choices) * perToken;
  return step === 0n || left / step > MAX_SAFE ? Number.MAX_SAFE_INTEGER : Number(left / step);
}

/** Fewest output tokens that make an open-ended answer worth starting. */
export const SMALLEST_USEFUL_OUTPUT_TOKENS = 256;

/** The claim of a call whose every choice is limited to this many output tokens. */
export function claimUpTo(estimate: Estimate, outputTokensPerChoice: number): Claim {
  return {
    cost: costUpTo(estimate, outputTokensPerChoice),
    input_tokens: estimate.inputTokens,
    output_tokens: outputTokensUpTo(estimate, outputTokensPerChoice),
  };
}

/** The least with which a call can be admitted: its whole bound, or a useful answer where it set no output limit. */
export function smallestClaim(estimate: Estimate): Claim {
  const { outputTokensPerChoice, wholeAnswerTokens } = estimate;
  return claimUpTo(estimate, outputTokensPerChoice ?? wholeAnswerTokens ?? SMALLEST_USEFUL_OUTPUT_TOKENS);
}
