/**
 * Charges: what each team's calls of a UTC day cost, by model, tier, operation, price and provenance, and what corrected
 * them. Reads events, because sums of quarters know neither tiers nor prices; of archived months what their events summed to. Invariant: the charges of a day have the
 * total of the day in the ledger; a correction stands on the day of its call, as in every sum of Tollgate.
 */
import { asId, type TeamId } from '../domain/ids.ts';
import type { Provenance } from '../domain/outcome.ts';
import { DAY_MS } from '../domain/window.ts';
import type { Database, Sql } from './database.ts';
import { readNames } from './names.ts';

/** Amounts are exact decimal text. */
export interface Charge {
  /** When the UTC day begins. */
  day: Date;
  teamId: TeamId;
  teamName: string;
  kind: 'usage' | 'correction';
  /** A correction that was made after the month of its calls had ended. */
  isLate: boolean;
  model: string;
  tier: string;
  operation: string;
  provenance: Provenance;
  /** Name of the upstream; null: there was one. */
  upstream: string | null;
  /** Tags of its calls; null: none, or its month is archived. */
  tags: Record<string, string> | null;
  /** Null: no price is known. */
  priceId: string | null;
  /** Calls that were charged, or corrections. */
  calls: string;
  /** Tokens of a correction are 0: its calls have them. */
  inputTokens: string;
  cachedInputTokens: string;
  outputTokens: string;
  costUsd: string;
}

export interface ChargeRange {
  /** Undefined: of all teams. */
  teamIds: readonly TeamId[] | undefined;
  /** Inclusive; where a UTC day begins, as `to`. */
  from: Date;
  /** Exclusive. */
  to: Date;
}

/**
 * Yields the charges of each day and team, oldest day first. Only the groups of one team's day are in memory, and no
 * statement reads more than that team's calls of that day.
 */
export async function* readCharges(database: Database, range: ChargeRange): AsyncGenerator<Charge[]> {
  const { readSql: sql } = database;
  const { teamIds } = range;
  const ofTeams = teamIds ? sql`and team_id = any(${teamIds}::text[]::uuid[])` : sql``;
  const days = await sql<{ day: Date }[]>`
    select distinct day from usage_days
    where day >= ${range.from.toISOString()} and day < ${range.to.toISOString()}
      ${ofTeams} order by 1`;
  for (const { day } of days) {
    const teams = await sql<{ id: string }[]>`
      select distinct team_id as id from usage_days
      where day = ${day.toISOString()} ${ofTeams} order by 1`;
    const names = await readNames(
      database,
      'teams',
      teams.map(({ id }) => id),
    );
    for (const { id } of teams) yield await chargesOf(sql, day, asId(id), names.get(id) ?? '');
  }
}

/** A void call cost nothing and is no charge. */
async function chargesOf(sql: Sql, day: Date, teamId: TeamId, teamName: string): Promise<Charge[]> {
  const groups = sql`model, coalesce(service_tier, 'default'), operation, provenance, upstream, price_id, tags`;
  const rows = await sql<Omit<Charge, 'day' | 'teamId' | 'teamName'>[]>`
    with of_day as (
      select * from usage_events where team_id = ${teamId}
        and created_at >= ${day.toISOString()} and created_at < ${new Date(day.getTime() + DAY_MS).toISOString()})
    select 'usage' as kind, false as "isLate", model, coalesce(service_tier, 'default') as tier, operation, provenance,
      upstream, price_id as "priceId", count(*)::text as calls, sum(input_tokens)::text as "inputTokens",
      sum(cached_input_tokens)::text as "cachedInputTokens", sum(output_tokens)::text as "outputTokens",
      sum(cost_usd)::text as "costUsd", tags
    from of_day where outcome <> 'voided' or cost_usd <> 0 group by ${groups}
    union all
    select 'correction', c.created_at >= date_trunc('month', e.created_at, 'UTC') + interval '1 month', model,
      coalesce(service_tier, 'default'), operation, provenance, upstream, price_id, count(*)::text, '0', '0', '0',
      sum(c.delta_usd)::text, tags
    from of_day e join adjustments c on c.team_id = e.team_id and c.event_id = e.id
    where c.team_id = ${teamId} group by 2, ${groups}
    union all
    select kind, is_late, model, tier, operation, provenance, upstream, price_id, calls::text, input_tokens::text,
      cached_input_tokens::text, output_tokens::text, cost_usd::text, null::jsonb
    from usage_charges where team_id = ${teamId} and day = ${day.toISOString()}
    order by 3, 4, 5, 6, 7, 8, 1 desc, 2`;
  return rows.map((row) => ({ ...row, day, teamId, teamName }));
}
