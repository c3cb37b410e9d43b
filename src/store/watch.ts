/**
 * Watch: what metrics tell of the whole installation and only Postgres knows: each team's tightest budget, how soon it
 * is spent, and the state of the database itself. Read every few seconds by every instance, so each query reads indexes
 * only, and rollups of the last hour.
 */

import { sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { type OverLimit, readOverLimits, readTightestBudgets, type TightestBudget } from './budgets.ts';
import { type Queries, runOn } from './database.ts';

export interface WatchReading {
  /** Those closest to their end first. */
  budgets: TightestBudget[];
  /** Teams beyond a limit, the farthest first. */
  overLimits: OverLimit[];
  /** Charged for calls whose outcome is still unknown. */
  unresolved: PicoUsd;
  /** Tollgate's sessions on this database by state, of all instances. */
  connections: Map<ConnectionState, number>;
  /** Events that no monthly partition took. */
  unpartitionedEvents: number;
  /** Events that could not be stored and were set aside. */
  quarantinedEvents: number;
  /** The highest part of the values that a team may have open of a tag. */
  tagValuesUsedRatio: number;
  jobs: JobsReading;
  /** The most of one day's bill that is unexplained and not posted. */
  unexplained: { final: PicoUsd; moving: PicoUsd };
  /** Months of events that are old enough to be archived, and are not. */
  archiveWaitingMonths: number;
}

/** Jobs that have not ended. */
export interface JobsReading {
  asked: number;
  running: number;
  held: PicoUsd;
  /** Age of the oldest, in seconds; 0: there is none. */
  oldestSeconds: number;
}

const CONNECTION_STATES = ['active', 'idle', 'idle_in_transaction', 'other'] as const;
type ConnectionState = (typeof CONNECTION_STATES)[number];

/** Asks Postgres a question that costs it nothing. */
export async function ping(queries: Queries): Promise<void> {
  await queries.execute(sql`select 1`);
}

/**
 * Reads it all at this moment of Postgres's clock, with at most so many budgets.
 * @throws any error of the connection
 */
export async function readWatch(queries: Queries, budgetsMax: number): Promise<WatchReading> {
  const [budgets, overLimits, totals, sessions, jobs, unexplained] = await Promise.all([
    readTightestBudgets(queries, budgetsMax),
    readOverLimits(queries, budgetsMax),
    runOn(queries)<{
      unresolved: string;
      unpartitioned: number;
      quarantined: number;
      waiting: number;
      tags: number;
    }>(sql`
      select (select coalesce(sum(unknown_usd), 0) from usage_days where unknown_usd <> 0)::text as unresolved,
        (select count(*)::float8 from usage_events_default) as unpartitioned,
        (select count(*)::float8 from quarantined_events) as quarantined,
        (select count(*)::float8 from archived_months where archived_at is null) as waiting,
        (select coalesce(max(v.open / r.max_values::float8), 0)
          from tags r join (select name, count(*) as open from tag_values group by team_id, name) v on v.name = r.name) as tags`),
    runOn(queries)<{ state: string | null; sessions: number }>(sql`
      select state, count(*)::int4 as sessions from pg_stat_activity
      where datname = current_database() and application_name = 'tollgate' group by state`),
    readJobs(queries),
    readUnexplained(queries),
  ]);
  const connections = new Map(CONNECTION_STATES.map((state) => [state, 0]));
  for (const { state, sessions: count } of sessions) {
    const name = stateOf(state);
    connections.set(name, (connections.get(name) ?? 0) + count);
  }
  const { unresolved, unpartitioned, quarantined, waiting, tags } = defined(
    totals[0],
    'the row of the totals',
  );
  return {
    budgets,
    overLimits,
    unresolved: usd(unresolved),
    connections,
    unpartitionedEvents: unpartitioned,
    quarantinedEvents: quarantined,
    tagValuesUsedRatio: tags,
    jobs,
    unexplained,
    archiveWaitingMonths: waiting,
  };
}

async function readJobs(queries: Queries): Promise<JobsReading> {
  const rows = await runOn(queries)<{ asked: number; running: number; held: string; oldest: number }>(sql`
    select (count(*) filter (where state = 'asked'))::int4 as asked,
      (count(*) filter (where state = 'running'))::int4 as running, coalesce(sum(held_usd), 0)::text as held,
      coalesce(extract(epoch from tollgate_now() - min(created_at)), 0)::float8 as oldest
    from jobs where ended_at is null`);
  const { asked, running, held, oldest } = defined(rows[0], 'the row of the sums');
  return { asked, running, held: usd(held), oldestSeconds: Math.max(0, oldest) };
}

/** Older days are in the console alone. */
const UNEXPLAINED_DAYS = 31;

async function readUnexplained(queries: Queries): Promise<WatchReading['unexplained']> {
  const rows = await runOn(queries)<{ final: string; moving: string }>(sql`
    select coalesce(max(rest) filter (where is_final), 0)::text as final,
      coalesce(max(rest) filter (where not is_final), 0)::text as moving
    from (
      select r.is_final, abs(r.unexplained_usd - coalesce((
        select sum(p.amount_usd) from reconciliation_postings p
        where p.day = r.day and p.upstream = r.upstream and p.difference like 'unexplained/%'), 0)) as rest
      from reconciliations r where r.day >= (tollgate_now() at time zone 'UTC')::date - ${UNEXPLAINED_DAYS}::int) days`);
  const { final, moving } = defined(rows[0], 'the row of the sums');
  return { final: usd(final), moving: usd(moving) };
}

function stateOf(state: string | null): ConnectionState {
  const name = state?.replaceAll(' ', '_');
  return CONNECTION_STATES.find((known) => known === name) ?? 'other';
}
