/**
 * Charges: what each team's calls of a UTC day cost, by model, tier, operation, price and provenance, and what corrected
 * them. Reads events, because sums of quarters know neither tiers nor prices; of archived months what their events summed to. Invariant: the charges of a day have the
 * total of the day in the ledger; a correction stands on the day of its call, as in every sum of Tollgate.
 */
import { asId, type DepartmentId, departmentsOf, type TeamId } from '../domain/ids.ts';
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
  /** The department of its calls when they were admitted, then the one above, …; empty: none, or archived before that was kept. */
  departments: readonly DepartmentId[];
  /** Their names, from the top: `Science / Physics`; empty: none. */
  departmentPath: string;
  /** Tags of its calls; null: none, or archived before they were kept. */
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
  /** Of calls in this department and below it; missing: of all. */
  departmentId?: DepartmentId;
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
  const { teamIds, departmentId } = range;
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
    for (const { id } of teams) {
      const team = { id: asId<TeamId>(id), name: names.get(id) ?? '' };
      yield await named(database, await chargesOf(sql, day, team, departmentId ?? null));
    }
  }
}

type Unnamed = Omit<Charge, 'departmentPath'>;

/** Adds the names of departments. */
async function named(database: Database, charges: Unnamed[]): Promise<Charge[]> {
  const names = await readNames(
    database,
    'departments',
    charges.flatMap(({ departments }) => departments),
  );
  return charges.map((charge) => ({ ...charge, departmentPath: departmentPath(charge.departments, names) }));
}

/** Returns the names of departments from the top, as people write them. @param ids the nearest first */
export function departmentPath(ids: readonly DepartmentId[], names: ReadonlyMap<string, string>): string {
  return ids
    .map((id) => names.get(id) ?? id)
    .toReversed()
    .join(' / ');
}

/** A void call cost nothing and is no charge. */
async function chargesOf(
  sql: Sql,
  day: Date,
  team: { id: TeamId; name: string },
  departmentId: DepartmentId | null,
): Promise<Unnamed[]> {
  const groups = sql`model, coalesce(service_tier, 'default'), operation, provenance, upstream, price_id, tags, departments`;
  const within = departmentId === null ? sql`` : sql`and ${departmentId}::uuid = any(departments)`;
  type Row = Omit<Unnamed, 'day' | 'teamId' | 'teamName' | 'departments'> & { departments: string | null };
  const rows = await sql<Row[]>`
    with of_day as (
      select * from usage_events where team_id = ${team.id}
        and created_at >= ${day.toISOString()} and created_at < ${new Date(day.getTime() + DAY_MS).toISOString()}
        ${within})
    select 'usage' as kind, false as "isLate", model, coalesce(service_tier, 'default') as tier, operation, provenance,
      upstream, price_id as "priceId", count(*)::text as calls, sum(input_tokens)::text as "inputTokens",
      sum(cached_input_tokens)::text as "cachedInputTokens", sum(output_tokens)::text as "outputTokens",
      sum(cost_usd)::text as "costUsd", tags, departments::text
    from of_day where outcome <> 'voided' or cost_usd <> 0 group by ${groups}
    union all
    select 'correction', c.created_at >= date_trunc('month', e.created_at, 'UTC') + interval '1 month', model,
      coalesce(service_tier, 'default'), operation, provenance, upstream, price_id, count(*)::text, '0', '0', '0',
      sum(c.delta_usd)::text, tags, departments::text
    from of_day e join adjustments c on c.team_id = e.team_id and c.event_id = e.id
    where c.team_id = ${team.id} group by 2, ${groups}
    union all
    select kind, is_late, model, tier, operation, provenance, upstream, price_id, calls::text, input_tokens::text,
      cached_input_tokens::text, output_tokens::text, cost_usd::text, tags, departments::text
    from usage_charges where team_id = ${team.id} and day = ${day.toISOString()} ${within}
    order by 3, 4, 5, 6, 7, 8, 1 desc, 2, 14, 15`;
  return rows.map(({ departments, ...row }) => ({
    ...{ ...row, departments: departmentsOf(departments) },
    ...{ day, teamId: team.id, teamName: team.name },
  }));
}
