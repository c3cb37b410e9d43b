/** Accounts as the catalog gives them, with nothing in them but what a test names. */
import { type Account, inSpendingOrder } from '../../src/domain/budget.ts';

export function accountOf(changes: Partial<Account> & { teamId?: string; keyId?: string } = {}): Account {
  const { teamId = 'team', keyId = 'key-1', grants = [], ...rest } = changes;
  return {
    principal: { teamId, teamName: teamId, keyId, models: null },
    grants: inSpendingOrder(grants),
    limits: [],
    prepaid: grants.length > 0,
    unlimited: false,
    ...rest,
  };
}
