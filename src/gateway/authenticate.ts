/** Authenticate: from the bearer key to the account that pays. */
import type { IncomingMessage } from 'node:http';
import { whyRefused } from '../auth/keys.ts';
import { type Account, needsEndUser } from '../domain/budget.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import type { Principal } from '../domain/limit.ts';
import { includesModel } from '../domain/price.ts';
import { bearerKey } from '../openai/headers.ts';
import type { KeyRecord } from '../store/hot/catalog.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';

/** Finds the call's account, unless the one that it has is the newest; answers why the call is refused. */
export async function authenticate(deps: GatewayDeps, call: Call): Promise<ApiError | null> {
  const { generation } = deps.keys;
  if (call.accountGeneration === generation) return null;
  const account = await findAccount(deps, call.incoming);
  if (isApiError(account)) return account;
  call.account = account;
  call.accountGeneration = generation;
  return null;
}

async function findAccount(deps: GatewayDeps, incoming: IncomingMessage): Promise<Account | ApiError> {
  const key = bearerKey(incoming.rawHeaders);
  if (key === null) return invalid('No API key was given: send `Authorization: Bearer tg-…`.');
  if (typeof key !== 'string') return key;
  let record: KeyRecord | null;
  try {
    const found = deps.keys.find(key);
    record = found instanceof Promise ? await found : found;
  } catch {
    return apiError('ledger_unavailable', 'The key cannot be checked just now.', { retryAfterMs: 1000 });
  }
  const refused = whyRefused(record, deps.clock.nowMs());
  return refused === null ? record!.account : invalid(refused);
}

function invalid(message: string): ApiError {
  return apiError('invalid_api_key', message);
}

/** Why the call's account does not allow what it asks for; null: it does. */
export function whyNotAllowed({ account, endUser, request }: Call): ApiError | null {
  const { model, billable } = request!.operation;
  if (endUser === null && billable && needsEndUser(account!, model!)) {
    return apiError(
      'missing_end_user',
      "A limit counts this team's end users: say whose call it is in 'safety_identifier', 'user' or the header x-tollgate-user.",
      { param: 'safety_identifier' },
    );
  }
  if (model !== null && !mayUse(account!.principal, model)) {
    return apiError('model_not_allowed', `This key may not use the model '${model.slice(0, 100)}'.`, {
      param: 'model',
    });
  }
  return null;
}

/** A name that a key, and its team, may use allows its dated snapshots too. */
function mayUse({ models, teamModels }: Principal, model: string): boolean {
  return includesModel(models, model) && includesModel(teamModels, model);
}
