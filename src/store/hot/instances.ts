/**
 * Instances: one row a start of a gateway process. Only a live instance may lease or flush; adopting a dead one's
 * journal fences it in the same transaction.
 */

import { defined } from '../../domain/defined.ts';
import { type Fenced, type Seen, whyForeign } from '../../domain/history.ts';
import type { TeamId } from '../../domain/ids.ts';
import type { Sql, TransactionSql } from '../database.ts';
import {
  assertEpoch,
  assertStanding,
  currentEpoch,
  GENERATION,
  type HistoryColumns,
  historyColumns,
  INSTANCE_LOCKS,
  type OwnColumns,
  readHistory,
  readOwn,
  StoreWentBack,
  serverColumns,
  standingOf,
} from './history.ts';
import { isAt, placesOf } from './places.ts';

/**
 * Makes the row of a new instance, which has nothing to put back. Returns what it has seen of the store.
 * @throws the database's error when it belongs to a newer release
 */
export async function registerInstance(sql: Sql, instanceId: string): Promise<Seen> {
  return await sql.begin(async (tx): Promise<Seen> => {
    const epoch = await currentEpoch(tx);
    const { server } = await readHistory(tx);
    const [row] = await tx<{ now_ms: number }[]>`
      insert into instances (id, status, started_at, heartbeat_at, generation, epoch)
      values (${instanceId}, 'live', tollgate_now(), tollgate_now(), ${GENERATION}, ${epoch})
      returning (extract(epoch from tollgate_now()) * 1000)::float8 as now_ms`;
    const { now_ms: atMs } = defined(row, 'the row of the instance');
    return { ...server, epoch, beats: 0, flushed: 0, atMs };
  });
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
  /** What the instance has seen of the store now. */
  seen: Seen;
  /** Whether money is lent; it is not while instances put back what the store had forgotten. */
  isLending: boolean;
  /** The instances heard of in the last ten seconds, with the number of the last event of each that had arrived. */
  known: (readonly [instanceId: string, flushed: number])[];
}

/** How many contended counters one reply may name; the next one names the others. */
const CONTENDED_MAX = 1_000;

type BeatRow = HistoryColumns & OwnColumns & { now_ms: number; known: string[] | null };

interface LedgerRow {
  catalog_version: number;
  contended: string[] | null;
}

/**
 * Records a heartbeat; returns Postgres's time and how many instances share the counters. In two statements: Citus
 * changes a table of the coordinator by none that also reads the counters.
 * @param seen what the instance has seen of the store; null: nothing yet
 * @throws InstanceFenced when it was adopted: an instance with nothing to flush must learn it too; StoreWentBack
 */
export async function heartbeat(
  sql: Sql,
  instanceId: string,
  seen: Seen | null = null,
): Promise<HeartbeatReply> {
  const [beat] = await sql<BeatRow[]>`
    with server as (select ${serverColumns(sql)}),
    beat as (
      -- Not where the history broke: who is silent then must look it.
      update instances i set heartbeat_at = tollgate_now(), beats = i.beats + 1, is_given_up = false
      from store_history h, server s
      where i.id = ${instanceId} and i.status = 'live' and i.epoch = h.epoch and i.beats >= ${seen?.beats ?? 0}::int8
        and h.system_identifier = s.server_system and h.timeline = s.server_timeline
      returning i.beats),
    mark as (
      -- A position of some seconds ago is enough, and spares all a row that everyone writes.
      update store_history h set position = s.server_position::int8, seen_at = tollgate_now() from server s, beat
      where h.seen_at < tollgate_now() - interval '5 seconds' and h.lending_since is not null
        and s.server_position >= h.position
      returning 1),
    silent as (
      update instances set is_given_up = true from mark
      where status = 'live' and not is_given_up and heartbeat_at < tollgate_now() - interval '10 minutes'
        and id <> ${instanceId}),
    heard as (
      select id, flushed from instances where status = 'live' and heartbeat_at > tollgate_now() - interval '10 seconds')
    select (extract(epoch from tollgate_now()) * 1000)::float8 as now_ms,
      (select array_agg(id || ' ' || flushed) from heard where id <> ${instanceId}) as known,
      i.status, i.epoch as own_epoch, coalesce((select b.beats from beat b), i.beats)::float8 as beats,
      i.flushed::float8, ${historyColumns(sql)}, s.*
    from store_history h cross join server s left join instances i on i.id = ${instanceId}`;
  const reply = defined(beat, 'the row of the statement');
  const standing = standingOf(reply);
  assertStanding(standing, instanceId, seen, 'settle');
  const [ledger] = await sql<LedgerRow[]>`
    select coalesce((select version::float8 from catalog_version), 0) as catalog_version,
      -- One by one: few are contended, which the planner cannot know, and it would read all leases.
      (select array_agg(name) from (
        select c.team_id || '/' || c.id as name from counters c
        cross join lateral (select 1 from leases l
          where l.team_id = c.team_id and l.counter_id = c.id and l.instance_id = ${instanceId} offset 0) lent
        where c.scarce_until > tollgate_now() limit ${CONTENDED_MAX}) names) as contended`;
  const { catalog_version: catalogVersion, contended } = defined(ledger, 'the row of the statement');
  const { server, history, own } = standing;
  const known = (reply.known ?? []).map((each): readonly [string, number] => {
    const [id = '', flushed] = each.split(' ');
    return [id, Number(flushed)];
  });
  const { beats, flushed } = defined(own, 'the row of the instance');
  return {
    nowMs: reply.now_ms,
    instances: known.length + 1,
    contended: contended ?? [],
    catalogVersion,
    seen: { ...server, epoch: history.epoch, beats, flushed, atMs: reply.now_ms },
    isLending: history.isLending,
    known,
  };
}

/** Milliseconds since a live instance was last heard of; null: there is no such instance, or it was ended. */
export async function silentMs(sql: Sql, instanceId: string): Promise<number | null> {
  const [row] = await sql<{ silent_ms: number }[]>`
    select (extract(epoch from tollgate_now() - heartbeat_at) * 1000)::float8 as silent_ms
    from instances where id = ${instanceId} and status = 'live'`;
  return row?.silent_ms ?? null;
}

/** How long a statement may take that ends an instance: it waits for what that instance has under way. */
const END_MS = 30_000;

/**
 * Ends an instance: from now on it neither borrows nor flushes. What it did under {@link assertLive} is over. Returns what
 * the store has of it, which the further steps of its end are judged by.
 * @param seen what an instance that stops has seen of the store
 * @throws StoreWentBack when the store lies elsewhere, or has forgotten some of that
 */
export async function fence(
  sql: Sql,
  instanceId: string,
  status: 'stopped' | 'adopted',
  seen: Seen | null = null,
): Promise<Fenced> {
  return await sql.begin({ deadlineMs: END_MS }, async (tx): Promise<Fenced> => {
    const { server, history } = await readHistory(tx);
    const why = whyForeign(history, server);
    if (why !== null) throw new StoreWentBack(why);
    // What it has sent counts as arrived once it has ended: so it must still be there.
    const own = seen === null ? null : await readOwn(tx, instanceId);
    if (seen !== null && (own === null || own.status === 'live'))
      assertStanding({ server, history, own }, instanceId, seen, 'settle');
    // The store may have forgotten it: then it is to be known that it has ended.
    await tx`
      insert into instances (id, status, started_at, heartbeat_at, generation)
      values (${instanceId}, ${status}, tollgate_now(), tollgate_now(), ${GENERATION}) on conflict do nothing`;
    await tx`select 1 from instances where id = ${instanceId} for update`;
    await tx`select pg_advisory_xact_lock(${INSTANCE_LOCKS}::int4, hashtext(${instanceId}))`;
    const [row] = await tx<Omit<Fenced, 'epoch'>[]>`
      update instances set status = case status when 'live' then ${status} else status end, beats = beats + 1
      where id = ${instanceId}
      returning beats::float8, flushed::float8, ended_at is not null as "hasEnded"`;
    return { ...defined(row, 'the row of the instance'), epoch: history.epoch };
  });
}

/** Runs a transaction. */
export type Begin = <Result>(
  deadlineMs: number,
  work: (tx: TransactionSql) => Promise<Result>,
) => Promise<Result>;

/**
 * Runs the transactions that end a fenced instance. Each leaves a mark in its row: where the store has forgotten one of them,
 * the next one fails, and all have to be done again.
 * @throws StoreWentBack
 */
export function ending(sql: Sql, instanceId: string, fenced: Fenced): Begin {
  return async (deadlineMs, work) => {
    const result = await sql.begin({ deadlineMs }, async (tx) => {
      await assertEpoch(tx, fenced.epoch);
      const rows = await tx`
        update instances set beats = beats + 1
        where id = ${instanceId} and status <> 'live' and beats >= ${String(fenced.beats)}::int8 returning 1`;
      if (rows.length === 0) throw new StoreWentBack('the end of an instance is missing');
      return work(tx);
    });
    // Another may end the same instance: there may be more marks, never fewer.
    fenced.beats++;
    return result;
  };
}

/** The last step of an adoption: everything of the instance is in the ledger. */
export async function noteEnd(begin: Begin, instanceId: string, flushed: number): Promise<void> {
  await begin(END_MS, async (tx) => {
    await tx`
      update instances set ended_at = coalesce(ended_at, tollgate_now()), flushed = greatest(flushed, ${String(flushed)}::int8)
      where id = ${instanceId}`;
  });
}

/** Of these instances, returns those that have not ended as far as the store knows, with what arrived of their events. */
export async function notEnded(sql: Sql, instanceIds: readonly string[]): Promise<Map<string, number>> {
  const rows = await sql<{ id: string; flushed: number }[]>`
    select w.id, coalesce(i.flushed, 0)::float8 as flushed
    from unnest(${[...instanceIds]}::text[]) as w(id) left join instances i on i.id = w.id::uuid
    where i.ended_at is null`;
  return new Map(rows.map((row) => [row.id, row.flushed]));
}

/** Takes back what the leases of an instance still lend. Call it when it is fenced and its events have been inserted. */
export async function endLeases(sql: Sql, instanceId: string, begin: Begin): Promise<void> {
  const rows = await sql<{ team_id: TeamId }[]>`
    select distinct team_id from leases where instance_id = ${instanceId}`;
  const places = await placesOf(
    sql,
    rows.map((row) => row.team_id),
  );
  for (const place of places) {
    await begin(END_MS, async (tx) => {
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
