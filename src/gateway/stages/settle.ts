/** Settle: from how the upstream's response ended to what the call cost; the rest of its hold is free again. */
import { costOf, type RateCard, tierBilled } from '../../domain/price.ts';
import type { MeteredResponse } from '../../domain/usage.ts';
import type { Outcome } from '../../ledger/events.ts';
import { meterJson } from '../../openai/response.ts';
import { StreamMeter } from '../../openai/usage/stream.ts';
import { isOpenAiError } from '../../openai/wire/errors.ts';
import type { GatewayDeps } from '../deps.ts';
import type { UpstreamResponse } from '../respond.ts';
import { type Forwarded, isEventStream } from './forward.ts';
import type { Reserved } from './reserve.ts';

export interface Settled {
  readonly kind: 'settled';
  readonly reserved: Reserved;
  readonly response: UpstreamResponse;
  readonly outcome: Outcome;
  /** The rate card's name of the model that was billed; null: nothing had a price. */
  readonly pricedModel: string | null;
}

/** What a call cost, and how that is known. */
type Cost = Pick<Outcome, 'outcome' | 'provenance' | 'reason' | 'cost' | 'priceId'> &
  Pick<Settled, 'pricedModel'>;

/** Meters the response and ends the hold in the leases. The event is written by record, in the same turn. */
export function settle(deps: GatewayDeps, { reserved, response }: Forwarded): Settled {
  const metered = meter(reserved, response);
  const { outcome, provenance, reason, cost, priceId, pricedModel } = costOfCall(reserved, response, metered);
  const settled: Outcome = {
    outcome,
    provenance,
    reason,
    upstreamStatus: response.status || null,
    upstreamRequestId: headerOf(response, 'x-request-id'),
    responseModel: metered.model,
    serviceTier: metered.serviceTier,
    usage: metered.usage,
    cost,
    priceId,
  };
  deps.ledger.settle(reserved.hold, settled);
  reserved.call.ended('settle');
  return { kind: 'settled', reserved, response, outcome: settled, pricedModel };
}

function headerOf(response: UpstreamResponse, name: string): string | null {
  const value = response.headers[name];
  return value === undefined ? null : String(value).slice(0, 200);
}

const NOTHING: MeteredResponse = { usage: null, serviceTier: null, model: null };

/** From the response's bytes to its usage. A stream's meter has read along (forward); the rest is read here. */
function meter({ descriptor }: Reserved, response: UpstreamResponse): MeteredResponse {
  if (response.metered) return response.metered;
  const { readable, status, ending, headers } = response;
  if (!readable || descriptor.usage === null || status >= 300 || ending !== 'complete') return NOTHING;
  if (!isEventStream(headers)) return meterJson(descriptor.usage, readable);
  // A stream that came compressed was passed on as it is; its copy is read now.
  const stream = new StreamMeter(descriptor.usage, { stripUsage: false });
  stream.push(readable);
  stream.end();
  return stream.result();
}

/** What cannot be known stays charged at the hold. */
function costOfCall(reserved: Reserved, response: UpstreamResponse, metered: MeteredResponse): Cost {
  const { descriptor, card, hold } = reserved;
  const { ending, status } = response;
  const isMetered = descriptor.class === 'metered';
  if (ending === 'unreachable') return voided('upstream_unreachable');
  if (status >= 300 && ending === 'complete') {
    return isVoid(response) ? voided('upstream_error') : atHold(reserved, 'unknown', 'upstream_error');
  }
  if (!isMetered || card === null) {
    const reason = ending === 'complete' ? null : `upstream_${ending}`;
    return { outcome: 'settled', provenance: 'reported', reason, cost: 0n, priceId: null, pricedModel: null };
  }
  if (metered.usage === null) {
    if (ending === 'abandoned') return atHold(reserved, 'estimated', 'client_gone');
    if (ending === 'interrupted') return atHold(reserved, 'unknown', 'upstream_interrupted');
    if (ending === 'timeout') return atHold(reserved, 'unknown', 'upstream_timeout');
    if (ending === 'cut') return atHold(reserved, 'unknown', 'drain_timeout');
    return atHold(reserved, 'estimated', response.sawError ? 'upstream_error' : 'usage_missing');
  }
  const tier = tierBilled(card, metered.serviceTier);
  const price = tier && card.tiers[tier];
  if (!price) return atHold(reserved, 'estimated', 'tier_unpriced');
  const cost = costOf(metered.usage, price);
  if (cost === null) return atHold(reserved, 'estimated', 'usage_missing');
  const reason = cost > hold.amount ? 'overrun' : reserved.call.clientGone ? 'client_gone' : null;
  return {
    outcome: 'settled',
    provenance: 'reported',
    reason,
    cost,
    priceId: price.id,
    pricedModel: price.model,
  };
}

/** Charged at the hold: `estimated` for good, `unknown` until there is evidence. */
function atHold(
  { card, estimate, hold }: Reserved,
  provenance: 'estimated' | 'unknown',
  reason: string,
): Cost {
  return {
    outcome: provenance === 'unknown' ? 'unknown' : 'settled',
    provenance,
    reason,
    cost: hold.amount,
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

/**
 * An error that OpenAI itself reports bills nothing. One without its body was made by something in between: below 500 the
 * request was turned away; from 500 on it may have been served (and a 408 may come after it was).
 */
function isVoid(response: UpstreamResponse): boolean {
  if (response.readable && isOpenAiError(response.readable)) return true;
  return response.status < 500 && response.status !== 408;
}
