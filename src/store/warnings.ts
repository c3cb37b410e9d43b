/**
 * Warnings: thresholds that counters have reached. Invariants: a threshold of an amount is raised once in each window,
 * whoever looks and however often; a warning is visible together with the catalog version that tells replicas of it;
 * what is claimed for delivery and not ended is claimed again, so a delivery may come twice, but never not at all.
 */
import { sql } from 'drizzle-orm';
import type { Sql } from 'postgres';
import type { Warning } from '../domain/warning.ts';
import { changeCatalog, clock, raiseVersion, type Transaction } from './catalog-version.ts';
import type { Database } from './database.ts';

export interface RaisedWarning {
  teamId: string;
  counterId: string;
  /** Percent. */
  threshold: number;
}

export interface RaiseOptions {
  /** Percent of the amount, ascending. */
  thresholds: readonly number[];
  /** Whether anybody wants to be sent them. */
  deliver: boolean;
}

/** Teams whose warnings are raised in one transaction: each is locked until it ends. */
const TEAMS_MAX = 100;

/** Raises what the open counters have reached since the last look. Answers what is new. */
export async function raiseWarnings(database: Database, options: RaiseOptions): Promise<RaisedWarning[]> {
  const raised: RaisedWarning[] = [];
  for (;;) {
    const now = await clock(database.db);
    const rows = await database.db.execute<{ team_id: string }>(sql`
      select distinct r.team_id from (${reached(options.thresholds, now)}) r order by r.team_id limit ${TEAMS_MAX}`);
    if (rows.length === 0) return raised;
    const teamIds = rows.map((row) => row.team_id);
    const found = await changeCatalog(database, (tx, at) => insertReached(tx, teamIds, at, options));
    // None of them: another replica was faster, and what is left is its business.
    if (found.length === 0) return raised;
    raised.push(...found);
  }
}

async function insertReached(
  tx: Transaction,
  teamIds: string[],
  now: Date,
  { thresholds, deliver }: RaiseOptions,
): Promise<RaisedWarning[]> {
  await tx.execute(sql`select id from teams where id in ${teamIds} order by id for no key update`);
  const rows = await tx.execute<{ team_id: string; counter_id: string; threshold: number }>(sql`
    insert into warnings (team_id, counter_id, threshold, amount, id, settled, raised_at, next_attempt_at)
    select r.team_id, r.counter_id, r.threshold, r.amount, gen_random_uuid(), r.settled, ${at(now)},
      ${deliver ? at(now) : sql`null`}
    from (${reached(thresholds, now)}) r where r.team_id in ${teamIds}
    on conflict do nothing returning team_id, counter_id, threshold`);
  const raised = rows.map((row) => ({
    teamId: row.team_id,
    counterId: row.counter_id,
    threshold: row.threshold,
  }));
  if (raised.length > 0) await raiseVersion(tx, [...new Set(raised.map(({ teamId }) => teamId))]);
  return raised;
}

const at = (moment: Date) => sql`${moment.toISOString()}::timestamptz`;

/** What open counters of limits and grants in force have reached, and nobody was warned of. */
function reached(thresholds: readonly number[], now: Date) {
  return sql`
    select c.team_id, c.id as counter_id, p.threshold, c.amount, c.settled
    from counters c
    join unnest(${`{${thresholds.join(',')}}`}::int[]) as p(threshold) on c.settled * 100 >= c.amount * p.threshold
    left join limits l on l.id = c.source_id and c.source = 'limit'
    left join grants g on g.id = c.source_id and c.source = 'grant'
    left join teams t on t.id = c.team_id
    where (c.ends_at is null or c.ends_at > ${at(now)}) and c.amount > 0
      and coalesce(l.deleted_at, g.deleted_at, t.deleted_at) is null
      and not exists (select 1 from warnings w where w.team_id = c.team_id and w.counter_id = c.id
        and w.threshold = p.threshold and w.amount = c.amount)`;
}

/** The highest threshold that each of a team's budgets has reached in a window that is open, by its present amount. */
export async function openWarnings(client: Sql, teamId: string): Promise<Warning[]> {
  const rows = await client<{ source_id: string; percent: number; until_ms: number | null }[]>`
    select c.source_id, max(w.threshold) as percent, (extract(epoch from c.ends_at) * 1000)::float8 as until_ms
    from warnings w join counters c on c.team_id = w.team_id and c.id = w.counter_id and c.amount = w.amount
    where w.team_id = ${teamId} and (c.ends_at is null or c.ends_at > tollgate_now())
    group by c.source_id, c.ends_at order by c.source_id`;
  return rows.map((row) => ({ sourceId: row.source_id, percent: row.percent, untilMs: row.until_ms }));
}
