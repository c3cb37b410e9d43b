/** What was spent beyond limits: soft ones let it happen, strict ones were lowered below it. */
import type { Sql } from 'postgres';
import { type PicoUsd, usd } from '../domain/money.ts';

export interface OverLimitRow {
  team: string;
  excess: PicoUsd;
}

/** The most that each team is beyond one of its cost limits in a window that is open, the farthest first. */
export async function readOverLimits(sql: Sql, teamsMax: number): Promise<OverLimitRow[]> {
  const rows = await sql<{ team: string; excess: string }[]>`
    with moment as materialized (select tollgate_now() as now)
    select t.name as team, max(c.settled - c.amount)::text as excess
    from counters c cross join moment join teams t on t.id = c.team_id join limits l on l.id = c.source_id
    where c.source = 'limit' and c.meter = 'cost_usd' and (c.ends_at is null or c.ends_at > now)
      and c.settled > c.amount and t.deleted_at is null and l.deleted_at is null
    group by t.name order by max(c.settled - c.amount) desc, t.name limit ${teamsMax}`;
  return rows.map((row) => ({ team: row.team, excess: usd(row.excess) }));
}
