/** What the table shows, read from the admin API: usage by team and model, and each team's balance. */
import type { z } from 'zod';
import { Balance, Usage } from '../admin/contract.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import type { AdminClient } from './admin-client.ts';
import type { Player } from './teams.ts';

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
  /** Of the team's grants together, or else of its limit. */
  amountPicoUsd: PicoUsd;
  remainingPicoUsd: PicoUsd;
  denials: number;
}

export async function readFigures(
  admin: AdminClient,
  players: readonly Player[],
  denials: ReadonlyMap<string, number>,
): Promise<TeamFigures[]> {
  const [usage, balances] = await Promise.all([
    admin.get('/usage?group_by=team,model&interval=total', Usage),
    Promise.all(players.map(({ teamId }) => admin.get(`/teams/${teamId}/balance`, Balance))),
  ]);
  return players.map(({ teamId, teamName }, index) => ({
    name: teamName,
    models: usage.data
      .filter((row) => row.team_id === teamId)
      .map((row) => ({
        // Listing the models is a call without one.
        model: row.model || '—',
        calls: row.calls,
        tokens: row.input_tokens + row.output_tokens,
        costPicoUsd: usd(row.cost_usd),
      })),
    ...purseOf(balances[index]!),
    denials: denials.get(teamId) ?? 0,
  }));
}

function purseOf(balance: z.infer<typeof Balance>): Pick<TeamFigures, 'amountPicoUsd' | 'remainingPicoUsd'> {
  if (balance.remaining_usd !== null) {
    return { amountPicoUsd: usd(balance.granted_usd), remainingPicoUsd: usd(balance.remaining_usd) };
  }
  const limit = balance.limits[0];
  if (!limit) return { amountPicoUsd: 0n, remainingPicoUsd: 0n };
  return { amountPicoUsd: usd(limit.amount), remainingPicoUsd: usd(limit.remaining) };
}

/** What all models and teams cost together. */
export function totalCost(figures: readonly TeamFigures[]): PicoUsd {
  return figures.flatMap(({ models }) => models).reduce((sum, { costPicoUsd }) => sum + costPicoUsd, 0n);
}
