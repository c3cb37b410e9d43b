/** The figures of the table, read from the admin API: usage by team and model, and the balance of each team. */
import type { z } from 'zod';
import { Balance, Usage } from '../admin/contract.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import type { AdminClient } from './admin-client.ts';
import type { DemoTeam } from './teams.ts';

export interface ModelFigures {
  model: string;
  calls: number;
  tokens: number;
  costPicoUsd: PicoUsd;
}

export interface TeamFigures {
  name: string;
  /** In the order in which the admin API lists them: by name. */
  models: ModelFigures[];
  /** The team's grants together, or its limit. */
  amountPicoUsd: PicoUsd;
  remainingPicoUsd: PicoUsd;
  denials: number;
}

export async function readFigures(
  admin: AdminClient,
  teams: readonly DemoTeam[],
  denials: ReadonlyMap<string, number>,
): Promise<TeamFigures[]> {
  const [usage, budgets] = await Promise.all([
    admin.get('/usage?group_by=team,model&interval=total', Usage),
    Promise.all(teams.map((team) => budgetOf(admin, team))),
  ]);
  return budgets.map(({ team: { teamId, teamName }, ...budget }) => ({
    name: teamName,
    models: usage.data
      .filter((row) => row.team_id === teamId)
      .map((row) => ({
        // The list of models is a call without a model.
        model: row.model || '—',
        calls: row.calls,
        tokens: row.input_tokens + row.output_tokens,
        costPicoUsd: usd(row.cost_usd),
      })),
    ...budget,
    denials: denials.get(teamId) ?? 0,
  }));
}

async function budgetOf(admin: AdminClient, team: DemoTeam) {
  const balance = await admin.get(`/teams/${team.teamId}/balance`, Balance);
  return { team, ...amountsOf(balance) };
}

function amountsOf(
  balance: z.infer<typeof Balance>,
): Pick<TeamFigures, 'amountPicoUsd' | 'remainingPicoUsd'> {
  if (balance.remaining_usd !== null) {
    return { amountPicoUsd: usd(balance.granted_usd), remainingPicoUsd: usd(balance.remaining_usd) };
  }
  const limit = balance.limits[0];
  if (!limit) return { amountPicoUsd: 0n, remainingPicoUsd: 0n };
  return { amountPicoUsd: usd(limit.amount), remainingPicoUsd: usd(limit.remaining) };
}

/** Returns what the ledger has of all teams, also of those made by hand, and of earlier runs on the same data. */
export async function readLedgerTotal(admin: AdminClient): Promise<PicoUsd> {
  const { data } = await admin.get('/usage?interval=total', Usage);
  return data.reduce((sum, { cost_usd: cost }) => sum + usd(cost), 0n);
}
