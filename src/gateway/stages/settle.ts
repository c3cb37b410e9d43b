/** Settle: from how the upstream's response ended to what the call cost; the rest of its hold is free again. */

import { costUpTo, type Estimate } from '../../domain/estimate.ts';
import { type ToolCost, toolCost, toolUsage } from '../../domain/hosted.ts';
import { asId, type EventId, momentOfUuidV7 } from '../../domain/ids.ts';
import type { PicoUsd } from '../../domain/money.ts';
import { costOf, includesModel, type Price, type RateCard, tierBilled } from '../../domain/price.ts';
import { chargesTimeAlone } from '../../domain/upstream-time.ts';
import type { AnswerState, MeteredResponse, Usage } from '../../domain/usage.ts';
import type { Outcome } from '../../ledger/events.ts';
import { meterJson } from '../../openai/response.ts';
import { StreamMeter } from '../../openai/usage/stream.ts';
import { isOpenAiError } from '../../openai/wire/errors.ts';
import type { AnchorUse } from '../anchors.ts';
import { SUCCESSES_PER_FAILURE } from '../breaker.ts';
import type { UpstreamResponse } from '../call.ts';
import { type Counted, count } from '../counted.ts';
import type { GatewayDeps } from '../deps.ts';
import { keep } from '../keep.ts';
import { type Forwarded, isEventStream } from './forward.ts';
import type { Reserved } from './reserve.ts';

export interface Settled {
  readonly kind: 'settled';
  readonly reserved: Reserved;
  readonly response: UpstreamResponse;
  /** How far the response came by its own account. */
  readonly state: AnswerState;
  readonly outcome: Outcome;
  /** The rate card's name of the model that was billed; null: nothing had a price. */
  readonly pricedModel: string | null;
}

/** What a call cost, and how that is known. */
type Cost = Pick<Outcome, 'outcome' | 'provenance' | 'reason' | 'cost' | 'priceId'> &
  Pick<Settled, 'pricedModel'>;

/**
 * Meters the response and ends the hold in the leases. The event is written by record, in the same turn.
 * @param sessions of containers that it began, counted by their GiB; null: that could not be found out
 */
export function settle(
  deps: GatewayDeps,
  { reserved, response }: Forwarded,
  sessions: number | null = 0,
): Settled {
  const read = meter(reserved, response);
  const metered = reserved.stated === null ? read : withStated(reserved, read);
  const isCounted = deps.profile.text !== null && reserved.descriptor.usage?.media === undefined;
  const counted = isCounted ? count(deps, reserved, response, metered) : null;
  const { usage, ...charge } = chargeOf(reserved, response, metered, counted, sessions);
  const { outcome, provenance, reason, cost, priceId, pricedModel } = charge;
  const shown = withTools(reserved, metered, usage, sessions);
  const settled: Outcome = {
    outcome,
    provenance,
    reason,
    upstreamStatus: response.status || null,
    upstreamRequestId: headerOf(response, 'x-request-id'),
    responseModel: metered.model,
    serviceTier: metered.serviceTier,
    usage: outcome === 'settled' ? withTime(reserved, response, shown) : shown,
    cost,
    priceId,
  };
  if (reserved.kept !== null) reserved.hold.object = keep(deps, reserved, metered, settled);
  deps.ledger.settle(reserved.hold, settled);
  if (reserved.anchor !== null) learn(deps, reserved.anchor, metered, settled);
  const { breaker } = deps;
  if (outcome === 'settled' && ++breaker.successes % SUCCESSES_PER_FAILURE === 0) breaker.countedMore();
  const mayHaveFailed = outcome === 'unknown' || reserved.estimate.upstreamMs !== null;
  if (mayHaveFailed || breaker.watched > 0) informBreaker(deps, reserved, settled);
  reserved.call.ended('settle');
  return { kind: 'settled', reserved, response, state: metered.state, outcome: settled, pricedModel };
}

/** What the upstream counted bounds later calls; a count above its own bound says that such bounds do not hold. */
function learn(
  { anchors, clock, metrics, log }: GatewayDeps,
  anchor: AnchorUse,
  { usage, state, model: answeredBy, kept }: MeteredResponse,
  { outcome, provenance }: Outcome,
): void {
  const tokens = usage?.input_tokens ?? 0;
  if (anchors === null || tokens === 0) return;
  const { bound, model } = anchor;
  if (bound !== null && tokens > bound) {
    anchors.broke(model, clock.nowMs());
    metrics.recordAnchorBreak();
    log.logger.warn(
      { model, tokens, bound },
      'an input cost more than earlier calls said: bytes bound this model',
    );
    return;
  }
  const isWhole = outcome === 'settled' && provenance === 'reported' && state === 'complete';
  if (isWhole && answeredBy !== null && includesModel([model], answeredBy))
    anchors.learn(anchor, tokens, kept?.reasoningContext ?? null, clock.nowMs());
}

/** Reasons of void outcomes of which nothing was sent. */
const NOT_ANSWERED = new Set(['upstream_unreachable', 'upstream_busy', 'client_gone', 'drain_timeout']);

function withTools(
  { estimate: { hosted } }: Reserved,
  metered: MeteredResponse,
  usage: Usage | null,
  sessions: number | null,
): Usage | null {
  if (usage === null || hosted === null) return usage;
  return { ...usage, ...toolUsage(hosted, metered.hosted, sessions ?? 0) };
}

/** Returns usage with the upstream's time, where that costs money. It was stopped at the end of what was held. */
function withTime<T extends Usage | null>(
  { estimate: { upstreamMs } }: Reserved,
  { totalUs }: UpstreamResponse,
  usage: T,
): T | Usage {
  if (upstreamMs === null) return usage;
  return { ...usage, upstream_seconds: Math.min(totalUs, upstreamMs * 1_000) };
}

function informBreaker(
  { breaker }: GatewayDeps,
  { call, account, callKind, descriptor, hold }: Reserved,
  { outcome, reason, cost }: Outcome,
): void {
  if (descriptor.class !== 'metered') return;
  const { teamId, keyId } = account.principal;
  if (outcome !== 'unknown') {
    const isSent = outcome !== 'voided' || !NOT_ANSWERED.has(reason ?? '');
    // One that is paid by its time is settled however it ended.
    const isBroken = outcome === 'settled' && (reason?.startsWith('upstream_') ?? false);
    breaker.ended(teamId, isBroken ? 'failed' : isSent ? 'answered' : 'neither', call.pass, null);
    return;
  }
  const { model, endUser, tags = null } = callKind;
  const id = asId<EventId>(hold.id);
  const unknown = { id, keyId, model, endUser, tags, admittedMs: momentOfUuidV7(id), charged: cost };
  // What the client or this gateway broke off says nothing of the upstream.
  const answered = reason?.startsWith('upstream_') ? 'failed' : 'neither';
  breaker.ended(teamId, answered, call.pass, unknown);
}

function headerOf(response: UpstreamResponse, name: string): string | null {
  const value = response.headers[name];
  return value === undefined ? null : String(value).slice(0, 200);
}

const NOTHING = { usage: null, usageAtLeast: null, serviceTier: null, model: null, kept: null };
const BROKEN: MeteredResponse = { ...NOTHING, state: 'broken' };
/** It came whole, and cannot be read: compressed in an unknown way, or too large. */
const UNREADABLE: MeteredResponse = { ...NOTHING, state: 'complete' };

/** From the response's bytes to its usage. A stream's meter has read along (forward); the rest is read here. */
export function meter({ descriptor, estimate }: Reserved, response: UpstreamResponse): MeteredResponse {
  const { stream, readable, status, ending, headers } = response;
  // What was billed before is not this call's.
  if (stream && descriptor.usage === null) return { ...NOTHING, state: stream.result().state };
  if (stream)
    return descriptor.usage?.isMeasured ? { ...stream.result(), isMeasured: true } : stream.result();
  if (ending !== 'complete' || status >= 300) return BROKEN;
  if (!readable || descriptor.usage === null || descriptor.isFile) return UNREADABLE;
  if (descriptor.usage.media !== undefined && !isJson(headers)) return UNREADABLE;
  if (!isEventStream(headers)) return meterJson(descriptor.usage, readable);
  // A stream that came compressed was passed on as it is; its copy is read now.
  const copy = new StreamMeter(descriptor.usage, { stripUsage: false, choices: estimate.choices });
  copy.push(readable);
  copy.end();
  return copy.result();
}

/** A whole answer that reports nothing costs what the request itself says, where its price is by that. */
function withStated({ stated, card }: Reserved, metered: MeteredResponse): MeteredResponse {
  if (stated === null || card === null || metered.usage !== null || metered.state !== 'complete')
    return metered;
  const price = priceBilled(card, metered.serviceTier);
  if (price === null || costOf(stated.usage, price) === null) return metered;
  return { ...metered, usage: stated.usage, isMeasured: !stated.isExact };
}

type Charge = Cost & { usage: Usage | null };

/** The cost of the call, and the usage that its event shows: what was reported, or where that is not all, what was counted. */
function chargeOf(
  reserved: Reserved,
  response: UpstreamResponse,
  metered: MeteredResponse,
  counted: Counted | null,
  sessions: number | null,
): Charge {
  const { hold, estimate, card } = reserved;
  if (response.ending === 'over_limit') return overLimit(reserved, response, metered);
  const { usage } = metered;
  if (counted === null || card === null || (!counted.isShort && usage !== null))
    return { ...costOfCall(reserved, response, metered, sessions), usage };
  const cost = costOfCall(reserved, response, { ...metered, usage: counted.usage }, sessions);
  if (cost.provenance !== 'reported' && cost.provenance !== 'estimated') return { ...cost, usage };
  if (cost.outcome === 'voided') return { ...cost, usage };
  // What was counted without a tokeniser is a lower bound, and so is what was held.
  const least = counted.usage === null ? costOfOutput(estimate, counted.outputTokens) : 0n;
  const reason = counted.isShort ? 'usage_short' : 'usage_missing';
  const most = cost.cost > least ? cost.cost : least;
  return {
    ...cost,
    provenance: 'estimated',
    reason: most > hold.amount ? 'overrun' : reason,
    cost: most,
    usage: counted.usage ?? usage,
  };
}

/**
 * The upstream was stopped beyond its limit: what it bills is not known, and not below what it was seen to write. Of every
 * meter the larger of that and the hold counts.
 */
function overLimit(reserved: Reserved, response: UpstreamResponse, metered: MeteredResponse): Charge {
  const { hold, estimate } = reserved;
  const { usageAtLeast, usage } = metered;
  const written = Math.max(
    response.stream?.counter?.tokens ?? 0,
    (usage ?? usageAtLeast)?.output_tokens ?? 0,
  );
  const cost = costOfOutput(estimate, written);
  const most = cost > hold.amount ? cost : hold.amount;
  const { input_tokens, output_tokens } = hold.claim;
  return {
    ...unknown(reserved, metered, 'over_limit'),
    cost: most,
    usage: { input_tokens, output_tokens: Math.max(output_tokens, written) },
  };
}

/** What a call costs at most that wrote this much. */
function costOfOutput(estimate: Estimate, outputTokens: number): PicoUsd {
  const { choices, extraOutputTokens } = estimate;
  return costUpTo(estimate, Math.ceil(Math.max(0, outputTokens - extraOutputTokens) / choices));
}

/** docs/ERRORS.md has this as a table. What cannot be known stays charged at the hold. */
function costOfCall(
  reserved: Reserved,
  response: UpstreamResponse,
  metered: MeteredResponse,
  sessions: number | null,
): Cost {
  const { descriptor, card } = reserved;
  const { ending, status } = response;
  if (ending === 'unreachable') return voided('upstream_unreachable');
  if (ending === 'busy') return voided('upstream_busy');
  if (ending === 'unsent') return voided(reserved.call.clientGone ? 'client_gone' : 'drain_timeout');
  if (status >= 300) {
    return isDeclinedStatus(response)
      ? voided('upstream_error')
      : unknown(reserved, metered, REASONS[ending] ?? 'upstream_error');
  }
  if (descriptor.class === 'free' || (descriptor.class === 'metered' && card === null)) {
    const reason = REASONS[ending];
    return { outcome: 'settled', provenance: 'reported', reason, cost: 0n, priceId: null, pricedModel: null };
  }
  if (metered.usage !== null && card !== null)
    return costOfUsage(reserved, response, card, metered.usage, metered, sessions);
  if (metered.state === 'declined') return voided('upstream_error');
  // The time is known however the call ended.
  if (card !== null && isPaidByTime(reserved, card, metered))
    return costOfUsage(reserved, response, card, {}, { ...metered, isMeasured: true }, sessions);
  if (metered.state === 'complete') return estimated(reserved, 'usage_missing');
  if (metered.state === 'failed') return unknown(reserved, metered, 'upstream_error');
  return unknown(reserved, metered, REASONS[ending] ?? 'upstream_interrupted');
}

/** Why an outcome is not known, by how its connection ended; null: it ended in order. */
const REASONS = {
  complete: null,
  busy: null,
  unsent: null,
  unreachable: null,
  interrupted: 'upstream_interrupted',
  timeout: 'upstream_timeout',
  abandoned: 'client_gone',
  cut: 'drain_timeout',
  over_limit: 'over_limit',
} as const satisfies Record<UpstreamResponse['ending'], string | null>;

const NO_TOOLS: ToolCost = { cost: 0n, isReported: true };

/** Returns what the upstream's tools cost beside the usage; null: that is not known of some that it ran. */
function feesOf(reserved: Reserved, metered: MeteredResponse, sessions: number | null): ToolCost | null {
  const { hosted } = reserved.estimate;
  if (hosted === null) return metered.hosted === undefined ? NO_TOOLS : null;
  return sessions === null ? null : toolCost(hosted, metered.hosted, sessions);
}

function isPaidByTime({ estimate }: Reserved, card: RateCard, { serviceTier }: MeteredResponse): boolean {
  const price = estimate.upstreamMs === null ? null : priceBilled(card, serviceTier);
  return price !== null && chargesTimeAlone(price);
}

function costOfUsage(
  reserved: Reserved,
  response: UpstreamResponse,
  card: RateCard,
  usage: Usage,
  metered: MeteredResponse,
  sessions: number | null,
): Cost {
  const { hold, call } = reserved;
  const price = priceBilled(card, metered.serviceTier);
  if (price === null) return estimated(reserved, 'tier_unpriced');
  const ofTokens = costOf(withTime(reserved, response, usage), price);
  const ofTools = feesOf(reserved, metered, sessions);
  if (ofTokens === null || ofTools === null) return estimated(reserved, 'usage_missing');
  const cost = ofTokens + ofTools.cost;
  const isGone = call.clientGone && !response.hadAll;
  const reason = cost > hold.amount ? 'overrun' : isGone ? 'client_gone' : null;
  const { id, model } = price;
  const billed = { outcome: 'settled', cost, priceId: id, pricedModel: model } as const;
  if (metered.isMeasured || !ofTools.isReported) {
    const why = reason ?? REASONS[response.ending] ?? 'usage_missing';
    return { ...billed, provenance: 'estimated', reason: why };
  }
  return { ...billed, provenance: 'reported', reason };
}

function isJson({ 'content-type': type }: UpstreamResponse['headers']): boolean {
  return /^application\/json\b/i.test(String(type ?? ''));
}

function priceBilled(card: RateCard, serviceTier: string | null): Price | null {
  const tier = tierBilled(card, serviceTier);
  return (tier && card.tiers[tier]) ?? null;
}

/** A whole answer without usage that can be priced: charged at the hold. */
function estimated({ card, estimate, hold }: Reserved, reason: string): Cost {
  const { priceId } = estimate;
  return {
    outcome: 'settled',
    provenance: 'estimated',
    reason,
    cost: hold.amount,
    priceId,
    pricedModel: nameOf(card),
  };
}

/** Charged at the hold, or at what a broken response said that it had used already, if that is more. */
function unknown({ card, estimate, hold }: Reserved, metered: MeteredResponse, reason: string): Cost {
  const { usageAtLeast, serviceTier } = metered;
  const price = card && usageAtLeast && priceBilled(card, serviceTier);
  const atLeast = price && usageAtLeast ? (costOf(usageAtLeast, price) ?? 0n) : 0n;
  return {
    outcome: 'unknown',
    provenance: 'unknown',
    reason,
    cost: atLeast > hold.amount ? atLeast : hold.amount,
    priceId: estimate.priceId,
    pricedModel: nameOf(card),
  };
}

function voided(reason: string): Cost {
  return { outcome: 'voided', provenance: 'reported', reason, cost: 0n, priceId: null, pricedModel: null };
}

function nameOf(card: RateCard | null): string | null {
  return card?.tiers.default?.model ?? null;
}

/** After these the request may have been served: 408 gave up waiting for it, 499 was left by its client. */
const PERHAPS_SERVED = new Set([408, 499]);

/**
 * An error that the API itself reports bills nothing. One without its body was made by something in between: below 500 the
 * request was turned away; from 500 on it may have been served.
 */
function isDeclinedStatus({ ending, status, readable }: UpstreamResponse): boolean {
  if (ending === 'complete' && readable && isOpenAiError(readable)) return true;
  return status < 500 && !PERHAPS_SERVED.has(status);
}
