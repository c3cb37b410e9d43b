/** Record: metrics and one log line. It can neither fail nor delay a call: the answer has been sent. */
import { type ApiError, ERRORS } from '../domain/errors.ts';
import type { UpstreamError } from '../telemetry/measurement.ts';
import type { Answer } from './answer.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import type { Settled } from './settle.ts';

export function record(deps: GatewayDeps, call: Call, answer: Answer, settled: Settled): void {
  call.ended('record');
  const { operation } = call.request!;
  const { principal } = call.account!;
  const hold = call.hold!;
  deps.metrics.recordCall({
    operation: operation.name,
    outcome: settled.outcome,
    team: principal.teamName,
    model: settled.pricedModel,
    usage: settled.usage,
    costPicoUsd: settled.cost,
    overrunPicoUsd: settled.cost > hold.amount ? settled.cost - hold.amount : 0n,
    isOutputCut: isOutputCut(call, settled),
    stageUs: call.stageUs,
    waited: call.waited,
    firstByteUs: answer.firstByteUs,
    upstreamUs: answer.totalUs,
    stream: operation.stream,
    upstreamError: upstreamErrorOf(answer),
    isRetry: isRetry(call),
  });
  deps.log.logCall({
    eventId: hold.id,
    operation: operation.name,
    outcome: settled.outcome,
    team: principal.teamName,
    keyId: principal.keyId,
    requestModel: operation.model,
    responseModel: settled.responseModel,
    usage: settled.usage,
    costPicoUsd: settled.cost,
    holdPicoUsd: hold.amount,
    status: call.response.statusCode,
    error: null,
    upstreamRequestId: settled.upstreamRequestId,
    stageUs: call.stageUs,
  });
}

/** Every choice used up what was written in; where there are several, one that did shows only in all of them. */
function isOutputCut({ outputLimit, estimate }: Call, { usage }: Settled): boolean {
  return (
    outputLimit !== null && usage !== null && (usage.output_tokens ?? 0) >= outputLimit * estimate!.choices
  );
}

export function recordRefusal(deps: GatewayDeps, call: Call, refusal: ApiError): void {
  deps.metrics.recordError(refusal.code, call.route?.name ?? null, isRetry(call));
  if (call.account !== null) deps.counts.add(call.account.principal.teamId, refusal.code);
  if (ERRORS[refusal.code].status >= 500) deps.log.logger.warn({ code: refusal.code }, 'call refused');
}

function upstreamErrorOf({ ending, status }: Answer): UpstreamError | null {
  if (ending === 'unreachable' || ending === 'timeout' || ending === 'interrupted') return ending;
  if (status < 400) return null;
  return status === 429 ? 'rate_limited' : status < 500 ? 'rejected' : 'failed';
}

/** The official SDKs count their own retries, from 0. */
function isRetry({ incoming }: Call): boolean {
  const count = incoming.headers['x-stainless-retry-count'];
  return count !== undefined && count !== '0';
}
