/** Route: from the request line to the operation. */
import { apiError } from '../../domain/errors.ts';
import type { Descriptor } from '../../openai/operations/descriptor.ts';
import { findRoute, type Route } from '../../openai/operations/table.ts';
import type { Call, Stopped } from '../call.ts';

export interface Routed {
  readonly kind: 'routed';
  readonly call: Call;
  readonly route: Route;
}

/** Stops with `unsupported_operation` what is not in the table: an unknown product is a hole in every budget. */
export function route(call: Call): Routed | Stopped {
  const { method, url } = call.exchange;
  const found = findRoute(method, url);
  if (found === null) return unsupported(call, `its cost is not known`, null);
  if (found.descriptor.reason !== null) return unsupported(call, found.descriptor.reason, found.descriptor);
  call.ended('route');
  return { kind: 'routed', call, route: found };
}

function unsupported(call: Call, why: string, descriptor: Descriptor | null): Stopped {
  const { method, url } = call.exchange;
  const path = (url.split('?', 1)[0] ?? '').slice(0, 200);
  const error = apiError('unsupported_operation', `Tollgate does not forward ${method} ${path}: ${why}.`);
  return { kind: 'stopped', call, error, operation: descriptor?.name ?? null, account: null, endUser: null };
}
