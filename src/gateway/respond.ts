/** What the client gets: the upstream's bytes, status and headers, or an error in OpenAI's shape. */
import type { Account } from '../domain/budget.ts';
import { type ApiError, apiError, ERRORS } from '../domain/errors.ts';
import { formatUsd } from '../domain/money.ts';
import { warningHeader } from '../domain/warning.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import { clientHeaders } from '../openai/wire/headers.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import type { UpstreamHeaders, UpstreamResponse } from './stages/forward.ts';
import type { Reserved } from './stages/reserve.ts';
import type { Settled } from './stages/settle.ts';

const NOTHING = Buffer.alloc(0);

/** The head of a response that is relayed as it comes; its cost is not known yet, its hold is. */
export function beginStream(
  deps: GatewayDeps,
  reserved: Reserved,
  status: number,
  headers: UpstreamHeaders,
): void {
  const { hold } = reserved;
  const flat = clientHeaders(headers);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-hold-usd', formatUsd(hold.amount));
  addCommon(deps, reserved, flat);
  reserved.call.exchange.writeHead(status, flat);
  reserved.call.exchange.write(NOTHING);
}

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

function addCommon(deps: GatewayDeps, reserved: Reserved, flat: string[]): void {
  const { outputLimit } = reserved.hold;
  if (outputLimit !== null) flat.push('x-tollgate-output-limit', String(outputLimit));
  const warning = warningOf(deps, reserved.account, reserved.callKind.endUser);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
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

/** For calls that come to a gateway which is about to end. */
export function shuttingDown(): ApiError {
  return apiError('shutting_down', 'This gateway is stopping; try again.', { retryAfterMs: 1000 });
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

/** Returns what the account's budgets have reached, for the header; null, as nearly always: no threshold. */
export function warningOf(deps: GatewayDeps, account: Account, endUser: string | null): string | null {
  if (account.warnings.length === 0) return null;
  return warningHeader(account.warnings, endUser, deps.clock.nowMs());
}

/** Writes an error as the whole response; nothing where a response has begun or its client has left. */
export function writeError(
  call: Call,
  error: ApiError,
  requestId: string,
  warning: string | null = null,
): void {
  const { exchange } = call;
  if (call.clientGone || exchange.headersSent) return;
  const flat = ['x-tollgate-request-id', requestId];
  for (const [name, value] of Object.entries(errorHeaders(error))) flat.push(name, value);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
  exchange.respond(ERRORS[error.code].status, flat, errorBody(error));
}
