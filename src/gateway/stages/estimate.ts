/** Estimate: from what is asked for to the most that it can cost. */
import type { ReservationRequest } from '../../admission/decide.ts';
import type { Account, CallKind } from '../../domain/budget.ts';
import { ApiError, apiError } from '../../domain/errors.ts';
import { type Estimate, estimate as estimateOf, smallestClaim } from '../../domain/estimate.ts';
import { CALLS_WRITTEN_IN, hostedBound } from '../../domain/hosted.ts';
import { backgroundJob, type PlannedJob } from '../../domain/job-terms.ts';
import { type OnShortage, unshortened } from '../../domain/open-ended.ts';
import type { Operation } from '../../domain/operation.ts';
import { estimateWithTrust } from '../../domain/output-trust.ts';
import type { RateCard } from '../../domain/price.ts';
import { NOTHING_USED } from '../../domain/quantities.ts';
import type { InputParts } from '../../openai/input-parts.ts';
import type { ParsedRequest } from '../../openai/request.ts';
import type { AnchorUse } from '../anchors.ts';
import { type Call, type Stopped, stoppedAs } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import type { Parsed } from './parse.ts';

export interface Estimated {
  readonly kind: 'estimated';
  readonly call: Call;
  readonly account: Account;
  readonly generation: number;
  readonly request: ParsedRequest;
  readonly callKind: CallKind;
  readonly onShortage: OnShortage | null;
  /** Null: the operation has no price, because it costs nothing. */
  readonly card: RateCard | null;
  readonly estimate: Estimate;
  /** What was counted of its input before; null: nothing can be. */
  readonly anchor: AnchorUse | null;
  /** The call as it was before, while another upstream may try it; null: none may. */
  readonly again: Parsed | null;
  /** What goes on after its response; null: nothing does. */
  readonly job: PlannedJob | null;
}

export function estimate(deps: GatewayDeps, parsed: Parsed): Estimated | Stopped {
  const { call, account, generation, request, callKind, onShortage } = parsed;
  const { operation } = request;
  const priced = operation.pricedAs ?? operation.model;
  const card = priced === null ? null : deps.catalog.rates.find(priced, deps.clock.nowMs());
  const parts = request.inputParts;
  const anchor = parts === null || card === null ? null : anchorOf(deps, parsed, parts, card);
  const estimated =
    deps.upstream === null
      ? NO_UPSTREAM
      : trusted(deps, request, card, estimateUpTo(deps, operation, card, CALLS_WRITTEN_IN, anchor));
  if (estimated instanceof ApiError) return stoppedAs(parsed, estimated);
  call.ended('estimate');
  return {
    kind: 'estimated',
    call,
    account,
    generation,
    request,
    callKind,
    onShortage,
    card,
    estimate: estimated,
    anchor,
    again: mayFailOver(deps, parsed) ? parsed : null,
    job: jobOf(operation, card, estimated),
  };
}

function jobOf({ job, hosted }: Operation, card: RateCard | null, estimate: Estimate): PlannedJob | null {
  if (job === undefined || card === null) return null;
  return backgroundJob(card.model, card.tiers, estimate.hosted, hosted?.containers ?? null);
}

function mayFailOver({ upstreams, target }: GatewayDeps, { request, account, attempt }: Parsed): boolean {
  return (
    upstreams !== null && target !== null && upstreams.hasOthers(request, account.principal, target, attempt)
  );
}

function anchorOf(
  { anchors, clock }: GatewayDeps,
  { account, request: { operation } }: Parsed,
  parts: InputParts,
  card: RateCard,
): AnchorUse | null {
  if (anchors === null || !operation.billable || operation.model === null) return null;
  const wanted = operation.kept?.reasoningContext ?? null;
  const scope = { teamId: account.principal.teamId, model: operation.model, wanted };
  return anchors.find(scope, parts, operation.beyondText, card.limits.imageRule, clock.nowMs());
}

/** Estimates again, with what was counted meanwhile. */
export function estimateWithin(
  deps: GatewayDeps,
  { request, card, estimate }: Estimated,
  anchor: AnchorUse,
): Estimate | ApiError {
  const calls = estimate.hosted?.calls ?? CALLS_WRITTEN_IN;
  return trusted(deps, request, card, estimateUpTo(deps, request.operation, card, calls, anchor));
}

/** Estimates with this many calls of tools that the upstream runs, or as many as the client allows. */
function estimateUpTo(
  deps: GatewayDeps,
  operation: Operation,
  card: RateCard | null,
  callsWrittenIn: number,
  anchor: AnchorUse | null = null,
): Estimate | ApiError {
  // What goes on in the background is no time of the call.
  const upstreamMsAtMost = operation.job === undefined ? (deps.target?.callMs ?? null) : null;
  if (operation.hosted === null)
    return estimateOf(operation, card, {
      strict: true,
      inputAtMost: anchor?.bound ?? null,
      upstreamMsAtMost,
    });
  const { model, beyondText } = operation;
  const context = { model: model ?? '', atMs: deps.clock.nowMs(), callsWrittenIn, beyondText };
  const hosted = hostedBound(operation.hosted, deps.catalog.rates, context);
  if (hosted instanceof ApiError) return hosted;
  return estimateOf(operation, card, { strict: true, hosted, upstreamMsAtMost });
}

/** Returns the same call with half of the tool calls that were to be written in; null: that is no way to need less. */
export function withFewerToolCalls(deps: GatewayDeps, estimated: Estimated): Estimated | null {
  const { request, card, estimate } = estimated;
  const { operation } = request;
  if (estimate.hosted === null || operation.hosted?.calls !== null || estimate.hosted.calls < 2) return null;
  const most = Math.floor(estimate.hosted.calls / 2);
  const fewer = trusted(deps, request, card, estimateUpTo(deps, operation, card, most));
  if (fewer instanceof ApiError) return null;
  return { ...estimated, estimate: fewer, job: jobOf(operation, card, fewer) };
}

/** Where it is not sure that the upstream keeps an output limit, no estimate rests on it. */
function trusted(
  { trust, profile }: GatewayDeps,
  { descriptor, operation }: ParsedRequest,
  card: RateCard | null,
  estimate: Estimate | ApiError,
): Estimate | ApiError {
  if (trust === null || card === null || estimate instanceof ApiError) return estimate;
  if (descriptor.outputLimitField === null || operation.model === null) return estimate;
  const keepsLimits = trust.keeps(descriptor.name, operation.model);
  const { maxOutputTokens } = profile;
  return estimateWithTrust(estimate, { ...card.limits, model: card.model }, { maxOutputTokens, keepsLimits });
}

const NO_UPSTREAM = apiError(
  'upstream_not_configured',
  'This gateway has no upstream: its administrator must set OPENAI_API_KEY.',
);

/** How far the answer of an open-ended call may be shortened: its header says, else its key, else its team. */
export function sparing({ estimate, onShortage }: Estimated, account: Account): Estimate {
  const isWhole = (onShortage ?? account.onShortage) === 'refuse';
  return isWhole && estimate.openEnded ? unshortened(estimate) : estimate;
}

export const FREE: ReservationRequest['size'] = { type: 'fixed', claim: NOTHING_USED };

/**
 * A call whose client set no output limit holds its share of what is free; that limit is written in. Where the upstream
 * is not trusted to keep it, the call holds more than what is written in.
 */
export function sizeOf(estimate: Estimate, clientLimit: number | null): ReservationRequest['size'] {
  if (estimate.openEnded) return { type: 'open_ended', estimate };
  const outputLimit = clientLimit === null ? estimate.outputCeiling : null;
  return { type: 'fixed', claim: smallestClaim(estimate), outputLimit };
}
