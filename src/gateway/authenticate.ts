/** Authenticate: from the bearer key to the account that pays. */
import type { IncomingMessage } from 'node:http';
import { whyRefused } from '../auth/keys.ts';
import type { Account } from '../domain/budget.ts';
import { type Fault, fault } from '../domain/errors.ts';
import type { Principal } from '../domain/limit.ts';
import { includesModel } from '../domain/price.ts';
import { bearerKey } from '../openai/headers.ts';
import type { KeyRecord } from '../store/catalog.ts';
import type { GatewayDeps } from './deps.ts';

export async function authenticate(deps: GatewayDeps, incoming: IncomingMessage): Promise<Account | Fault> {
  const key = bearerKey(incoming.rawHeaders);
  if (key === null) return invalid('No API key was given: send `Authorization: Bearer tg-…`.');
  if (typeof key !== 'string') return key;
  let record: KeyRecord | null;
  try {
    const found = deps.keys.find(key);
    record = found instanceof Promise ? await found : found;
  } catch {
    return fault('ledger_unavailable', 'The key cannot be checked just now.', { retryAfterMs: 1000 });
  }
  const refused = whyRefused(record, deps.clock.nowMs());
  return refused === null ? record!.account : invalid(refused);
}

function invalid(message: string): Fault {
  return fault('invalid_api_key', message);
}

/** A name that a key, and its team, may use allows its dated snapshots too. */
export function mayUse({ models, teamModels }: Principal, model: string): boolean {
  return includesModel(models, model) && includesModel(teamModels, model);
}
