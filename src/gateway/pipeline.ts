/**
 * The life of a call, stage by stage; each stage is the file of its name and turns one readonly type into the next.
 * Owns: their order, and that whatever happens a hold ends exactly once. Invariant: nothing is forwarded before its hold
 * was journaled.
 */
import { uuidV7 } from '../ledger/events.ts';
import { type Call, respond, type Stopped, warningOf, writeError } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { cancelRecall, recall } from './recall.ts';
import { authenticate } from './stages/authenticate.ts';
import { estimate } from './stages/estimate.ts';
import { forward } from './stages/forward.ts';
import { type Parsed, parse } from './stages/parse.ts';
import { record, recordStopped } from './stages/record.ts';
import { type Reserved, reserve } from './stages/reserve.ts';
import { route } from './stages/route.ts';
import { settle } from './stages/settle.ts';
import { forwardOwned, refuseStrangers } from './tenancy.ts';

/** Takes a call to its end. Rejects on a bug of ours only; its hold has ended then too. */
export async function handle(deps: GatewayDeps, call: Call): Promise<void> {
  try {
    const reserved = await admit(deps, call);
    if (reserved.kind === 'stopped') respondStopped(deps, reserved);
    else await serve(deps, reserved);
  } finally {
    if (call.pass !== null) deps.breaker.leave(call.pass);
  }
}

/** From the request line to a journaled hold. */
async function admit(deps: GatewayDeps, call: Call): Promise<Reserved | Stopped> {
  const routed = route(call);
  if (routed.kind === 'stopped') return routed;
  const authenticated = await authenticate(deps, routed);
  if (authenticated.kind === 'stopped') return authenticated;
  const parsed = await parse(deps, authenticated);
  if (parsed.kind === 'stopped') return parsed;
  if (parsed.request.objects !== null) {
    const stranger = await refuseStrangers(deps, parsed);
    if (stranger !== null) return stranger;
  }
  const names = parsed.request.operation.beyondText?.references ?? null;
  if (names !== null) return admitRecalled(deps, parsed);
  const estimated = estimate(deps, parsed);
  if (estimated.kind === 'stopped') return estimated;
  return reserve(deps, estimated);
}

/** What the upstream keeps is weighed first. */
async function admitRecalled(deps: GatewayDeps, parsed: Parsed): Promise<Reserved | Stopped> {
  const recalled = await recall(deps, parsed);
  if (recalled.kind === 'stopped') return recalled;
  const estimated = estimate(deps, recalled);
  const reserved = estimated.kind === 'stopped' ? estimated : await reserve(deps, estimated);
  if (reserved.kind === 'stopped') cancelRecall(deps, recalled);
  return reserved;
}

/** From the journaled hold to the call's one event. */
async function serve(deps: GatewayDeps, reserved: Reserved): Promise<void> {
  try {
    const isMetered = reserved.descriptor.class === 'metered';
    const forwarded = await (isMetered ? forward(deps, reserved) : forwardOwned(deps, reserved));
    const settled = settle(deps, forwarded);
    try {
      respond(deps, reserved, settled.response, settled.outcome);
    } finally {
      record(deps, settled);
    }
  } catch (error) {
    deps.ledger.abandon(reserved.hold, 'internal_error');
    throw error;
  }
}

/** Nothing was forwarded: says why and what to do. */
function respondStopped(deps: GatewayDeps, stopped: Stopped): void {
  const { call, error, account, endUser } = stopped;
  if (error === null) return;
  const warning = account === null ? null : warningOf(deps, account, endUser);
  writeError(call, error, uuidV7(deps.clock.nowMs()), warning);
  recordStopped(deps, stopped);
}
