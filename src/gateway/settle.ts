/** Settle: from how the upstream's answer ended to the call's one event. */
import { costOf, type RateCard, tierBilled } from '../domain/price.ts';
import type { MeteredResponse } from '../domain/usage.ts';
import type { Outcome } from '../ledger/events.ts';
import { isOpenAiError } from '../openai/errors.ts';
import type { Answer } from './answer.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { meter } from './meter.ts';

export interface Settled extends Outcome {
  /** The rate card's name of the model that was billed; null: nothing had a price. */
  pricedModel: string | null;
}

type Verdict = Pick<Settled, 'outcome' | 'provenance' | 'reason' | 'cost' | 'priceId' | 'pricedModel'>;

/** Meters the answer and ends the hold; nothing is left to fail after it. */
export function settle(deps: GatewayDeps, call: Call, answer: Answer): Settled {
  const metered = meter(call, answer);
  call.ended('meter');
  const settled: Settled = {
    ...verdict(call, answer, metered),
    upstreamStatus: answer.status || null,
    upstreamRequestId: headerOf(answer, 'x-request-id'),
    responseModel: metered.model,
    serviceTier: metered.serviceTier,
    usage: metered.usage,
    stageUs: call.stageUs,
  };
  deps.ledger.end(call.hold!, settled);
  return settled;
}

function headerOf(answer: Answer, name: string): string | null {
  const value = answer.headers[name];
  return value === undefined ? null : String(value).slice(0, 200);
}

/** What the call cost, and how we know. Whatever nobody can know stays charged at the hold. */
function verdict(call: Call, answer: Answer, metered: MeteredResponse): Verdict {
  const { operation } = call.request!;
  const card = call.card;
  const free = { priceId: null, pricedModel: null };
  const dearest = {
    priceId: call.estimate!.priceId,
    pricedModel: nameOf(card),
    cost: call.hold!.amount,
  };
  const unknown = (reason: string): Verdict => ({
    outcome: 'unknown',
    provenance: 'unknown',
    reason,
    ...dearest,
  });
  const estimated = (reason: string): Verdict => ({
    outcome: 'settled',
    provenance: 'estimated',
    reason,
    ...dearest,
  });
  const voided = (reason: string): Verdict => ({
    outcome: 'voided',
    provenance: 'reported',
    reason,
    cost: 0n,
    ...free,
  });

  if (answer.ending === 'unreachable') return voided('upstream_unreachable');
  if (answer.status >= 300 && answer.ending === 'complete') {
    return isVoid(answer) ? voided('upstream_error') : unknown('upstream_error');
  }
  if (metered.usage === null && operation.billable) {
    if (answer.ending === 'abandoned') return estimated('client_gone');
    if (answer.ending === 'interrupted') return unknown('upstream_interrupted');
    if (answer.ending === 'timeout') return unknown('upstream_timeout');
    if (answer.ending === 'cut') return unknown('drain_timeout');
    return estimated(answer.sawError ? 'upstream_error' : 'usage_missing');
  }
  if (!operation.billable) {
    const reason = answer.ending === 'complete' ? null : `upstream_${answer.ending}`;
    return { outcome: 'settled', provenance: 'reported', reason, cost: 0n, ...free };
  }
  const tier = tierBilled(card!, metered.serviceTier);
  const price = tier && card!.tiers[tier];
  if (!price) return estimated('tier_unpriced');
  const cost = costOf(metered.usage!, price);
  if (cost === null) return estimated('usage_missing');
  const reason = cost > call.hold!.amount ? 'overrun' : call.clientGone ? 'client_gone' : null;
  return {
    outcome: 'settled',
    provenance: 'reported',
    reason,
    cost,
    priceId: price.id,
    pricedModel: price.model,
  };
}

function nameOf(card: RateCard | null): string | null {
  return card?.tiers.default?.model ?? null;
}

/**
 * An error that OpenAI itself reports bills nothing. One without its body was made by something in between: below 500 the
 * request was turned away, from 500 on nobody knows whether it had been served (and a 408 may come after it was).
 */
function isVoid(answer: Answer): boolean {
  if (answer.readable && isOpenAiError(answer.readable)) return true;
  return answer.status < 500 && answer.status !== 408;
}
