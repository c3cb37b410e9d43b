/**
 * Watch: what metrics tell of the whole installation and only Postgres knows: each team's tightest budget, how soon it
 * is spent, and the state of the database itself. Read every few seconds by every instance, so each query reads indexes
 * only, and rollups of the last hour.
 */
import type { Sql } from 'postgres';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { type OverLimitRow, readOverLimits } from './over-limit.ts';

/** A team's tightest budget: its grants together, or one of its cost limits. */
export interface BudgetRow {
  team: string;
  amount: PicoUsd;
  /** Amount less all that was settled; what calls hold is not subtracted. Below zero after an overrun. */
  remaining: PicoUsd;
  /** At the pace of the last hour; null: nothing was spent in it. */
  exhaustedInSeconds: number | null;
  /** When the limit's window ends, or the last grant; null: never, or its window has not been used yet. */
  endsAtMs: number | null;
  /** When the first grant that has money left expires; null: none does. */
  grantExpiresAtMs: number | null;
}

export interface WatchReading {
  /** Those closest to their end first. */
  budgets: BudgetRow[];
  /** Teams beyond a limit, the farthest first. */
  overLimits: OverLimitRow[];
  /** Charged for calls whose outcome nobody knows yet. */
  unresolved: PicoUsd;
  /** Tollgate's sessions on this database by state, of all instances. */
  connections: Map<ConnectionState, number>;
  /** Events that no monthly partition took. */
  unpartitionedEvents: number;
}

export const CONNECTION_STATES = ['active', 'idle', 'idle_in_transaction', 'other'] as const;
type ConnectionState = (typeof CONNECTION_STATES)[number];

/**
 * Reads it all at this moment of Postgres's clock, with at most so many budgets.
 * @throws any error of the connection
 */
export async function readWatch(sql: Sql, budgetsMax: number): Promise<WatchReading> {
  const [budgets, overLimits, totals, sessions] = await Promise.all([
    readBudgets(sql, budgetsMax),
    readOverLimits(sql, budgetsMax),
    sql<{ unresolved: string; unpartitioned: number }[]>`
      select (select coalesce(sum(unknown_usd), 0) from usage_days where unknown_usd <> 0) as unresolved,
        (select count(*)::float8 from usage_events_default) as unpartitioned`,
    sql<{ state: string | null; sessions: number }[]>`
      select state, count(*)::int4 as sessions from pg_stat_activity
      where datname = current_database() and application_name = 'tollgate' group by state`,
  ]);
  const connections = new Map(CONNECTION_STATES.map((state) => [state, 0]));
  for (const { state, sessions: count } of sessions) {
    const name = stateOf(state);
    connections.set(name, connections.get(name)! + count);
  }
  const { unresolved, unpartitioned } = totals[0]!;
  return {
    budgets,
    overLimits,
    unresolved: usd(unresolved),
    connections,
    unpartitionedEvents: unpartitioned,
  };
}

function stateOf(state: string | null): ConnectionState {
  const name = state?.replaceAll(' ', '_');
  return CONNECTION_STATES.find((known) => known === name) ?? 'other';
}

interface Row {
  team: string;
  amount: string;
  remaining: string;
  seconds: number | null;
  ends_at: Date | null;
  grant_expires_at: Date | null;
}

/**
 * Grants add up to one budget; a team whose grants are all spent or expired still has that budget, of which nothing is
 * left. Limits of a key or of some models are no budget of the team's.
 */
async function readBudgets(sql: Sql, budgetsMax: number): Promise<BudgetRow[]> {
  const rows = await sql<Row[]>`
    with moment as materialized (
      select now, date_bin('15 minutes', now - interval '1 hour', 'epoch') as hour_ago from tollgate_now() as now),
    credit as (
      select g.team_id, g.expires_at, g.amount_usd as amount, coalesce(c.settled, 0) as settled,
        g.starts_at <= now and coalesce(g.expires_at > now, true) as usable
      from grants g cross join moment left join counters c on c.team_id = g.team_id and c.source_id = g.id
      where g.deleted_at is null),
    purse as (
      select team_id, coalesce(sum(amount) filter (where usable), 0) as amount,
        coalesce(sum(amount - settled) filter (where usable), 0) as remaining,
        case when bool_or(usable and expires_at is null) then null else max(expires_at) filter (where usable) end as ends_at,
        min(expires_at) filter (where usable and amount > settled) as grant_expires_at
      from credit group by team_id),
    budget as (
      select team_id, amount, remaining, ends_at from purse
      union all
      select l.team_id, l.amount, l.amount - coalesce(c.settled, 0), c.ends_at
      from limits l cross join moment left join counters c on c.team_id = l.team_id and c.source_id = l.id
        and c.starts_at <= now and coalesce(c.ends_at > now, true)
      where l.deleted_at is null and l.enforcement = 'strict' and l.meter = 'cost_usd' and l.models is null
        and l.subject_type in ('team', 'org') and l."window" ->> 'type' in ('calendar', 'lifetime')),
    tightest as (select distinct on (team_id) * from budget order by team_id, remaining),
    pace as (
      select t.id as team_id, spent.usd / extract(epoch from now - hour_ago)::float8 as usd_per_second
      from teams t cross join moment cross join lateral (
        select sum(cost_usd)::float8 as usd from usage_rollups r where r.team_id = t.id and r.bucket_start >= hour_ago) spent),
    total as (select sum(usd_per_second) as usd_per_second from pace)
    select t.name as team, b.amount, b.remaining, b.ends_at, p.grant_expires_at,
      greatest(b.remaining, 0)::float8
        / nullif(case t.id when ${ORGANIZATION_ID} then total.usd_per_second else pace.usd_per_second end, 0) as seconds
    from tightest b join teams t on t.id = b.team_id cross join total
    left join pace on pace.team_id = t.id left join purse p on p.team_id = t.id
    where t.deleted_at is null or t.id = ${ORGANIZATION_ID}
    order by b.remaining / nullif(b.amount, 0) nulls last, t.name
    limit ${budgetsMax}`;
  return rows.map((row) => ({
    team: row.team,
    amount: usd(row.amount),
    remaining: usd(row.remaining),
    exhaustedInSeconds: row.seconds,
    endsAtMs: row.ends_at?.getTime() ?? null,
    grantExpiresAtMs: row.grant_expires_at?.getTime() ?? null,
  }));
}
