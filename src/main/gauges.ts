/** The state of every team that calls here, from memory, for the metrics. */
import type { KeyCache } from '../auth/key-cache.ts';
import type { LeaseTable } from '../admission/lease-table.ts';

export interface TeamGauge {
  team: string;
  heldPicoUsd: bigint;
  leasedPicoUsd: bigint;
}

/** Grants add up; limits do not, so of a team's pools the one that says most is shown. */
export function teamGauges(leases: LeaseTable, keys: KeyCache, nowMs: number): Iterable<TeamGauge> {
  const pools = new Map<string, { teamId: string; held: bigint; free: bigint }>();
  for (const { spec, held, free } of leases.all()) {
    if (spec.meter !== 'cost_usd' || (spec.endsAtMs !== null && spec.endsAtMs <= nowMs)) continue;
    const id = spec.source === 'grant' ? spec.teamId : spec.id;
    const pool = pools.get(id) ?? { teamId: spec.teamId, held: 0n, free: 0n };
    pool.held += held;
    pool.free += free;
    pools.set(id, pool);
  }
  const teams = new Map<string, TeamGauge>();
  for (const { teamId, held, free } of pools.values()) {
    const name = keys.teamName(teamId);
    if (name === null) continue;
    const team = teams.get(teamId);
    if (!team) teams.set(teamId, { team: name, heldPicoUsd: held, leasedPicoUsd: held + free });
    else {
      if (held > team.heldPicoUsd) team.heldPicoUsd = held;
      if (held + free > team.leasedPicoUsd) team.leasedPicoUsd = held + free;
    }
  }
  return teams.values();
}
