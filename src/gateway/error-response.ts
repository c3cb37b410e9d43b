/** Errors as the client gets them, in OpenAI's shape, and the one that any stage may meet. */
import type { Account } from '../domain/budget.ts';
import { type ApiError, apiError, ERRORS } from '../domain/errors.ts';
import { warningHeader } from '../domain/warning.ts';
import { errorBody, errorHeaders } from '../openai/wire/errors.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';

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

/** For calls that come to a gateway which is about to end. */
export function shuttingDown(): ApiError {
  return apiError('shutting_down', 'This gateway is stopping; try again.', { retryAfterMs: 1000 });
}

/** Returns what the account's budgets have reached, for the header; null, as nearly always: no threshold. */
export function warningOf(deps: GatewayDeps, account: Account, endUser: string | null): string | null {
  if (account.warnings.length === 0) return null;
  return warningHeader(account.warnings, endUser, deps.clock.nowMs());
}
