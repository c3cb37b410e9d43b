/** Accounts as the catalog gives them, with nothing in them but what a test names. */

import { type Account, inSpendingOrder } from '../../src/domain/budget.ts';
import { asId, type TeamId } from '../../src/domain/ids.ts';
import type { Grant, Limit } from '../../src/domain/limit.ts';
import { usd } from '../../src/domain/money.ts';

export function accountOf(changes: Partial<Account> & { teamId?: string; keyId?: string } = {}): Account {
  const { teamId = 'team', keyId = 'key-1', grants = [], ...rest } = changes;
  return {
    principal: { teamId: asId(teamId), teamName: teamId, keyId: asId(keyId), models: null, teamModels: null },
    grants: inSpendingOrder(grants),
    limits: [],
    prepaid: grants.length > 0,
    unlimited: false,
    hasInstead: (rest.limits ?? []).some(({ onExhausted }) => onExhausted !== null),
    departments: null,
    failOpen: false,
    onClientGone: null,
    onShortage: null,
    tags: null,
    tagRules: [],
    warnings: [],
    unknown: [],
    ...rest,
  };
}

/** A strict limit of the team on cost over its whole life, unless told otherwise. */
export function limitOf(id: string, amount: string, changes: Partial<Limit> = {}): Limit {
  const teamId = changes.teamId ?? asId<TeamId>('team');
  return {
    id: asId(id),
    teamId,
    subject: { type: 'team', id: teamId },
    models: null,
    meter: 'cost_usd',
    amount: usd(amount),
    window: { type: 'lifetime' },
    enforcement: 'strict',
    maxHold: null,
    maxUnknown: null,
    name: null,
    onExhausted: null,
    resetAtMs: null,
    raises: [],
    ...changes,
  };
}

export function grantOf(id: string, amount: string, changes: Partial<Grant> = {}): Grant {
  return {
    id: asId(id),
    teamId: asId('team'),
    amount: usd(amount),
    startsAtMs: 0,
    expiresAtMs: null,
    maxUnknown: null,
    name: null,
    ...changes,
  };
}

/** Tells the store of the limits and grants of these accounts, as an admin would have made them. */
export function register(store: { setAmount(id: string, amount: bigint): void }, ...accounts: Account[]) {
  for (const { limits, grants } of accounts) {
    for (const each of [...limits, ...grants]) store.setAmount(each.id, each.amount);
  }
}
