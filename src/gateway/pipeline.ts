/**
 * The life of a call, stage by stage; each stage is the file of its name and turns one readonly type into the next.
 * Owns: their order, and that whatever happens a hold ends exactly once. Invariant: nothing is forwarded before its hold
 * was journaled.
 */
import { uuidV7 } from '../ledger/events.ts';
import { type Call, respond, type Stopped, stoppedAs, warningOf, writeError } from './call.ts';
import { beginSessions } from './containers.ts';
import type { GatewayDeps } from './deps.ts';
import { atAnotherUpstream, atKeeper, elsewhere, namesKept, noteEnd } from './fail-over.ts';
import { serveJob } from './job-calls.ts';
import { estimateJob } from './job-estimate.ts';
import { orInstead } from './on-exhausted.ts';
import { beforeRecall, cancelRecall, isOvertaken, recall } from './recall.ts';
import { authenticate } from './stages/authenticate.ts';
import { estimate } from './stages/estimate.ts';
import { forward } from './stages/forward.ts';
import { type Parsed, parse } from './stages/parse.ts';
import { record, recordStopped } from './stages/record.ts';
import { type Reserved, reserve } from './stages/reserve.ts';
import { route } from './stages/route.ts';
import { type Settled, settle } from './stages/settle.ts';
import { tooManyTagValues } from './tag-values.ts';
import { forwardOwned, refuseOthersModel, refuseStrangers } from './tenancy.ts';

/** Takes a call to its end. Rejects on a bug of ours only; its hold has ended then too. */
export async function handle(deps: GatewayDeps, call: Call): Promise<void> {
  try {
    const reserved = await admit(deps, call);
    if (reserved.kind === 'stopped') {
      respondStopped(deps, reserved);
      return;
    }
    let failed = await serve(reserved);
    while (failed !== null) failed = await serveElsewhere(failed);
  } finally {
    if (call.pass !== null) deps.breaker.leave(call.pass);
  }
}

/** From the request line to a journaled hold. What comes at once is not awaited, here and below: each wait costs every call. */
async function admit(deps: GatewayDeps, call: Call): Promise<Reserved | Stopped> {
  const routed = route(call);
  if (routed.kind === 'stopped') return routed;
  const found = authenticate(deps, routed);
  const authenticated = found instanceof Promise ? await found : found;
  if (authenticated.kind === 'stopped') return authenticated;
  let parsed = await parse(deps, authenticated);
  if (parsed.kind === 'stopped') return parsed;
  if (parsed.openTags !== null) {
    const full = await openTagValues(deps, parsed, parsed.openTags);
    if (full !== null) return full;
  }
  if (deps.upstreams !== null && namesKept(parsed.request)) {
    parsed = await atKeeper(deps, parsed);
    if (parsed.kind === 'stopped') return parsed;
  }
  if (parsed.request.objects !== null) {
    const stranger = await refuseStrangers(deps, parsed);
    if (stranger !== null) return stranger;
  }
  const { model, job } = parsed.request.operation;
  if (model?.startsWith('ft:')) {
    const stranger = await refuseOthersModel(deps, parsed);
    if (stranger !== null) return stranger;
  }
  if (job !== undefined && job.kind !== 'response') {
    const { via } = parsed;
    const planned = await estimateJob(via, parsed, job);
    return planned.kind === 'stopped' ? planned : reserve(via, planned);
  }
  const names = parsed.request.operation.beyondText?.references ?? null;
  if (names !== null) return admitRecalled(deps, parsed);
  return await admitParsed(parsed);
}

/** Returns why a call may not go on: its team has as many values of a tag open as it may; null: it may. */
async function openTagValues(
  { tagValues }: GatewayDeps,
  parsed: Parsed,
  open: NonNullable<Parsed['openTags']>,
): Promise<Stopped | null> {
  const { teamId } = parsed.account.principal;
  for (const { rule, value } of open) {
    const known = tagValues.mayUse(teamId, rule, value);
    if (known === true || (known !== false && (await known))) continue;
    return stoppedAs(parsed, tooManyTagValues(rule));
  }
  return null;
}

/** From what is asked for to a journaled hold, or to what a limit does instead of denying it. */
function admitParsed(parsed: Parsed): Stopped | Promise<Reserved | Stopped> {
  const { account, request } = parsed;
  if (account.hasInstead && !request.descriptor.isLive) return orInstead(parsed, admitAsAsked);
  return admitAsAsked(parsed);
}

/** At the upstream that was chosen. */
function admitAsAsked(parsed: Parsed): Stopped | Promise<Reserved | Stopped> {
  const { via } = parsed;
  const estimated = estimate(via, parsed);
  if (estimated.kind === 'stopped') return estimated;
  const reserved = reserve(via, estimated);
  return via.target === null ? reserved : orAtAnotherUpstream(parsed, reserved);
}

/** Where the breaker of its upstream does not let the call through, that of another may. */
async function orAtAnotherUpstream(
  parsed: Parsed,
  reserving: Promise<Reserved | Stopped>,
): Promise<Reserved | Stopped> {
  const reserved = await reserving;
  if (reserved.kind !== 'stopped' || reserved.error?.code !== 'upstream_unavailable') return reserved;
  const next = atAnotherUpstream(parsed);
  return next === null ? reserved : admitAsAsked(next);
}

/** So often a call that others overtook in its conversation is weighed again before its client hears of it. */
const RECALLS_MAX = 4;

/** What the upstream keeps is weighed first. */
async function admitRecalled(deps: GatewayDeps, parsed: Parsed): Promise<Reserved | Stopped> {
  for (let left = RECALLS_MAX; ; left--) {
    const recalled = await recall(deps, left > 1 ? beforeRecall(parsed) : parsed);
    if (recalled.kind === 'stopped') return recalled;
    const reserved = await admitParsed(recalled);
    if (reserved.kind !== 'stopped') return reserved;
    const cancelled = cancelRecall(deps, recalled);
    if (left === 1 || !isOvertaken(reserved)) return reserved;
    await cancelled;
  }
}

/** An attempt that cost nothing and is in the ledger, and the same call for another upstream. */
interface Failed {
  readonly reserved: Reserved;
  readonly settled: Settled;
  readonly next: Parsed;
}

/** From the journaled hold to the call's one event. Returns what may be tried elsewhere; null: the client has its response. */
async function serve(reserved: Reserved): Promise<Failed | null> {
  const { via } = reserved;
  if (reserved.job !== null) {
    await serveJob(via, reserved, reserved.job);
    return null;
  }
  try {
    const { class: kind, pricedAs } = reserved.descriptor;
    const isMetered = kind === 'metered' && pricedAs === null;
    const forwarded = await (isMetered ? forward(via, reserved) : forwardOwned(via, reserved));
    const sessions = reserved.containers === null ? 0 : await beginSessions(via, forwarded);
    const settled = settle(via, forwarded, sessions);
    if (via.target !== null) noteEnd(via.target, settled, performance.now());
    const next = reserved.again === null ? null : elsewhere(via, reserved, settled);
    // What is named in the response may be used by its team alone: that has to be known first.
    const makesObject = reserved.hold.object !== null;
    if (makesObject) record(via, settled);
    try {
      if (next === null) respond(via, reserved, settled.response, settled.outcome);
    } finally {
      if (!makesObject) record(via, settled);
    }
    return next === null ? null : { reserved, settled, next };
  } catch (error) {
    via.ledger.abandon(reserved.hold, 'internal_error');
    throw error;
  }
}

/** Where the call cannot even be held for another upstream, its client gets what the one before said. */
async function serveElsewhere({ reserved, settled, next }: Failed): Promise<Failed | null> {
  const again = await admitParsed(next);
  if (again.kind === 'reserved') return serve(again);
  if (again.error !== null) respond(reserved.via, reserved, settled.response, settled.outcome);
  return null;
}

/** Nothing was forwarded: says why and what to do. */
function respondStopped(deps: GatewayDeps, end: Stopped): void {
  const { call, error, account, endUser } = end;
  if (error === null) return;
  const warning = account === null ? null : warningOf(deps, account, { endUser });
  writeError(call, error, uuidV7(deps.clock.nowMs()), warning);
  recordStopped(deps, end);
}
