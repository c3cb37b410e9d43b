/** What the client gets once the call is settled: the upstream's bytes, status and headers, or an error. */
import { type ApiError, apiError } from '../domain/errors.ts';
import { formatUsd } from '../domain/money.ts';
import { errorBody } from '../openai/wire/errors.ts';
import { clientHeaders } from '../openai/wire/headers.ts';
import type { GatewayDeps } from './deps.ts';
import { warningOf, writeError } from './error-response.ts';
import { addCommon } from './response-head.ts';
import type { Reserved } from './stages/reserve.ts';
import type { Settled } from './stages/settle.ts';
import type { UpstreamResponse } from './upstream-response.ts';

/** The end of every forwarded call, as its client sees it. */
export function respond(deps: GatewayDeps, settled: Settled): void {
  const { reserved, response } = settled;
  if (reserved.call.clientGone) return;
  if (response.body === null) endStream(reserved, response);
  else if (response.ending === 'complete') writeWhole(deps, settled, response.body);
  else
    writeError(
      reserved.call,
      errorOf(response),
      reserved.hold.id,
      warningOf(deps, reserved.account, reserved.callKind.endUser),
    );
}

function writeWhole(deps: GatewayDeps, { reserved, response, outcome }: Settled, body: Buffer): void {
  const { call, account, callKind, hold } = reserved;
  const flat = clientHeaders(response.headers);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-cost-usd', formatUsd(outcome.cost));
  const remaining = deps.ledger.remaining(account, callKind);
  if (remaining !== null) flat.push('x-tollgate-remaining-usd', formatUsd(remaining));
  addCommon(deps, reserved, flat);
  call.exchange.respond(response.status, flat, body);
}

/**
 * A stream that just stops looks like success to the SDKs: an interrupted one ends with an error event, or, where it is
 * compressed and nothing can be written into it, with a broken connection. The meter lets only whole lines pass, so
 * what came of the last event is at most its name, which ours replaces; a blank line ends the data of any other.
 */
function endStream({ call, descriptor }: Reserved, response: UpstreamResponse): void {
  const { exchange } = call;
  if (response.ending === 'complete') exchange.end();
  else if (response.metered === null) exchange.destroy();
  else {
    const start = descriptor.usage?.stream === 'terminal_event' ? 'event: error\n' : '\n';
    exchange.end(Buffer.from(`${start}data: ${errorBody(errorOf(response))}\n\n`));
  }
}

function errorOf({ ending }: UpstreamResponse): ApiError {
  if (ending === 'unreachable') {
    const message = 'The upstream could not be reached; nothing was sent or charged.';
    return apiError('upstream_unreachable', message, { retryAfterMs: 1000 });
  }
  if (ending === 'timeout') return apiError('upstream_timeout', 'The upstream did not answer in time.');
  if (ending === 'cut') {
    const message = 'The gateway stopped before the answer ended; its cost is not known yet.';
    return apiError('upstream_interrupted', message);
  }
  return apiError('upstream_interrupted', "The upstream's answer broke off; its cost is not known yet.");
}
