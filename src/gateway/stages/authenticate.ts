/** Authenticate: from the bearer key to the account that pays, before a byte of the body is read. */
import { clientKey, usableKey } from '../../auth/keys.ts';
import type { Account } from '../../domain/budget.ts';
import { ApiError, apiError } from '../../domain/errors.ts';
import type { Route } from '../../openai/operations/paths.ts';
import type { KeyRecord } from '../../store/hot/catalog.ts';
import type { Call, Stopped } from '../call.ts';
import type { GatewayDeps } from '../deps.ts';
import type { Routed } from './route.ts';

export interface Authenticated {
  readonly kind: 'authenticated';
  readonly call: Call;
  readonly route: Route;
  readonly account: Account;
  /** The generation of keys in which the account was found: a later one may know another. */
  readonly generation: number;
}

/** Returns a promise only where the key is not in memory. */
export function authenticate(
  deps: GatewayDeps,
  { call, route }: Routed,
): Authenticated | Stopped | Promise<Authenticated | Stopped> {
  const { generation } = deps.keys;
  const found = findAccount(deps, call);
  if (found instanceof Promise)
    return found.then((account) => authenticated(call, route, account, generation));
  return authenticated(call, route, found, generation);
}

function authenticated(
  call: Call,
  route: Route,
  account: Account | ApiError,
  generation: number,
): Authenticated | Stopped {
  if (account instanceof ApiError) {
    const operation = route.descriptor.name;
    return { kind: 'stopped', call, error: account, operation, account: null, endUser: null };
  }
  call.ended('authenticate');
  return { kind: 'authenticated', call, route, account, generation };
}

/** Returns the account behind the call's key as it is known now, or why the key may not be used. */
export function findAccount(deps: GatewayDeps, call: Call): Account | ApiError | Promise<Account | ApiError> {
  const { exchange } = call;
  const key = clientKey(exchange.rawHeaders);
  if (key === null) return NO_KEY;
  if (typeof key !== 'string') return key;
  const found = deps.keys.find(key, exchange);
  if (!(found instanceof Promise)) return accountOf(usableKey(found, deps.clock.nowMs()));
  return found.then(
    (record) => accountOf(usableKey(record, deps.clock.nowMs())),
    () => apiError('ledger_unavailable', 'The key cannot be checked just now.', { retryAfterMs: 1000 }),
  );
}

const NO_KEY = apiError('invalid_api_key', 'No API key was given: send `Authorization: Bearer tg-…`.');

function accountOf(found: KeyRecord | ApiError): Account | ApiError {
  return found instanceof ApiError ? found : found.account;
}
