/** The error of a denied call: which limit, what is left, when it resets, what would fit. */

import type { Denial } from '../admission/decide.ts';
import { type CounterSpec, sourceIdOf } from '../domain/counter.ts';
import { type ApiError, apiError, ERRORS } from '../domain/errors.ts';
import { type Estimate, SMALLEST_USEFUL_OUTPUT_TOKENS, smallestClaim } from '../domain/estimate.ts';
import type { PlannedJob } from '../domain/job-terms.ts';
import type { Meter } from '../domain/limit.ts';
import { outputTokensWithin } from '../domain/open-ended.ts';
import { quotientUp, type RateCard } from '../domain/price.ts';
import { claimed, formatUsd } from '../domain/quantities.ts';
import { parseTag } from '../domain/tags.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import type { UpstreamResponse } from './call.ts';

type WouldFit = PlannedJob['wouldFit'];

/** @param job what the call would go on with; null: nothing */
export function errorOfDenial(denial: Denial, estimate: Estimate, job: PlannedJob | null): ApiError {
  const wouldFit = job === null ? null : job.wouldFit;
  switch (denial.reason) {
    case 'held':
      return apiError(
        'rate_limit_exceeded',
        'The budget is held by calls in flight; some of it will come back when they settle.' +
          (estimate.wholeAnswerTokens === null
            ? ''
            : ` With '${SHORTEN}' this call may pass sooner, with fewer output tokens.`),
        { retryAfterMs: denial.retryAfterMs, details: nameOf(denial.counter) },
      );
    case 'rate_limit':
      return rateLimitReached(denial, estimate);
    case 'too_large':
      return tooLarge(denial.counter, denial.maxHold, estimate, wouldFit);
    case 'too_many_users':
      if (denial.counter.subjectType === 'tag') return tooManyTagValues(denial.counter);
      return apiError(
        'too_many_users',
        'This limit counts as many end users as it may; no further one can be told apart in its window.',
        { details: nameOf(denial.counter) },
      );
    case 'insufficient':
      return insufficient(denial.counter, denial.ceiling, estimate, wouldFit);
  }
}

function tooManyTagValues(counter: CounterSpec): ApiError {
  const { name } = parseTag(counter.subjectId);
  const message =
    `This limit counts as many values of the tag '${name}' as it may, and this one is new: use a value that is open, or have ` +
    "an administrator raise the tag's max_values; a value without calls is closed after its idle_days.";
  return apiError('too_many_tag_values', message, { details: nameOf(counter), param: 'x-tollgate-tags' });
}

/** Says what the refused field would hold if the model's window were its bound; as often as the upstream reads it, again. */
export function withAmount(error: ApiError, card: RateCard): ApiError {
  const { maxInputTokens } = card.limits;
  const price = card.tiers.default;
  if (maxInputTokens === null || !price) return error;
  const isLong = price.longContextAboveTokens !== null && maxInputTokens >= price.longContextAboveTokens;
  const { text } = (isLong ? price.long : null) ?? price.short;
  if (text === null) return error;
  const amount = formatUsd(quotientUp(maxInputTokens * text.dearestInput, text.denominator));
  const message = `${error.message} Held at all that the model can read, it would take $${amount} for each time that it reads.`;
  const { param, details, headers } = error;
  return apiError(error.code, message, { param, details, headers });
}

/** A call whose tools that the upstream runs are what there is no money for. */
export function toolsTooDear(denial: Denial, estimate: Estimate): ApiError {
  const needed = claimed('cost_usd', smallestClaim(estimate));
  const fees = estimate.hosted?.fees ?? {};
  const isSearch = 'web_search_calls' in fees || 'web_search_preview_calls' in fees;
  const [tool, remedy] = isSearch
    ? ['a web search', 'Turn web search off in your client']
    : ['a tool that the upstream runs', 'Leave that tool out'];
  const message =
    `With ${tool} this call may cost up to $${formatUsd(needed)}, more than is left: after each call of it the model reads up to ` +
    `its whole window. ${remedy}, give a lower 'max_tool_calls', or use a cheaper model; docs/CLIENTS.md says how in each client.` +
    wayOutOf(denial, estimate);
  return apiError('hold_too_large', message, { param: 'tools' });
}

const SHORTEN = 'x-tollgate-on-shortage: shorten';

function wayOutOf(denial: Denial, estimate: Estimate): string {
  if (denial.reason === 'too_large') return shorter(denial.counter.meter, denial.maxHold, estimate);
  if (denial.reason !== 'insufficient' || denial.counter === null) return '';
  return shorter(denial.counter.meter, denial.ceiling, estimate);
}

/** What a call that takes no shortened answer would get with one; empty where that would not pass either. */
function shorter(meter: Meter, left: bigint, estimate: Estimate): string {
  if (estimate.wholeAnswerTokens === null) return '';
  const tokens = outputTokensWithin(meter, estimate, left);
  if (tokens === null || tokens < SMALLEST_USEFUL_OUTPUT_TOKENS) return '';
  return ` It takes no shortened answer: with the header '${SHORTEN}' it would pass with at most ${tokens} output tokens.`;
}

export function ledgerUnavailable(): ApiError {
  return apiError('ledger_unavailable', 'The ledger cannot admit calls just now.', { retryAfterMs: 1000 });
}

/** A raise is part of its limit. */
function nameOf(counter: CounterSpec | null) {
  if (counter === null) return { limit_id: null, limit_type: null };
  const type = counter.source === 'raise' ? 'limit' : counter.source;
  return {
    limit_id: sourceIdOf(counter.id),
    limit_type: type,
    ...(counter.name ? { limit_name: counter.name } : {}),
  };
}

/** `limit`, or with its name: `limit "Q4 research"`. */
function called({ source, name }: CounterSpec): string {
  const what = source === 'raise' ? 'limit' : source;
  return name ? `${what} ${JSON.stringify(name)}` : what;
}

/** An amount of a meter as people write it: `$1.25`, `1200 tokens`. */
function say(meter: Meter, amount: bigint): string {
  if (meter === 'cost_usd') return `$${formatUsd(amount)}`;
  return `${plain(amount)} ${meter === 'concurrency' ? 'calls at once' : meter.replace('_', ' ')}`;
}

function plain(amount: bigint): string {
  return formatUsd(amount).replace(/\.0+$/, '');
}

function insufficient(
  counter: CounterSpec | null,
  ceiling: bigint,
  estimate: Estimate,
  wouldFit: WouldFit,
): ApiError {
  const meter = counter?.meter ?? 'cost_usd';
  const left = ceiling > 0n ? ceiling : 0n;
  const needed = claimed(meter, smallestClaim(estimate));
  const { text, details } = fitting(meter, left, estimate, wouldFit);
  const why =
    counter === null
      ? 'This team has no budget: no usable grant and no cost limit. An administrator can add one.'
      : `The ${called(counter)} has ${say(meter, left)} left, and this call may use up to ${say(meter, needed)}.`;
  const unit = meter === 'cost_usd' ? 'usd' : meter;
  const write = meter === 'cost_usd' ? formatUsd : plain;
  const endsAtMs = counter === null || counter.source === 'grant' ? null : counter.endsAtMs;
  const resetsAt = endsAtMs === null ? null : new Date(endsAtMs).toISOString();
  const more = ` An administrator can give more${resetsAt === null ? '' : `; it resets at ${resetsAt}`}.`;
  return apiError('insufficient_quota', `${why}${text || (counter === null ? '' : more)}`, {
    details: {
      ...nameOf(counter),
      [`remaining_${unit}`]: write(left),
      [`needed_${unit}`]: write(needed),
      resets_at: resetsAt,
      ...details,
    },
  });
}

/** What would pass where so much is left: a shorter answer, or less of a job. The text begins with a space, or is empty. */
function fitting(meter: Meter, left: bigint, estimate: Estimate, wouldFit: WouldFit) {
  if (wouldFit === null) {
    const tokens = outputTokensWithin(meter, estimate, left);
    const isUseful = tokens !== null && tokens >= SMALLEST_USEFUL_OUTPUT_TOKENS;
    const fits = isUseful ? ` With at most ${tokens} output tokens it would fit.` : '';
    return { text: shorter(meter, left, estimate) || fits, details: { affordable_output_tokens: tokens } };
  }
  const { text, details } = wouldFit(meter === 'cost_usd' ? left : 0n);
  return { text: ` ${text}`, details };
}

function tooLarge(counter: CounterSpec, maxHold: bigint, estimate: Estimate, wouldFit: WouldFit): ApiError {
  const { meter } = counter;
  const { text, details } = fitting(meter, maxHold, estimate, wouldFit);
  const remedy = wouldFit === null ? ': lower its output limit or its input.' : '.';
  return apiError(
    'hold_too_large',
    `One call may hold at most ${say(meter, maxHold)} here, and this one may use up to ` +
      `${say(meter, claimed(meter, smallestClaim(estimate)))}${remedy}${text}`,
    { details: { ...nameOf(counter), ...details } },
  );
}

function rateLimitReached(
  { counter, remaining, retryAfterMs }: Extract<Denial, { reason: 'rate_limit' }>,
  estimate: Estimate,
): ApiError {
  const { meter, rollingMs, amount } = counter;
  const window = rollingMs === null ? '' : ` in ${rollingMs / 1000} seconds`;
  const kind = meter === 'requests' || meter === 'concurrency' ? 'requests' : 'tokens';
  const left = remaining > 0n ? remaining : 0n;
  return apiError(
    'rate_limit_exceeded',
    `The ${called(counter)} of ${say(meter, amount)}${window} is reached.${shorter(meter, left, estimate)}`,
    {
      retryAfterMs,
      details: nameOf(counter),
      headers: {
        [`x-ratelimit-limit-${kind}`]: plain(amount),
        [`x-ratelimit-remaining-${kind}`]: String(left / 1_000_000_000_000n),
        [`x-ratelimit-reset-${kind}`]: `${retryAfterMs}ms`,
      },
    },
  );
}

/** An error of ours instead of the upstream's response, after the call was sent. */
export function errorResponse(error: ApiError, response: UpstreamResponse): UpstreamResponse {
  const body = errorBody(error);
  return {
    ...response,
    ending: 'complete',
    status: ERRORS[error.code].status,
    headers: errorHeaders(error),
    body,
    readable: body,
  };
}
