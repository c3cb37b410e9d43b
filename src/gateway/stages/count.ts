/**
 * Count: where a call's input would hold much of what is left, its tokens are counted before its money is held, or what other
 * replicas counted is looked up. Owns: when that is worth it. Does not own: how it is counted (counting.ts, count-sharing.ts).
 */
import { ApiError } from '../../domain/errors.ts';
import { claimUpTo, smallestClaim } from '../../domain/estimate.ts';
import { imageTokens } from '../../domain/images.ts';
import type { Meter } from '../../domain/limit.ts';
import { unshortened } from '../../domain/open-ended.ts';
import { claimed } from '../../domain/quantities.ts';
import { uuidV7 } from '../../ledger/events.ts';
import { type InputParts, mayHaveParts } from '../../openai/input-parts.ts';
import { type ParsedRequest, readParts } from '../../openai/request.ts';
import { countPrompt } from '../../openai/usage/count.ts';
import { type AnchorUse, HIDDEN_TOKENS } from '../anchors.ts';
import type { GatewayDeps } from '../deps.ts';
import { type Estimated, estimateWithin } from './estimate.ts';

/** A twentieth of what is free is worth a count. */
const PARTS = 20n;
/** Smaller inputs cost so little that they are counted only where they would be refused. */
export const COUNTED_BYTES_LEAST = 1024;

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
  const { anchors, counting, sharing, clock } = deps;
  const { request, card } = estimated;
  const { operation } = request;
  if (anchors === null || card === null || !operation.billable || operation.model === null) return false;
  // Of media, and of what the gateway asks for itself, the body says nothing of the input.
  if (request.descriptor.usage?.media !== undefined) return false;
  if (anchors.isBroken(operation.model, clock.nowMs())) return false;
  const canCount =
    (request.inputParts !== null ? sharing?.hasReplicas === true : isUnread(request)) ||
    counting.encodings?.canCount(request) === true ||
    counting.upstream?.canCount(request) === true;
  return canCount && isWorthIt(deps, estimated);
}

/** Returns the same call with the bound of its counted input; the call as it was where none could be had. */
export async function counted(deps: GatewayDeps, asked: Estimated): Promise<Estimated> {
  const { encodings, upstream } = deps.counting;
  let estimated = await byReplicas(deps, byMemory(deps, asked));
  const isOpen = estimated === asked || isWorthIt(deps, estimated);
  if (isOpen && encodings?.canCount(asked.request)) estimated = await byEncoding(deps, estimated);
  if (!upstream?.canCount(asked.request) || !isWorthIt(deps, estimated)) return estimated;
  const tokens = await upstream.count(asked.request, uuidV7(deps.clock.nowMs()));
  if (tokens === null) return estimated;
  deps.metrics.recordInputCount('upstream');
  const remote = remoteImageTokens(asked);
  return remote === null
    ? estimated
    : within(deps, estimated, { ...useOf(estimated), bound: tokens + HIDDEN_TOKENS + remote });
}

/** What it begins with was not looked up, because most calls of its team share nothing. */
function isUnread({ inputParts, members, descriptor, body }: ParsedRequest): boolean {
  return inputParts === null && members !== null && mayHaveParts(descriptor, body);
}

/** Looks up what was counted here for the leading items of the call, where that was not worth it before. */
function byMemory(deps: GatewayDeps, asked: Estimated): Estimated {
  const { request } = asked;
  const inputParts = isUnread(request) ? readParts(request) : null;
  if (inputParts === null) return asked;
  const use = findIn(deps, asked, inputParts);
  const read = { ...asked, request: { ...request, inputParts } };
  return use === null ? read : within(deps, read, use);
}

/** Takes over what other replicas counted for the leading items of the call. */
async function byReplicas(deps: GatewayDeps, asked: Estimated): Promise<Estimated> {
  const { sharing, anchors, clock } = deps;
  const { inputParts, operation } = asked.request;
  const { teamId } = asked.account.principal;
  if (anchors === null || inputParts === null || operation.model === null || !sharing?.hasReplicas)
    return asked;
  const fingerprints = anchors.likelyFingerprints(inputParts);
  const counts = await sharing.find(teamId, operation.model, fingerprints);
  if (counts.length === 0) return asked;
  anchors.take(counts, clock.nowMs());
  const use = findIn(deps, asked, inputParts);
  return use === null ? asked : within(deps, asked, use);
}

async function byEncoding(deps: GatewayDeps, asked: Estimated): Promise<Estimated> {
  const { counting, metrics, bodyBounds } = deps;
  const parts = (await counting.encodings?.count(asked.request, bodyBounds)) ?? null;
  if (parts === null) return asked;
  metrics.recordInputCount('encoding');
  const use = findIn(deps, asked, parts);
  return use === null ? asked : within(deps, asked, use);
}

function findIn(
  { anchors, clock }: GatewayDeps,
  { account, request: { operation }, card }: Estimated,
  parts: InputParts,
): AnchorUse | null {
  const { model, beyondText, kept } = operation;
  if (anchors === null || card === null || model === null) return null;
  const scope = { teamId: account.principal.teamId, model, wanted: kept?.reasoningContext ?? null };
  return anchors.find(scope, parts, beyondText, card.limits.imageRule, clock.nowMs());
}

const NOTHING_TO_LEARN = { bound: null, fingerprints: [], elements: '', hasReasoning: false, wanted: null };

function useOf({ anchor, account, request }: Estimated): AnchorUse {
  const { teamId } = account.principal;
  return anchor ?? { ...NOTHING_TO_LEARN, teamId, model: request.operation.model ?? '' };
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

/** Returns the input tokens by the upstream's tokeniser, where it reports no usage; null: they are not counted. */
export function promptTokens({ profile, trust }: GatewayDeps, request: ParsedRequest): number | null {
  const countTokens = profile.text?.countTokens ?? null;
  const { body, descriptor, operation } = request;
  if (countTokens === null || operation.beyondText !== null) return null;
  if (trust?.reportsUsage(descriptor.name, operation.model ?? '')) return null;
  return countPrompt(body, countTokens);
}
