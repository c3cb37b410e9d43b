/**
 * Count: where a call's input would hold much of what is left, its tokens are counted before its money is held. Owns: when that
 * is worth it. Does not own: how it is counted (counting.ts).
 */
import { ApiError } from '../../domain/errors.ts';
import { claimUpTo, smallestClaim } from '../../domain/estimate.ts';
import { imageTokens } from '../../domain/images.ts';
import type { Meter } from '../../domain/limit.ts';
import { unshortened } from '../../domain/open-ended.ts';
import { claimed } from '../../domain/quantities.ts';
import { uuidV7 } from '../../ledger/events.ts';
import { type AnchorUse, HIDDEN_TOKENS } from '../anchors.ts';
import type { GatewayDeps } from '../deps.ts';
import { type Estimated, estimateWithin } from './estimate.ts';

/** A twentieth of what is free is worth a count. */
const PARTS = 20n;

/** Whether a count of its input may change what becomes of the call: it would be refused, wait, be shortened, or take much. */
function isWorthIt(
  { ledger, clock }: GatewayDeps,
  { account, callKind, card, estimate }: Estimated,
): boolean {
  const longAbove = card?.tiers.default?.longContextAboveTokens ?? null;
  if (longAbove !== null && estimate.inputTokens >= longAbove) return true;
  const input = claimUpTo(estimate, 0);
  const whole = smallestClaim(estimate.openEnded ? unshortened(estimate) : estimate);
  const { pools } = ledger.leases.poolsOf(account, callKind, clock.nowMs());
  for (const { meter, room, maxHold } of pools) {
    if (!countsInput(meter)) continue;
    const wanted = claimed(meter, whole);
    if (claimed(meter, input) * PARTS > room || wanted > room) return true;
    if (maxHold !== null && wanted > maxHold) return true;
  }
  return false;
}

function countsInput(meter: Meter): boolean {
  return meter === 'cost_usd' || meter === 'tokens' || meter === 'input_tokens';
}

/** Whether the input can be counted, and is worth it. */
export function mayCount(deps: GatewayDeps, estimated: Estimated): boolean {
  const { anchors, counting, clock } = deps;
  const { request, card } = estimated;
  const { operation } = request;
  if (anchors === null || card === null || !operation.billable || operation.model === null) return false;
  if (anchors.isBroken(operation.model, clock.nowMs())) return false;
  const canCount =
    counting.encodings?.canCount(request) === true || counting.upstream?.canCount(request) === true;
  return canCount && isWorthIt(deps, estimated);
}

/** Returns the same call with the bound of its counted input; the call as it was where none could be had. */
export async function counted(deps: GatewayDeps, asked: Estimated): Promise<Estimated> {
  const { encodings, upstream } = deps.counting;
  let estimated = asked;
  if (encodings?.canCount(asked.request)) estimated = await byEncoding(deps, asked);
  if (!upstream?.canCount(asked.request) || !isWorthIt(deps, estimated)) return estimated;
  const tokens = await upstream.count(asked.request, uuidV7(deps.clock.nowMs()));
  if (tokens === null) return estimated;
  deps.metrics.recordInputCount('upstream');
  const remote = remoteImageTokens(asked);
  return remote === null
    ? estimated
    : within(deps, estimated, { ...useOf(estimated), bound: tokens + HIDDEN_TOKENS + remote });
}

async function byEncoding(deps: GatewayDeps, asked: Estimated): Promise<Estimated> {
  const { counting, anchors, clock, metrics, bodyBounds } = deps;
  const { account, request, card } = asked;
  const parts = (await counting.encodings?.count(request, bodyBounds)) ?? null;
  const { model, beyondText, kept } = request.operation;
  if (parts === null || anchors === null || card === null || model === null) return asked;
  metrics.recordInputCount('encoding');
  const scope = { teamId: account.principal.teamId, model, wanted: kept?.reasoningContext ?? null };
  const use = anchors.find(scope, parts, beyondText, card.limits.imageRule, clock.nowMs());
  return use === null ? asked : within(deps, asked, use);
}

const NO_KEYS = { bound: null, keys: [], elements: '', hasReasoning: false, wanted: null };

function useOf({ anchor, request }: Estimated): AnchorUse {
  return anchor ?? { ...NO_KEYS, model: request.operation.model ?? '' };
}

function within(deps: GatewayDeps, estimated: Estimated, use: AnchorUse): Estimated {
  const known = estimated.anchor?.bound ?? null;
  const bound = known === null || use.bound === null ? (use.bound ?? known) : Math.min(known, use.bound);
  const anchor = { ...use, bound };
  const estimate = estimateWithin(deps, estimated, anchor);
  return estimate instanceof ApiError ? estimated : { ...estimated, anchor, estimate };
}

/** What addresses name may grow until the call reads it. Returns the most tokens of such images; null: not bounded. */
function remoteImageTokens({ request, card }: Estimated): number | null {
  const rule = card?.limits.imageRule ?? null;
  let tokens = 0;
  for (const image of request.operation.beyondText?.images ?? []) {
    if (image.size !== null) continue;
    const most = rule === null ? null : imageTokens(rule, image);
    if (most === null) return null;
    tokens += most;
  }
  return tokens;
}
