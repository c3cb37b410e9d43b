/**
 * What the client gets: the upstream's bytes, status and headers, or an error in OpenAI's shape. Does not own: when a
 * stage responds. Invariant: one response to each call, and none after its client has left.
 */
import type { Account, CallKind } from '../domain/budget.ts';
import { type ApiError, apiError, ERRORS } from '../domain/errors.ts';
import { formatUsd, type PicoUsd } from '../domain/money.ts';
import type { MeteredResponse } from '../domain/usage.ts';
import { warningHeader } from '../domain/warning.ts';
import type { Hold } from '../ledger/events.ts';
import type { Descriptor } from '../openai/operations/descriptor.ts';
import { clientHeaders } from '../openai/response.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import type { Call } from './call.ts';
import { withoutCors } from './cors.ts';
import type { GatewayDeps } from './deps.ts';

export type UpstreamHeaders = Record<string, string | string[] | undefined>;

/** The upstream's response, as far as it came. */
export interface UpstreamResponse {
  readonly ending: 'complete' | 'unreachable' | 'interrupted' | 'timeout' | 'abandoned' | 'cut';
  /** 0 when no response began. */
  readonly status: number;
  readonly headers: UpstreamHeaders;
  /** The whole body where it was kept back until it is metered; null once it was relayed. */
  readonly body: Buffer | null;
  /** The decoded body, to be metered; null where a stream's meter read along, or it cannot be read. */
  readonly readable: Buffer | null;
  /** What the meter that read along found; null where there was none. */
  readonly metered: MeteredResponse | null;
  /** An error event stood in the stream. */
  readonly sawError: boolean;
  readonly firstByteUs: number | null;
  readonly totalUs: number;
}

/** A call whose money is held, as far as its response needs it. */
interface HeldCall {
  readonly call: Call;
  readonly account: Account;
  readonly callKind: CallKind;
  readonly descriptor: Descriptor;
  readonly hold: Hold;
}

const NOTHING = Buffer.alloc(0);

/** Writes the head of a response that is relayed as it comes; its cost is not known yet, its hold is. */
export function beginStream(
  deps: GatewayDeps,
  held: HeldCall,
  status: number,
  headers: UpstreamHeaders,
): void {
  const { call, hold } = held;
  const flat = headersFor(call, headers);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-hold-usd', formatUsd(hold.amount));
  addCommon(deps, held, flat);
  call.exchange.writeHead(status, flat);
  call.exchange.write(NOTHING);
}

/** Ends the response of a forwarded call. */
export function respond(deps: GatewayDeps, held: HeldCall, response: UpstreamResponse, cost: PicoUsd): void {
  const { call, account, callKind, hold } = held;
  if (call.clientGone) return;
  if (response.body === null) endStream(held, response);
  else if (response.ending === 'complete') writeWhole(deps, held, response, response.body, cost);
  else writeError(call, errorOf(response), hold.id, warningOf(deps, account, callKind.endUser));
}

function writeWhole(
  deps: GatewayDeps,
  held: HeldCall,
  response: UpstreamResponse,
  body: Buffer,
  cost: PicoUsd,
): void {
  const { call, account, callKind, hold } = held;
  const flat = headersFor(call, response.headers);
  flat.push('x-tollgate-request-id', hold.id, 'x-tollgate-cost-usd', formatUsd(cost));
  const remaining = deps.ledger.remaining(account, callKind, hold);
  if (remaining !== null) flat.push('x-tollgate-remaining-usd', formatUsd(remaining));
  addCommon(deps, held, flat);
  call.exchange.respond(response.status, flat, body);
}

function headersFor(call: Call, upstream: UpstreamHeaders): string[] {
  const headers = clientHeaders(upstream);
  return call.cors === null ? headers : [...withoutCors(headers), ...call.cors];
}

function addCommon(deps: GatewayDeps, { account, callKind, hold }: HeldCall, flat: string[]): void {
  const { outputLimit } = hold;
  if (outputLimit !== null) flat.push('x-tollgate-output-limit', String(outputLimit));
  const warning = warningOf(deps, account, callKind.endUser);
  if (warning !== null) flat.push('x-tollgate-warning', warning);
}

/**
 * A stream that just stops looks like success to the SDKs: an interrupted one ends with an error event, or, where it is
 * compressed and nothing can be written into it, with a broken connection. The meter lets only whole lines pass, so
 * what came of the last event is at most its name, which ours replaces; a blank line ends the data of any other.
 */
function endStream({ call, descriptor }: HeldCall, response: UpstreamResponse): void {
  const { exchange } = call;
  if (response.ending === 'complete') exchange.end();
  else if (response.metered === null) exchange.destroy();
  else {
    const start = descriptor.usage?.stream === 'terminal_event' ? 'event: error\n' : '\n';
    exchange.end(Buffer.from(`${start}data: ${errorBody(errorOf(response))}\n\n`));
  }
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
  if (call.cors !== null) flat.push(...call.cors);
  exchange.respond(ERRORS[error.code].status, flat, errorBody(error));
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
  if (ending === 'timeout') return apiError('upstream_timeout', 'The upstream did not respond in time.');
  if (ending === 'cut') {
    const message = 'The gateway stopped before the response ended; its cost is not known yet.';
    return apiError('upstream_interrupted', message);
  }
  return apiError('upstream_interrupted', "The upstream's response broke off; its cost is not known yet.");
}

/** Returns what the account's budgets have reached, for the header; null, as nearly always: no threshold. */
export function warningOf(deps: GatewayDeps, account: Account, endUser: string | null): string | null {
  if (account.warnings.length === 0) return null;
  return warningHeader(account.warnings, endUser, deps.clock.nowMs());
}
