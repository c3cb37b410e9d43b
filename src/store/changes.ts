/**
 * Changes of the catalog (teams, keys, limits, grants, prices). Owns: their transaction, its clock and its actor, and the
 * version by which replicas notice them. Invariants: a version is visible only together with its changes and all of
 * smaller versions; locks are taken in one order: team, row of the resource, counters by id, the version last.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { eq, inArray, type SQL, sql } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { type Database, type Queries, retried, runOn, type Transaction } from './database.ts';
import { catalogVersion, teams } from './schema.ts';

/**
 * The actor of a request's changes, for the audit log. Set once, where a request is authenticated, and read once, where
 * its transaction begins: no function between the two needs to pass it on.
 */
const actors = new AsyncLocalStorage<string>();

/** Runs `work` in the name of an actor. */
export function withActor<Result>(actor: string, work: () => Result): Result {
  return actors.run(actor, work);
}

/**
 * Returns the actor of the present request; outside of requests, Tollgate itself.
 * @throws when a request has lost its actor: the audit log must not name another
 */
export function actorOf({ actorRequired = false }: Database): string {
  const actor = actors.getStore();
  if (actor === undefined && actorRequired) throw new Error('the actor of this change is not known');
  return actor ?? 'tollgate';
}

/**
 * Runs `work` in one transaction, at one moment of Postgres's clock, in whole milliseconds (ids of counters are made
 * of moments). Runs it again when Postgres picked it as the victim of a deadlock. An ApiError that `work` returns does
 * not undo what it wrote: check first, then write.
 */
export function changeCatalog<Result>(
  database: Database,
  work: (tx: Transaction, now: Date) => Promise<Result>,
): Promise<Result> {
  return retried(() => database.db.transaction(async (tx) => work(tx, await begin(tx, actorOf(database)))));
}

/** Sets the actor for the triggers of the audit log, for this transaction alone; returns the time of the change. */
async function begin(tx: Transaction, actor: string): Promise<Date> {
  await tx.execute(sql`select set_config('tollgate.actor', ${actor}, true)`);
  return clock(tx);
}

/** Returns the time of Postgres's clock, which tests can set, in whole milliseconds: a Date drops what is smaller. */
export async function clock(queries: Queries): Promise<Date> {
  const [row] = await runOn(queries)<{ ms: number }>(
    sql`select (extract(epoch from tollgate_now()) * 1000)::float8 as ms`,
  );
  return new Date(defined(row, 'the row of the statement').ms);
}

/**
 * Runs `work`, at this moment of Postgres's clock, unless another replica runs under the same lock; then it returns null.
 * The lock is a transaction's, which survives a pooler and ends with the connection. That transaction idles meanwhile,
 * but without a snapshot or an id, so it blocks nothing. `work` has its own transactions: losing the lock undoes
 * nothing, so it must be idempotent. Installations in other schemas of the database have locks of their own.
 */
export function runAlone<Result>(
  database: Database,
  lock: number,
  work: (now: Date) => Promise<Result>,
): Promise<Result | null> {
  return database.db.transaction(async (tx) => {
    const [row] = await runOn(tx)<{ alone: boolean; ms: number }>(
      sql`select pg_try_advisory_xact_lock(case current_schema() when 'public' then ${lock}::bigint
          else hashtextextended(current_schema(), ${lock}::bigint) end) as alone,
        set_config('idle_in_transaction_session_timeout', '0', true),
        floor(extract(epoch from tollgate_now()) * 1000)::float8 as ms`,
    );
    const { alone, ms } = defined(row, 'the row of the statement');
    return alone ? work(new Date(ms)) : null;
  });
}

/**
 * Raises the version and marks the teams that it concerns. Call it last: its lock makes versions commit in order, so a
 * reader of version n has seen everything up to n. Changed prices mark no team.
 * @param because `changed`: limits or grants of these teams changed, so what is lent of their own goes back; `reread`: what
 * else their keys are read with (their row, their departments and the limits of these, warnings, corrections): leases stay
 */
export async function raiseVersion(
  tx: Transaction,
  teamIds: readonly TeamId[],
  because: 'changed' | 'reread' = 'changed',
): Promise<void> {
  const [row] = await tx
    .insert(catalogVersion)
    .values({ id: 1 })
    .onConflictDoUpdate({ target: catalogVersion.id, set: { version: sql`${catalogVersion.version} + 1` } })
    .returning();
  if (teamIds.length === 0) return;
  await tx
    .update(teams)
    .set(
      because === 'changed'
        ? { changedAtVersion: defined(row, 'the row of the statement').version }
        : { warnedAtVersion: defined(row, 'the row of the statement').version },
    )
    .where(inArray(teams.id, [...teamIds]));
}

/**
 * Locks a team that something is about to change for, so that no counter is made meanwhile. Returns an error when there
 * is no such team or it was deleted; `param` is the field that named it.
 */
export async function lockTeam(tx: Transaction, teamId: TeamId, param?: string): Promise<ApiError | null> {
  const team = await lockRow(tx, teamId);
  const extra = param === undefined ? {} : { param };
  if (!team || teamId === ORGANIZATION_ID) return apiError('not_found', `there is no team ${teamId}`, extra);
  return team.deletedAt ? apiError('conflict', `the team ${team.name} was deleted`, extra) : null;
}

/** Like {@link lockTeam}, for what may belong to the organization as well. */
export async function lockOwner(tx: Transaction, teamId: TeamId, param?: string): Promise<ApiError | null> {
  if (teamId !== ORGANIZATION_ID) return lockTeam(tx, teamId, param);
  await lockRow(tx, teamId);
  return null;
}

async function lockRow(tx: Transaction, teamId: TeamId) {
  const [team] = await tx.select().from(teams).where(eq(teams.id, teamId)).for('no key update');
  return team;
}

/** The place after which a page of a list begins: the last row of the page before. */
export interface After {
  createdAt: Date;
  id: string;
}

/** Of a list: oldest first, or newest first. */
export type Order = 'asc' | 'desc';

/** Rows after a place in the order (created at, id), which lists are in; descending: before it. */
export function isAfter(
  table: { createdAt: PgColumn; id: PgColumn },
  after: After | null,
  order: Order = 'asc',
): SQL | undefined {
  if (!after) return undefined;
  const [row, place] = [
    sql`(${table.createdAt}, ${table.id})`,
    sql`(${after.createdAt.toISOString()}::timestamptz, ${after.id})`,
  ];
  return order === 'asc' ? sql`${row} > ${place}` : sql`${row} < ${place}`;
}
