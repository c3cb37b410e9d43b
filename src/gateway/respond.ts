/** Answers to the client: the upstream's bytes, status and headers, or a refusal in OpenAI's error shape. */
import { type ApiError, apiError, ERRORS } from '../domain/errors.ts';
import { formatUsd } from '../domain/money.ts';
import { warningHeader } from '../domain/warning.ts';
import { uuidV7 } from '../ledger/ids.ts';
import { errorBody, errorHeaders } from '../openai/errors.ts';
import { clientHeaders } from '../openai/headers.ts';
import type { Answer, UpstreamHeaders } from './answer.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import type { Settled } from './settle.ts';

const NOTHING = Buffer.alloc(0);

/** Nothing was forwarded: says why and what to do. */
export function refuse(deps: GatewayDeps, call: Call, refusal: ApiError): void {
  writeError(deps, call, refusal, call.hold?.id ?? uuidV7(deps.clock.nowMs()));
}

/** The head of an answer that is relayed as it comes; its cost is not known yet, its hold is. */
export function beginStream(deps: GatewayDeps, call: Call, status: number, headers: UpstreamHeaders): void {
  const hold = call.hold!;
  const flat = clientHeaders(headers);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-hold-usd', formatUsd(hold.amount));
  if (call.outputLimit !== null) flat.push('x-tollgate-output-limit', String(call.outputLimit));
  const warning = warningOf(deps, call);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
  call.response.writeHead(status, flat);
  // Not flushHeaders(): it writes the bytes beyond ASCII that a header may have as UTF-8.
  call.response.write(NOTHING);
}

/** The end of every forwarded call, as its client sees it. */
export function respond(deps: GatewayDeps, call: Call, answer: Answer, settled: Settled): void {
  const { response } = call;
  if (call.clientGone) return;
  if (answer.body === null) endStream(call, answer);
  else if (answer.ending === 'complete') writeAnswer(deps, call, answer, answer.body, settled);
  else writeError(deps, call, errorOf(answer), call.hold!.id);
  if (response.headersSent && !response.writableEnded) response.end();
}

function writeAnswer(deps: GatewayDeps, call: Call, answer: Answer, body: Buffer, settled: Settled) {
  const flat = clientHeaders(answer.headers);
  flat.push('content-length', String(body.length), 'x-tollgate-request-id', call.hold!.id);
  flat.push('x-tollgate-cost-usd', formatUsd(settled.cost));
  const remaining = deps.ledger.remaining(call.account!, call.kind);
  if (remaining !== null) flat.push('x-tollgate-remaining-usd', formatUsd(remaining));
  if (call.outputLimit !== null) flat.push('x-tollgate-output-limit', String(call.outputLimit));
  const warning = warningOf(deps, call);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
  call.response.writeHead(answer.status, flat);
  call.response.end(body);
}

/**
 * A stream that just stops looks like success to the SDKs: an interrupted one ends with an error event, or, where it is
 * compressed and nothing can be written into it, with a broken connection. The meter lets only whole lines pass, so
 * what came of the last event is at most its name, which ours replaces; a blank line ends the data of any other.
 */
function endStream(call: Call, answer: Answer) {
  const { response } = call;
  if (answer.ending === 'complete') response.end();
  else if (answer.metered === null) response.destroy();
  else {
    const start = call.request!.operation.name === 'responses' ? 'event: error\n' : '\n';
    response.end(`${start}data: ${errorBody(errorOf(answer))}\n\n`);
  }
}

/** For calls that come to a gateway which is about to end. */
export function shuttingDown(): ApiError {
  return apiError('shutting_down', 'This gateway is stopping; try again.', { retryAfterMs: 1000 });
}

function errorOf({ ending }: Answer): ApiError {
  if (ending === 'unreachable') {
    return apiError(
      'upstream_unreachable',
      'The upstream could not be reached; nothing was sent or charged.',
      {
        retryAfterMs: 1000,
      },
    );
  }
  if (ending === 'timeout') return apiError('upstream_timeout', 'The upstream did not answer in time.');
  if (ending === 'cut') {
    return apiError(
      'upstream_interrupted',
      'The gateway stopped before the answer ended; its cost is not known yet.',
    );
  }
  return apiError('upstream_interrupted', "The upstream's answer broke off; its cost is not known yet.");
}

/** What the key's budgets have reached; null, as nearly always: no threshold. */
function warningOf(deps: GatewayDeps, { account, endUser }: Call): string | null {
  if (account === null || account.warnings.length === 0) return null;
  return warningHeader(account.warnings, endUser, deps.clock.nowMs());
}

function writeError(deps: GatewayDeps, call: Call, refusal: ApiError, requestId: string) {
  const { response } = call;
  if (call.clientGone || response.headersSent) return;
  const body = errorBody(refusal);
  const warning = warningOf(deps, call);
  response.writeHead(ERRORS[refusal.code].status, {
    ...errorHeaders(refusal),
    'content-length': body.length,
    'x-tollgate-request-id': requestId,
    ...(warning === null ? {} : { 'x-tollgate-warning': warning }),
  });
  response.end(body);
}
