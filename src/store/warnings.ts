/**
 * Warnings: thresholds that counters have reached. Invariants: a threshold of an amount is raised once in each window,
 * however often and by however many replicas the job runs; a warning is visible together with its catalog version.
 */
import { randomUUID } from 'node:crypto';
import { and, desc, eq, getTableColumns, inArray, type SQL, sql } from 'drizzle-orm';
import type { CounterId, TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type After, changeCatalog, isAfter, raiseVersion } from './changes.ts';
import { type Database, inStatements, runOn, type Transaction } from './database.ts';
import { counters, grants, limits, warnings } from './schema.ts';

export interface RaisedWarning {
  teamId: TeamId;
  counterId: CounterId;
  /** Percent. */
  threshold: number;
}

export interface RaiseOptions {
  /** Percent of the amount, ascending. */
  thresholds: readonly number[];
  /** Whether a webhook is configured. */
  deliver: boolean;
}

/** Teams whose warnings are raised in one transaction: each is locked until it ends. */
const TEAMS_MAX = 100;

/** Raises the thresholds that open counters have reached since the last run. Returns the new warnings. */
export async function raiseWarnings(
  database: Database,
  now: Date,
  options: RaiseOptions,
): Promise<RaisedWarning[]> {
  const { thresholds, deliver } = options;
  const raised: RaisedWarning[] = [];
  for (;;) {
    const rows = await runOn(database.db)<{ team_id: TeamId }>(sql`
      select distinct r.team_id from (${reached(thresholds, now)}) r order by r.team_id limit ${TEAMS_MAX}`);
    if (rows.length === 0) return raised;
    const teamIds = rows.map((row) => row.team_id);
    const found = await changeCatalog(database, (tx) =>
      insert(tx, teamIds, now, { deliver, denied: false, rows: reached(thresholds, now) }),
    );
    // None of them: another replica was faster, and what is left is its business.
    if (found.length === 0) return raised;
    raised.push(...found);
  }
}

/** A counter that denied a call. */
export interface DenyingCounter {
  teamId: TeamId;
  id: string;
}

/** Percent at which a budget is spent. */
const SPENT = 100;
/** A call that is denied with more left than this was too large; with less, the budget is spent. */
const NEARLY_SPENT = 50;

/**
 * Raises the threshold of 100 % for budgets that denied a call. What a strict budget has left at its end pays for no
 * call, so it hardly ever reaches its last cent.
 */
export async function raiseDenied(
  database: Database,
  counters: readonly DenyingCounter[],
  { thresholds, deliver }: RaiseOptions,
): Promise<RaisedWarning[]> {
  if (counters.length === 0) return [];
  const teamIds = [...new Set(counters.map(({ teamId }) => teamId))];
  const names = sql.param(counters.map(({ teamId, id }) => `${teamId}/${id}`));
  return changeCatalog(database, (tx, now) => {
    const spent = sql`p.threshold = ${SPENT} and c.settled * 100 >= c.amount * ${NEARLY_SPENT}::int`;
    const these = sql`c.team_id in ${teamIds} and c.team_id || '/' || c.id = any(${names}::text[])`;
    const rows = sql`${open(thresholds, now)} and ${spent} and ${these}`;
    return insert(tx, teamIds, now, { deliver, denied: true, rows });
  });
}

interface Insertion {
  deliver: boolean;
  denied: boolean;
  rows: SQL;
}

async function insert(
  tx: Transaction,
  teamIds: TeamId[],
  now: Date,
  { deliver, denied, rows: reachedNow }: Insertion,
): Promise<RaisedWarning[]> {
  await tx.execute(sql`select id from teams where id in ${teamIds} order by id for no key update`);
  // Read first, then written: Citus inserts nothing that it would have to read from tables of the coordinator and others.
  const found = await runOn(tx)<{
    team_id: TeamId;
    counter_id: CounterId;
    threshold: number;
    amount: string;
    settled: string;
  }>(sql`
    select r.team_id, r.counter_id, r.threshold, r.amount::text, r.settled::text from (${reachedNow}) r
    where r.team_id in ${teamIds}`);
  if (found.length === 0) return [];
  const rows = found.map((row) => ({
    teamId: row.team_id,
    counterId: row.counter_id,
    threshold: row.threshold,
    amount: row.amount,
    id: randomUUID(),
    settled: row.settled,
    denied,
    raisedAt: now,
    nextAttemptAt: deliver ? now : null,
  }));
  const raised: RaisedWarning[] = [];
  for (const some of inStatements(rows)) {
    const inserted = await tx.insert(warnings).values(some).onConflictDoNothing().returning();
    raised.push(...inserted.map(({ teamId, counterId, threshold }) => ({ teamId, counterId, threshold })));
  }
  if (raised.length > 0) await raiseVersion(tx, [...new Set(raised.map(({ teamId }) => teamId))], 'reread');
  return raised;
}

const at = (moment: Date) => sql`${moment.toISOString()}::timestamptz`;

/** What open counters have settled of their amount, as far as it reaches one of their thresholds. */
function reached(thresholds: readonly number[], now: Date): SQL {
  // Cheap, and true of nearly none: it saves the joins.
  const some = sql`(l.warn_at is not null or c.settled * 100 >= c.amount * ${Math.min(...thresholds)}::int)`;
  return sql`${open(thresholds, now)} and ${some} and c.settled * 100 >= c.amount * p.threshold`;
}

/**
 * The open counters of active limits and grants, with each threshold without a warning. Flow that comes back
 * by itself is nothing to warn of.
 */
function open(thresholds: readonly number[], now: Date): SQL {
  return sql`
    select c.team_id, c.id as counter_id, p.threshold, c.amount, c.settled
    from counters c
    left join limits l on l.id = c.source_id and c.source = 'limit'
    left join grants g on g.id = c.source_id and c.source = 'grant'
    left join teams t on t.id = c.team_id and t.id <> ${ORGANIZATION_ID}
    cross join lateral unnest(coalesce(l.warn_at, ${`{${thresholds.join(',')}}`}::int[])) as p(threshold)
    where (c.ends_at is null or c.ends_at > ${at(now)}) and c.amount > 0 and c.rolling_ms is null
      and c.source <> 'raise'
      and coalesce(l.deleted_at, g.deleted_at, t.deleted_at) is null
      and not exists (select 1 from warnings w where w.team_id = c.team_id and w.counter_id = c.id
        and w.threshold = p.threshold and w.amount = c.amount)`;
}

export type WarningRow = typeof warnings.$inferSelect & {
  createdAt: Date;
  counter: typeof counters.$inferSelect;
  /** Of the limit or grant. */
  name: string | null;
};

/** Reads warnings, newest first. */
export function listWarnings(
  database: Database,
  page: { after: After | null; limit: number; teamIds: readonly TeamId[] | undefined },
): Promise<WarningRow[]> {
  return database.db
    .select({
      ...getTableColumns(warnings),
      createdAt: warnings.raisedAt,
      counter: getTableColumns(counters),
      name: sql<string | null>`coalesce(${limits.name}, ${grants.name})`,
    })
    .from(warnings)
    .innerJoin(counters, and(eq(counters.teamId, warnings.teamId), eq(counters.id, warnings.counterId)))
    .leftJoin(limits, sql`${limits.id} = ${counters.sourceId}`)
    .leftJoin(grants, sql`${grants.id} = ${counters.sourceId}`)
    .where(
      and(
        isAfter({ createdAt: warnings.raisedAt, id: warnings.id }, page.after, 'desc'),
        page.teamIds && inArray(warnings.teamId, [...page.teamIds]),
      ),
    )
    .orderBy(desc(warnings.raisedAt), desc(warnings.id))
    .limit(page.limit);
}
