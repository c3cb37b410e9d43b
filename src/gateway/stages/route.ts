/** Route: from the request line to the operation. */
import { apiError } from '../../domain/errors.ts';
import { findAlias, reasonAgainst } from '../../openai/operations/aliases.ts';
import type { Descriptor } from '../../openai/operations/descriptor.ts';
import type { Route } from '../../openai/operations/paths.ts';
import { findRoute } from '../../openai/request.ts';
import type { Call, Stopped } from '../call.ts';

export interface Routed {
  readonly kind: 'routed';
  readonly call: Call;
  readonly route: Route;
}

/**
 * Stops with `unsupported_operation` what is not in the table: an unknown product is a hole in every budget. A WebSocket
 * that asks for it gets `upgrade_required`, after which clients that can go on over plain HTTP.
 */
export function route(call: Call): Routed | Stopped {
  const { method, url } = call.exchange;
  const found = findRoute(method, url) ?? findAlias(method, url);
  if (found === null) {
    if (call.exchange.header('upgrade')?.toLowerCase() === 'websocket') return webSocket(call);
    return unsupported(call, reasonAgainst(url), null);
  }
  if (found.descriptor.reason !== null) return unsupported(call, found.descriptor.reason, found.descriptor);
  call.ended('route');
  return { kind: 'routed', call, route: found };
}

function webSocket(call: Call): Stopped {
  const message = 'There is no WebSocket at this path: use the API over plain HTTP, with server-sent events.';
  // RFC 9110, section 15.5.22: the response says which protocol is wanted.
  const error = apiError('upgrade_required', message, { headers: { upgrade: 'HTTP/1.1' } });
  return { kind: 'stopped', call, error, operation: null, account: null, endUser: null };
}

function unsupported(call: Call, why: string, descriptor: Descriptor | null): Stopped {
  const { method, url } = call.exchange;
  const path = (url.split('?', 1)[0] ?? '').slice(0, 200);
  const error = apiError('unsupported_operation', `Tollgate does not forward ${method} ${path}: ${why}.`);
  return { kind: 'stopped', call, error, operation: descriptor?.name ?? null, account: null, endUser: null };
}
