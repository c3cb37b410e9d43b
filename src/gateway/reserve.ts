/** Reserve: takes the call's worst case out of every counter it touches, and journals the hold. */
import type { ReservationRequest } from '../admission/decide.ts';
import { NOTHING_USED } from '../domain/claim.ts';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { smallestClaim } from '../domain/open-ended.ts';
import type { Hold, QueueOutcome } from '../ledger/holds.ts';
import { authenticate, whyNotAllowed } from './authenticate.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { refusalOf, unavailable } from './refusal.ts';
import { shuttingDown } from './respond.ts';

/** Answers null when the call holds its money and the journal has it. */
export async function reserve(deps: GatewayDeps, call: Call): Promise<ApiError | 'gone' | null> {
  const held = await takeUnderTheRules(deps, call);
  if (held === 'gone') return 'gone';
  if (held === 'cut') return shuttingDown();
  if (isApiError(held)) return held;
  if (held.kind !== 'hold') return refused(deps, call, held);
  if (call.clientGone) {
    deps.ledger.cancel(held);
    return 'gone';
  }
  call.hold = held;
  call.outputLimit = held.outputLimit;
  if (await begin(deps, call, held)) return null;
  deps.ledger.cancel(held);
  return unavailable();
}

function refused(deps: GatewayDeps, call: Call, outcome: Exclude<QueueOutcome, Hold>): ApiError {
  if (outcome.kind !== 'denial') return unavailable();
  if (outcome.reason === 'insufficient' && outcome.counter !== null) deps.onSpent(outcome.counter);
  return refusalOf(outcome, call.estimate!);
}

function begin(deps: GatewayDeps, call: Call, hold: Hold): Promise<boolean> {
  const { operation } = call.request!;
  const { teamId, keyId } = call.account!.principal;
  const facts = {
    teamId,
    keyId,
    operation: operation.name,
    model: operation.model ?? '',
    stream: operation.stream,
    endUser: call.endUser,
    priceId: call.estimate!.priceId,
    outputLimit: call.outputLimit,
  };
  return new Promise((resolve) => deps.ledger.begin(hold, facts, resolve));
}

/** The rules and the key may change while the body comes or the call waits: what holds is what they are at the hold. */
async function takeUnderTheRules(
  deps: GatewayDeps,
  call: Call,
): Promise<QueueOutcome | ApiError | 'gone' | 'cut'> {
  const startedMs = deps.clock.monotonicMs();
  for (;;) {
    const refused = (await authenticate(deps, call)) ?? whyNotAllowed(call);
    if (refused) return refused;
    const outcome = await take(deps, call, deps.clock.monotonicMs() - startedMs);
    if (typeof outcome === 'string' || outcome.kind !== 'changed') return outcome;
  }
}

async function take(deps: GatewayDeps, call: Call, waitedMs: number): Promise<QueueOutcome | 'gone' | 'cut'> {
  const reserved = deps.ledger.reserve(requestOf(call, waitedMs));
  if (reserved.kind !== 'queued') return reserved;
  call.waited = true;
  // Its client may leave while the call waits, and the gateway may stop: it then leaves the queue, holding nothing.
  const outcome = await new Promise<QueueOutcome | 'gone' | 'cut'>((resolve) => {
    reserved.onOutcome = resolve;
    call.onClientGone = () => resolve('gone');
    call.onCut = () => resolve('cut');
    if (call.clientGone) resolve('gone');
  });
  call.onClientGone = null;
  call.onCut = null;
  if (outcome === 'gone' || outcome === 'cut') reserved.leave();
  return outcome;
}

function requestOf(call: Call, waitedMs: number): ReservationRequest {
  const { operation, body } = call.request!;
  return {
    account: call.account!,
    kind: call.kind,
    isFree: !operation.billable,
    size: operation.billable ? sizeOf(call) : { type: 'fixed', claim: NOTHING_USED },
    waitedMs,
    bytes: body.length,
  };
}

/** The client set no output limit: its share of what is free decides how much it may hold, and is written in. */
function sizeOf(call: Call): ReservationRequest['size'] {
  const estimate = call.estimate!;
  if (estimate.openEnded) return { type: 'open_ended', estimate };
  return { type: 'fixed', claim: smallestClaim(estimate) };
}
