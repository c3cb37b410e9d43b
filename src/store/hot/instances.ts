/**
 * Instances: one row a start of a gateway process. Only a live instance may lease or flush; adopting a dead one's
 * journal fences it in the same transaction.
 */

import { defined } from '../../domain/defined.ts';
import type { TeamId } from '../../domain/ids.ts';
import type { Sql, TransactionSql } from '../database.ts';
import { isAt, placesOf } from './places.ts';

/** This instance's leases were taken over: it must stop admitting calls. */
export class InstanceFenced extends Error {
  override name = 'InstanceFenced';
  constructor(instanceId: string) {
    super(`instance ${instanceId} is no longer live: its journal was adopted`);
  }
}

/**
 * Of this release. A database whose migrations need a later one refuses to register its instances, and to lend to those
 * that it has: a migration raises `release.generation` together with this number when an older release would lend
 * wrongly.
 */
export const GENERATION = 1;

/** @throws the database's error when it belongs to a newer release */
export async function registerInstance(sql: Sql, instanceId: string): Promise<void> {
  await sql`
    insert into instances (id, status, started_at, heartbeat_at, generation)
    values (${instanceId}, 'live', tollgate_now(), tollgate_now(), ${GENERATION})`;
}

export interface HeartbeatReply {
  /** Postgres's clock, in milliseconds since the epoch. */
  nowMs: number;
  /** Live instances that were heard of in the last ten seconds, this one included. */
  instances: number;
  /** Counters, as `<team>/<id>`, that lend to this instance and are contended. */
  contended: string[];
  /** The catalog's version: keys, limits, grants and prices have changed when it has. */
  catalogVersion: number;
}

/** How many contended counters one reply may name; the next one names the others. */
const CONTENDED_MAX = 1_000;

interface BeatRow {
  now_ms: number;
  instances: number;
  beats: number;
}

interface LedgerRow {
  catalog_version: number;
  contended: string[] | null;
}

/**
 * Records a heartbeat; returns Postgres's time and how many instances share the counters. In two statements: Citus
 * changes a table of the coordinator by none that also reads the counters.
 * @throws InstanceFenced when it was adopted: an instance with nothing to flush must learn it too
 */
export async function heartbeat(sql: Sql, instanceId: string): Promise<HeartbeatReply> {
  const [beat] = await sql<BeatRow[]>`
    with beat as (
      update instances set heartbeat_at = tollgate_now() where id = ${instanceId} and status = 'live' returning id)
    select (extract(epoch from tollgate_now()) * 1000)::float8 as now_ms,
      (select count(*)::int4 from instances
        where status = 'live' and heartbeat_at > tollgate_now() - interval '10 seconds' and id <> ${instanceId})
        + 1 as instances,
      (select count(*)::int4 from beat) as beats`;
  const { now_ms: nowMs, instances, beats } = defined(beat, 'the row of the statement');
  if (beats === 0) throw new InstanceFenced(instanceId);
  const [ledger] = await sql<LedgerRow[]>`
    select coalesce((select version::float8 from catalog_version), 0) as catalog_version,
      -- One by one: few are contended, which the planner cannot know, and it would read all leases.
      (select array_agg(name) from (
        select c.team_id || '/' || c.id as name from counters c
        cross join lateral (select 1 from leases l
          where l.team_id = c.team_id and l.counter_id = c.id and l.instance_id = ${instanceId} offset 0) lent
        where c.scarce_until > tollgate_now() limit ${CONTENDED_MAX}) names) as contended`;
  const { catalog_version: catalogVersion, contended } = defined(ledger, 'the row of the statement');
  return { nowMs, instances, contended: contended ?? [], catalogVersion };
}

/** Milliseconds since a live instance was last heard of; null: there is no such instance, or it was ended. */
export async function silentMs(sql: Sql, instanceId: string): Promise<number | null> {
  const [row] = await sql<{ silent_ms: number }[]>`
    select (extract(epoch from tollgate_now() - heartbeat_at) * 1000)::float8 as silent_ms
    from instances where id = ${instanceId} and status = 'live'`;
  return row?.silent_ms ?? null;
}

/** Any number, the same in every version of Tollgate. */
const INSTANCE_LOCKS = 865_542_832;

/**
 * Locks the instance's row until the transaction ends, so that it is not adopted meanwhile; and again in a way that lasts
 * until all of the transaction can be seen, on whatever machines (see `excludeFlushes`).
 */
export async function assertLive(tx: TransactionSql, instanceId: string): Promise<void> {
  const rows = await tx`
    select pg_advisory_xact_lock_shared(${INSTANCE_LOCKS}::int4, hashtext(${instanceId}))
    from instances where id = ${instanceId} and status = 'live' for key share`;
  if (rows.length === 0) throw new InstanceFenced(instanceId);
}

/** How long a statement may take that ends an instance: it waits for what that instance has under way. */
const END_MS = 30_000;

/** Ends an instance: from now on it neither borrows nor flushes. What it did under {@link assertLive} is over. */
export async function fence(sql: Sql, instanceId: string, status: 'stopped' | 'adopted'): Promise<void> {
  await sql.begin({ deadlineMs: END_MS }, async (tx) => {
    await tx`select 1 from instances where id = ${instanceId} for update`;
    await tx`select pg_advisory_xact_lock(${INSTANCE_LOCKS}::int4, hashtext(${instanceId}))`;
    await tx`update instances set status = ${status} where id = ${instanceId} and status = 'live'`;
  });
}

/** Takes back what the leases of an instance still lend. Call it when it is fenced and its events have been inserted. */
export async function endLeases(sql: Sql, instanceId: string): Promise<void> {
  const rows = await sql<{ team_id: TeamId }[]>`
    select distinct team_id from leases where instance_id = ${instanceId}`;
  const places = await placesOf(
    sql,
    rows.map((row) => row.team_id),
  );
  for (const place of places) {
    await sql.begin({ deadlineMs: END_MS }, async (tx) => {
      await tx`
        select 1 from counters c join leases l on l.team_id = c.team_id and l.counter_id = c.id
        where l.instance_id = ${instanceId} and ${isAt(tx, 'c', place)} and ${isAt(tx, 'l', place)}
        order by c.team_id, c.id for update of c`;
      await tx`
        update counters c set leased = c.leased - (l.granted - l.returned - l.settled) from leases l
        where l.instance_id = ${instanceId} and l.team_id = c.team_id and l.counter_id = c.id
          and ${isAt(tx, 'c', place)} and ${isAt(tx, 'l', place)}`;
      await tx`delete from leases l where l.instance_id = ${instanceId} and ${isAt(tx, 'l', place)}`;
    });
  }
}
