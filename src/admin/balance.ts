/** Route: a team's balance. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatAmount } from '../domain/amount.ts';
import { isOfSeveralTeams } from '../domain/counter.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import type { PicoUsd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import {
  type GrantBalance,
  type LimitBalance,
  toLimit as limitOf,
  readBalance,
  type Balance as Stored,
} from '../store/balance.ts';
import type { Database } from '../store/database.ts';
import { findTeam } from '../store/teams.ts';
import { Balance } from './contract.ts';
import { ruleOf, stateOf } from './limits.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { route } from './route.ts';

export function balanceRoute(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const summary = 'Show what a team has, spent and holds';
  const definition = {
    method: 'get',
    path: '/teams/{id}/balance',
    summary,
    response: Balance,
  } as const;
  route(app, definition, async ({ id }) => {
    if (!(await findTeam(database, asId(id)))) return null;
    await settleNow();
    return balanceOf(database, asId(id));
  });
}

/** Returns a team's balance, as every route shows it. */
export async function balanceOf(database: Database, teamId: TeamId): Promise<z.input<typeof Balance>> {
  return toBalance(teamId, await readBalance(database, teamId));
}

const atLeastZero = (amount: PicoUsd) => (amount > 0n ? amount : 0n);
const sum = (amounts: PicoUsd[]) => amounts.reduce((total, amount) => total + amount, 0n);

/**
 * A team that ever had a grant is prepaid: its sums are those of its grants. A deleted grant counts with what was spent
 * of it, so that the sums stay true. The sums of any other team are those of the ledger; its held sum is that of the
 * limit that holds most, because each call is held once on each of its limits.
 */
function toBalance(teamId: TeamId, { grants, limits, charged, unknown }: Stored): z.input<typeof Balance> {
  const prepaid = grants.length > 0;
  const granted = grants.map((each) => (each.grant.deletedAt ? each.settled : each.amount));
  const held = prepaid ? sum(grants.map((each) => each.held)) : mostHeld(limits);
  return {
    team_id: teamId,
    granted_usd: formatUsd(sum(granted)),
    settled_usd: formatUsd(prepaid ? sum(grants.map((each) => each.settled)) : charged),
    held_usd: formatUsd(held),
    remaining_usd: prepaid ? formatUsd(sum(grants.map(remaining))) : null,
    unknown_usd: formatUsd(unknown),
    grants: grants.filter((each) => !each.grant.deletedAt).map(toGrant),
    limits: limits.map(toLimit),
  };
}

function mostHeld(limits: LimitBalance[]): PicoUsd {
  const ofTeam = limits.filter(
    ({ limit }) => limit.meter === 'cost_usd' && !isOfSeveralTeams(limitOf(limit)),
  );
  return ofTeam.reduce((most, each) => (each.held > most ? each.held : most), 0n);
}

function remaining(each: GrantBalance): PicoUsd {
  return each.usable ? atLeastZero(each.amount - each.settled) : 0n;
}

function toGrant(each: GrantBalance) {
  return {
    id: each.grant.id,
    name: each.grant.name,
    amount_usd: formatUsd(each.amount),
    settled_usd: formatUsd(each.settled),
    held_usd: formatUsd(each.held),
    remaining_usd: formatUsd(remaining(each)),
    starts_at: instantOf(each.grant.startsAt),
    expires_at: instantOf(each.grant.expiresAt),
    max_unknown_usd: each.grant.maxUnknownUsd === null ? null : moneyOf(each.grant.maxUnknownUsd),
  };
}

function toLimit(balance: LimitBalance) {
  const { limit, amount, settled, held } = balance;
  const over = formatAmount(limit.meter, atLeastZero(settled + held - amount));
  return { ...ruleOf(limit), ...stateOf(balance), over_limit_usd: over };
}
