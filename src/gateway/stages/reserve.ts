/** Reserve: takes the call's worst case out of every counter that it touches, and journals the hold. */

import type { Denial, ReservationRequest } from '../../admission/decide.ts';
import type { Account, CallKind } from '../../domain/budget.ts';
import { ApiError } from '../../domain/errors.ts';
import { type Estimate, outputTokensUpTo } from '../../domain/estimate.ts';
import type { TeamId } from '../../domain/ids.ts';
import type { PlannedJob } from '../../domain/job-terms.ts';
import type { KeptInput } from '../../domain/kept.ts';
import type { HostedContainer, Operation, StatedUsage } from '../../domain/operation.ts';
import type { RateCard } from '../../domain/price.ts';
import type { LimitFields } from '../../domain/upstream.ts';
import type { Hold, Queued, QueueOutcome } from '../../ledger/events.ts';
import type { Descriptor } from '../../openai/operations/descriptor.ts';
import { type ParsedRequest, renderBody } from '../../openai/request.ts';
import { upstreamHeaders } from '../../openai/response.ts';
import type { Target } from '../../upstreams/target.ts';
import type { UpstreamRequest } from '../../wire/upstream.ts';
import type { AnchorUse } from '../anchors.ts';
import { type Call, type Stopped, stoppedAs } from '../call.ts';
import { whyNotJob } from '../countable.ts';
import { errorOfDenial, ledgerUnavailable, toolsTooDear } from '../denial-error.ts';
import type { GatewayDeps } from '../deps.ts';
import { shuttingDown } from '../ending-error.ts';
import { whyOvertaken } from '../recall.ts';
import { findAccount } from './authenticate.ts';
import { COUNTED_BYTES_LEAST, counted, mayCount, promptTokens } from './count.ts';
import { type Estimated, FREE, sizeOf, sparing, withFewerToolCalls } from './estimate.ts';
import { type Parsed, whyNotAllowed } from './parse.ts';

interface OutgoingOptions {
  apiKey: string;
  /** The call's event, as the upstream's `x-client-request-id`. */
  eventId: string;
  /** Whose keys of idempotency are its own. */
  teamId: TeamId;
  /** The output limit to write in; null: none. */
  outputLimit: number | null;
  /** The limit of hosted tool calls to write in; null: none. */
  maxToolCalls: number | null;
  limitFields: LimitFields | null;
  /** Null: there is only one upstream. */
  target: Target | null;
  /** Speech is asked for as events. */
  asEvents: boolean;
}

/** The request that goes upstream, handed over once, so that nothing keeps its bytes while the call is under way. */
class OutgoingRequest {
  #request: UpstreamRequest | null;

  /** Throws when an edit would overrule what the client said: that is our bug. */
  constructor(request: ParsedRequest, rawHeaders: readonly string[], options: OutgoingOptions) {
    const { descriptor, operation, path, stream } = request;
    const { apiKey, eventId, teamId, outputLimit, limitFields, target } = options;
    const { model } = operation;
    const nameThere = model === null ? null : (target?.modelNames.get(model) ?? null);
    const body = renderBody(request, {
      serviceTier: operation.serviceTier === null && operation.billable ? 'default' : undefined,
      outputLimit: outputLimit ?? undefined,
      includeUsage: (stream && target?.usageInStreams !== false) || undefined,
      maxToolCalls: options.maxToolCalls ?? undefined,
      asEvents: options.asEvents,
      limitFields,
      model: nameThere ?? undefined,
    });
    const headers = upstreamHeaders(rawHeaders, {
      apiKey,
      eventId,
      teamId,
      contentType: request.form?.contentType,
      own: target?.headers,
    });
    this.#request = {
      method: descriptor.method === 'WEBSOCKET' ? 'GET' : descriptor.method,
      path: target === null ? path : target.pathOf(path, nameThere ?? model),
      headers,
      body: descriptor.request === 'none' ? null : body,
    };
  }

  /** Returns the request. Throws when it was taken before: a call is sent at most once. */
  take(): UpstreamRequest {
    const request = this.#request;
    if (request === null) throw new Error('a request is sent at most once');
    this.#request = null;
    return request;
  }
}

/** What is left of a call once its money is held: neither its parsed body nor a second copy of its bytes. */
export interface Reserved {
  readonly kind: 'reserved';
  readonly call: Call;
  readonly account: Account;
  readonly callKind: CallKind;
  readonly descriptor: Descriptor;
  readonly card: RateCard | null;
  readonly estimate: Estimate;
  readonly anchor: AnchorUse | null;
  /** The output tokens that the request allows, of all its choices. */
  readonly outputTokensSent: number;
  /** The input tokens by the upstream's tokeniser, where it reports no usage; null: they were not counted. */
  readonly promptTokens: number | null;
  readonly hold: Hold;
  /** Its money was not in a lease here: it waited for it. */
  readonly waited: boolean;
  /** The client asked for server-sent events, and for their usage chunk. */
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** What was written in: the limit of hosted tool calls (null: none), the choice of the request's own tools, a model of images. */
  readonly maxToolCalls: number | null;
  readonly hasOwnTools: boolean;
  readonly imageModel: string | null;
  readonly outgoing: { take(): UpstreamRequest };
  /** The call as it was before, while another upstream may try it; null: none may. */
  readonly again: Parsed | null;
  /** What it goes on with. */
  readonly via: GatewayDeps;
  /** What of its input the upstream keeps; null: nothing. */
  readonly kept: KeptInput | null;
  /** Objects that it names and its team may use; null: none. */
  readonly objects: ParsedRequest['objects'];
  /** The most tokens that its items add to a conversation; null: nothing bounds them; missing: it brings none. */
  readonly itemTokens: Operation['itemTokens'];
  /** What is billed where the response reports nothing; null: the request does not say. */
  readonly stated: StatedUsage | null;
  /** The client gets what the response's events carry, of this type; null: it gets the response. */
  readonly audioType: string | null;
  /** The containers that it may use; null: none. */
  readonly containers: readonly HostedContainer[] | null;
  /** What goes on after its response; null: nothing does. */
  readonly job: PlannedJob | null;
}

/** Under which rules a hold was taken: they may have changed while the body came or the call waited. */
interface Taken {
  readonly kind: 'taken';
  readonly account: Account;
  readonly hold: Hold;
  readonly waited: boolean;
}

/** A limit said no. */
interface Denied {
  readonly kind: 'denied';
  readonly account: Account;
  readonly denial: Denial;
}

/** Returns when the call holds its money and the journal has it. */
export async function reserve(deps: GatewayDeps, asked: Estimated): Promise<Reserved | Stopped> {
  const { call, request, callKind, card } = asked;
  const { descriptor, stream, includeUsage } = request;
  const closed = askBreaker(deps, asked, asked.account);
  if (closed !== null) return stoppedAs(asked, closed);
  const isCounted = request.body.length >= COUNTED_BYTES_LEAST && mayCount(deps, asked);
  let estimated = isCounted ? await counted(deps, asked) : asked;
  let taken = await takeUnderTheRules(deps, estimated);
  if (taken.kind === 'denied' && !isCounted && isForMoney(taken.denial) && mayCount(deps, estimated)) {
    estimated = await counted(deps, estimated);
    taken = await takeUnderTheRules(deps, estimated);
  }
  while (taken.kind === 'denied') {
    const fewer = isForMoney(taken.denial) ? withFewerToolCalls(deps, estimated) : null;
    if (fewer === null) return denied(deps, estimated, taken);
    estimated = fewer;
    taken = await takeUnderTheRules(deps, estimated);
  }
  if (taken.kind === 'stopped') return taken;
  const { account, hold, waited } = taken;
  const { estimate } = estimated;
  // The upstream may have failed while it waited; an account that was read again knows of other failures.
  const isLater = waited || call.hasPaused || account !== asked.account;
  const error = isLater ? await whyNotAfterWait(deps, estimated, account) : null;
  if (call.clientGone || error !== null) {
    deps.ledger.cancel(hold);
    return stoppedAs(asked, call.clientGone ? null : error, account);
  }
  const maxToolCalls = request.operation.hosted?.calls === null ? (estimate.hosted?.calls ?? null) : null;
  const outgoing = outgoingOf(deps, estimated, hold, maxToolCalls, account.principal.teamId);
  const written = await journaled(deps, estimated, account, hold);
  if (!written) {
    deps.ledger.cancel(hold);
    return stoppedAs(asked, ledgerUnavailable(), account);
  }
  call.ended('reserve');
  return {
    kind: 'reserved',
    call,
    account,
    callKind,
    descriptor,
    card,
    estimate,
    anchor: estimated.anchor,
    outputTokensSent: outputTokensSent(request.operation, estimate, hold),
    promptTokens: deps.trust === null ? null : promptTokens(deps, request),
    hold,
    waited,
    stream,
    includeUsage,
    maxToolCalls,
    hasOwnTools: request.toolChoice !== null,
    imageModel: writtenImageModel(request.operation),
    outgoing,
    again: estimated.again,
    via: deps,
    kept: request.operation.kept,
    objects: request.objects,
    itemTokens: request.operation.itemTokens,
    stated: request.operation.stated ?? null,
    audioType: request.audioType,
    containers: request.operation.hosted?.containers ?? null,
    job: estimated.job,
  };
}

function writtenImageModel({ hosted }: Operation): string | null {
  const images = hosted?.images ?? null;
  return images === null || images.writtenInto === null ? null : images.model;
}

/** Returns why the call may not go upstream just now; null: it may, as the call's pass says. */
function askBreaker(
  { breaker, clock }: GatewayDeps,
  { call, request, callKind }: Estimated,
  account: Account,
): ApiError | null {
  if (call.pass !== null) breaker.leave(call.pass);
  call.pass = null;
  if (!request.operation.billable) return null;
  if (breaker.watched === 0 && account.unknown.length === 0) return null;
  const pass = breaker.enter(account, callKind, clock.nowMs(), request.body);
  if (pass instanceof ApiError) return pass;
  call.pass = pass;
  return null;
}

/** Reports have a row for each name, and a name costs nothing where the call does: only known ones are written down. */
function modelInLedger({ request: { descriptor, operation }, card, job }: Estimated): string {
  const model = operation.model ?? job?.model ?? descriptor.pricedAs ?? '';
  if (operation.billable || descriptor.knownModels.includes(model)) return model;
  return card?.tiers.default?.model ?? '';
}

async function whyNotAfterWait(
  deps: GatewayDeps,
  estimated: Estimated,
  account: Account,
): Promise<ApiError | null> {
  const conversation = estimated.request.operation.kept?.conversation ?? null;
  return (
    askBreaker(deps, estimated, account) ??
    (conversation === null ? null : await whyOvertaken(deps, account.principal.teamId, conversation))
  );
}

/** Returns whether the journal has the hold. Rejects on a bug of ours; the hold has ended then. */
function journaled(deps: GatewayDeps, estimated: Estimated, account: Account, hold: Hold): Promise<boolean> {
  const { call, request, callKind, estimate } = estimated;
  const { teamId, keyId } = account.principal;
  const facts = {
    teamId,
    keyId,
    operation: request.descriptor.name,
    model: modelInLedger(estimated),
    stream: request.stream,
    endUser: callKind.endUser,
    departments: account.departments,
    tags: callKind.tags ?? null,
    priceId: estimate.priceId,
    outputLimit: hold.outputLimit,
    onExhausted: call.instead,
    upstream: deps.target === null ? null : deps.target.name,
  };
  return new Promise((done) => {
    try {
      deps.ledger.begin(hold, facts, done);
    } catch (error) {
      if (hold.facts === null) deps.ledger.cancel(hold);
      else deps.ledger.abandon(hold, 'internal_error');
      throw error;
    }
  });
}

/** Whether less of the call would be admitted. */
const isForMoney = ({ reason }: Denial) => reason === 'insufficient' || reason === 'too_large';

/** Says what would pass: a call that only the upstream's tools make too dear passes without them. */
function denied(deps: GatewayDeps, estimated: Estimated, { account, denial }: Denied): Stopped {
  const estimate = sparing(estimated, account);
  if (denial.reason === 'insufficient' && denial.counter !== null) deps.onSpent(denial.counter);
  const error =
    estimate.hosted !== null && isForMoney(denial)
      ? toolsTooDear(denial, estimate)
      : errorOfDenial(denial, estimate, estimated.job);
  return { ...stoppedAs(estimated, error, account), denial };
}

function outgoingOf(
  deps: GatewayDeps,
  { call, request }: Estimated,
  hold: Hold,
  maxToolCalls: number | null,
  teamId: TeamId,
): OutgoingRequest {
  try {
    return new OutgoingRequest(request, call.exchange.rawHeaders, {
      apiKey: deps.upstreamApiKey,
      eventId: hold.id,
      teamId,
      outputLimit: hold.outputLimit,
      maxToolCalls,
      limitFields: deps.profile.limitFields,
      target: deps.target,
      asEvents: deps.profile.name === 'openai',
    });
  } catch (error) {
    deps.ledger.cancel(hold);
    throw error;
  }
}

/** The rules and the key may change while the body comes or the call waits: what holds is what they are at the hold. */
async function takeUnderTheRules(deps: GatewayDeps, estimated: Estimated): Promise<Taken | Denied | Stopped> {
  const { call, request, callKind } = estimated;
  const startedMs = deps.clock.monotonicMs();
  let { account, generation } = estimated;
  let waited = false;
  for (;;) {
    if (generation !== deps.keys.generation) {
      generation = deps.keys.generation;
      const found = await findAccount(deps, call);
      if (found instanceof ApiError) return stoppedAs(estimated, found, account);
      account = found;
      // The file of a job may have been read for minutes.
      const error = whyNotAllowed(account, request, callKind) ?? whyNotJob(account, callKind, estimated.job);
      if (error !== null) return stoppedAs(estimated, error, account);
      continue;
    }
    const waitedMs = waited ? deps.clock.monotonicMs() - startedMs : 0;
    const reserved = deps.ledger.reserve(requestOf(estimated, account, waitedMs));
    const outcome = reserved.kind === 'queued' ? await waitFor(call, reserved) : reserved;
    waited ||= reserved.kind === 'queued';
    switch (outcome.kind) {
      case 'hold':
        return { kind: 'taken', account, hold: outcome, waited };
      case 'changed':
        continue;
      case 'left':
        return stoppedAs(estimated, call.isCut ? shuttingDown() : null, account);
      case 'unavailable':
        return stoppedAs(estimated, ledgerUnavailable(), account);
      case 'denial':
        return { kind: 'denied', account, denial: outcome };
    }
  }
}

/** Its client may leave while the call waits, and the gateway may stop: it then leaves the queue, holding nothing. */
function waitFor(call: Call, queued: Queued): Promise<QueueOutcome | { kind: 'left' }> {
  return new Promise((resolve) => {
    const leave = () => {
      call.unwatch();
      queued.leave();
      resolve({ kind: 'left' });
    };
    call.watch(leave);
    queued.onOutcome = (outcome) => {
      call.unwatch();
      resolve(outcome);
    };
    if (call.clientGone) leave();
  });
}

function outputTokensSent(operation: Operation, estimate: Estimate, hold: Hold): number {
  const perChoice = hold.outputLimit ?? operation.outputTokensLimit ?? estimate.maxOutputTokens;
  return perChoice === null ? Number.MAX_SAFE_INTEGER : outputTokensUpTo(estimate, perChoice);
}

function requestOf(estimated: Estimated, account: Account, waitedMs: number): ReservationRequest {
  const { request, callKind } = estimated;
  const estimate = sparing(estimated, account);
  const isFree = !request.operation.billable;
  return {
    account,
    kind: callKind,
    isFree,
    size: isFree ? FREE : sizeOf(estimate, request.operation.outputTokensLimit),
    waitedMs,
    bytes: request.body.length,
  };
}
