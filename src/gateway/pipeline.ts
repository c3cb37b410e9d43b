/**
 * The life of a call, stage by stage; each stage is the file of its name. Owns: their order, and that whatever happens
 * a hold ends exactly once. Invariant: nothing is forwarded before its hold was journaled.
 */
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { estimate } from '../domain/estimate.ts';
import { findRoute } from '../openai/operations.ts';
import { readOperation } from '../openai/request.ts';
import { authenticate, whyNotAllowed } from './authenticate.ts';
import { readBody } from './body.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { forward } from './forward.ts';
import { record, recordRefusal } from './record.ts';
import { reserve } from './reserve.ts';
import { refuse, respond } from './respond.ts';
import { settle } from './settle.ts';

export async function handle(deps: GatewayDeps, call: Call): Promise<void> {
  const refusal = await admit(deps, call);
  if (refusal === 'gone') return;
  if (refusal !== null) {
    refuse(deps, call, refusal);
    recordRefusal(deps, call, refusal);
    return;
  }
  const answer = await forward(deps, call);
  call.ended('forward');
  const settled = settle(deps, call, answer);
  call.ended('settle');
  respond(deps, call, answer, settled);
  record(deps, call, answer, settled);
}

/** From the request line to a journaled hold: null, why the call is refused, or that its client left. */
async function admit(deps: GatewayDeps, call: Call): Promise<ApiError | 'gone' | null> {
  const { method = '', url = '' } = call.incoming;
  call.route = findRoute(method, url);
  if (call.route === null) return unsupported(method, url);
  call.ended('classify');

  const unknown = await authenticate(deps, call);
  if (unknown) return unknown;
  call.ended('authenticate');

  const body = await readBody(call.incoming, deps.maxBodyBytes);
  if (body === null) return 'gone';
  if (isApiError(body)) return body;
  const request = readOperation(call.route, body);
  if (isApiError(request)) return request;
  call.request = request;
  call.ended('classify');
  const { operation } = request;
  call.endUser = endUserOf(operation.endUser ?? call.incoming.headers['x-tollgate-user']);
  const notAllowed = whyNotAllowed(call);
  if (notAllowed) return notAllowed;
  if (deps.upstream === null) {
    return apiError(
      'upstream_not_configured',
      'This gateway has no upstream: its administrator must set OPENAI_API_KEY.',
    );
  }

  call.card = operation.model === null ? null : deps.rates().find(operation.model, deps.clock.nowMs());
  const estimated = estimate(operation, call.card, { strict: true });
  if (isApiError(estimated)) return estimated;
  call.estimate = estimated;
  call.ended('estimate');

  const refusal = await reserve(deps, call);
  call.ended('reserve');
  return refusal;
}

/** Postgres' texts hold neither NUL nor half a surrogate pair. */
function endUserOf(name: string | string[] | undefined): string | null {
  if (name === undefined || name === '') return null;
  return String(name).slice(0, END_USER_CHARACTERS_MAX).toWellFormed().replaceAll('\0', '\ufffd');
}

const END_USER_CHARACTERS_MAX = 256;

function unsupported(method: string, url: string): ApiError {
  const path = url.split('?', 1)[0]!.slice(0, 200);
  return apiError(
    'unsupported_operation',
    `Tollgate does not forward ${method} ${path}: its cost is not known.`,
  );
}
