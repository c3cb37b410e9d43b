/**
 * Record: the call's one usage event, metrics, one log line. It cannot delay a call: the response has been sent, unless it names
 * what the upstream keeps, which has to be in the journal first.
 */
import { ERRORS } from '../../domain/errors.ts';
import type { OutcomeName } from '../../domain/outcome.ts';
import { OPERATIONS } from '../../openai/operations/table.ts';
import type { CallLines } from '../../telemetry/log.ts';
import type { StageDurationsUs, UpstreamError } from '../../telemetry/measurement.ts';
import type { Call, Stopped } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import type { Settled } from './settle.ts';

/** Measures itself up to the event that it appends last: what follows is the journal's write, once a turn for all calls. */
export function record(deps: GatewayDeps, settled: Settled): void {
  const { reserved, response, outcome, pricedModel } = settled;
  const { call, descriptor, hold } = reserved;
  const { principal } = reserved.account;
  call.ended('record');
  const stageUs = call.clock.durations();
  if (response.firstByteUs !== null) stageUs.first_byte = response.firstByteUs;
  deps.ledger.record(hold, stageUs);
  const upstreamError = upstreamErrorOf(settled);
  deps.metrics.recordCall({
    operation: descriptor.name,
    outcome: outcome.outcome,
    team: principal.teamName,
    model: pricedModel,
    usage: outcome.usage,
    costPicoUsd: outcome.cost,
    overrunPicoUsd: outcome.cost > hold.amount ? outcome.cost - hold.amount : 0n,
    isOutputCut: isOutputCut(settled),
    stageUs,
    waited: reserved.waited,
    firstByteUs: response.firstByteUs,
    upstreamUs: response.totalUs,
    stream: reserved.stream,
    upstreamError,
    isRetry: isRetry(call),
  });
  if (response.content && response.status < 300 && outcome.outcome === 'settled')
    deps.contents?.add(response.content);
  if (response.ending === 'busy') deps.counts.add(principal.teamId, 'upstream_busy');
  noteCall(deps, settled, stageUs, upstreamError);
}

/** Notes the call for its line, if it gets one, and for its span: both are written with others. */
function noteCall(
  { log, traces }: GatewayDeps,
  { reserved, response, outcome, pricedModel }: Settled,
  stageUs: StageDurationsUs,
  upstreamError: UpstreamError | null,
): void {
  const lines = mayLog(log.calls, outcome.outcome) ? log.calls : null;
  if (lines === null && traces === null) return;
  const { hold, descriptor, callKind, call } = reserved;
  const { principal } = reserved.account;
  const entry = {
    eventId: hold.id,
    operation: descriptor,
    outcome: outcome.outcome,
    team: principal.teamName,
    keyId: principal.keyId,
    // What no model is billed for counts by the name of its price.
    requestModel: callKind.model === '' || descriptor.pricedAs !== null ? null : callKind.model,
    responseModel: outcome.responseModel,
    usage: outcome.usage,
    costPicoUsd: outcome.cost,
    holdPicoUsd: hold.amount,
    status: response.status,
    upstreamRequestId: outcome.upstreamRequestId,
    stageUs,
    endedMs: Date.now(),
  };
  if (lines?.entries.push(entry) === 1) log.writeSoon();
  if (traces === null) return;
  const traceparent = call.exchange.header('traceparent');
  const { firstByteUs, totalUs: upstreamUs } = response;
  const { stream } = reserved;
  traces.add(entry, { pricedModel, firstByteUs, upstreamUs, upstreamError, stream, traceparent });
}

/** Whether a call of this outcome gets a line; one that does takes a place of this second. */
export function mayLog(calls: CallLines | null, outcome: OutcomeName): calls is CallLines {
  if (calls === null) return false;
  if (calls.room <= 0 && outcome !== 'unknown') {
    calls.omitted++;
    return false;
  }
  calls.room--;
  return true;
}

/** Counts a call that was not forwarded. */
export function recordStopped(deps: GatewayDeps, { call, error, operation, account }: Stopped): void {
  if (error === null) return;
  deps.metrics.recordError(error.code, operation, isRetry(call));
  if (account !== null) deps.counts.add(account.principal.teamId, error.code);
  const { status } = ERRORS[error.code];
  deps.traces?.addStopped({
    operation: OPERATIONS.find(({ name }) => name === operation) ?? null,
    code: error.code,
    status,
    team: account?.principal.teamName ?? null,
    stageUs: call.clock.durations(),
    traceparent: call.exchange.header('traceparent'),
  });
  if (status >= 500) deps.log.logger.warn({ code: error.code }, 'call refused');
}

/** Every choice used up what was written in; where there are several, one that did shows only in all of them. */
function isOutputCut({ reserved, outcome }: Settled): boolean {
  const { hold, estimate } = reserved;
  if (hold.outputLimit === null || outcome.usage === null) return false;
  return (outcome.usage.output_tokens ?? 0) >= hold.outputLimit * estimate.choices;
}

function upstreamErrorOf({ response, reserved, state }: Settled): UpstreamError | null {
  const { ending, status } = response;
  if (ending === 'unreachable' || ending === 'timeout' || ending === 'interrupted') return ending;
  if (status >= 400) return status === 429 ? 'rate_limited' : status < 500 ? 'rejected' : 'failed';
  if (ending !== 'complete' || status >= 300 || reserved.descriptor.class !== 'metered') return null;
  if (state === 'declined') return 'rejected';
  return state === 'failed' ? 'failed' : state === 'broken' ? 'interrupted' : null;
}

/** The official SDKs count their own retries, from 0. */
function isRetry({ exchange }: Call): boolean {
  const count = exchange.header('x-stainless-retry-count');
  return count !== undefined && count !== '0';
}
