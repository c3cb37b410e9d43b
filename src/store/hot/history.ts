/**
 * The store's history in Postgres (domain/history.ts): read and judged in every transaction that lends or settles, begun again
 * when the store has forgotten something, and lending again once all have put back. Owns: `store_history`, and which
 * instances are waited for.
 */
import { defined } from '../../domain/defined.ts';
import {
  type HistoryRow,
  type InstanceRow,
  isOlder,
  type Seen,
  type Server,
  whyBroken,
  whyForeign,
  whyNewEpoch,
} from '../../domain/history.ts';
import type { Fragment, Sql, TransactionSql } from '../database.ts';
import type { EventGap } from './batch.ts';

/**
 * Of this release. A database whose migrations need a later one refuses to register its instances, and to lend to those
 * that it has: a migration raises `release.generation` together with this number when an older release would lend
 * wrongly.
 */
export const GENERATION = 1;

/** This instance's leases were taken over: it must stop admitting calls. */
export class InstanceFenced extends Error {
  override name = 'InstanceFenced';
  constructor(instanceId: string) {
    super(`instance ${instanceId} is no longer live: its journal was adopted`);
  }
}

/** The store has forgotten what this instance has seen of it: the instance must put that back before it goes on. */
export class StoreWentBack extends Error {
  override name = 'StoreWentBack';
}

/** Other instances still put back what the store had forgotten: until then nothing is lent. */
class NothingLent extends Error {
  override name = 'NothingLent';
  constructor() {
    super('nothing is lent before every instance has put back what the database had forgotten');
  }
}

/** For living instances to hear that the history broke. */
export const LENDING_RESUMES_AFTER_MS = 2_000;

export interface Standing {
  server: Server;
  history: HistoryRow;
  own: InstanceRow | null;
}

/** What the server says of itself, as columns. */
export function serverColumns(sql: Sql | TransactionSql): Fragment {
  return sql`
    (select system_identifier::text from pg_control_system()) as server_system,
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int4 as server_timeline,
    (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::float8 as server_position`;
}

/** The columns of the history's row `h`. */
export function historyColumns(sql: Sql | TransactionSql): Fragment {
  return sql`
    h.epoch, h.system_identifier as system, h.timeline, h.position::float8 as position,
    (h.lending_since is not null) as is_lending, (extract(epoch from h.began_at) * 1000)::float8 as began_at_ms`;
}

export interface HistoryColumns {
  epoch: string;
  system: string;
  timeline: number;
  position: number;
  is_lending: boolean;
  began_at_ms: number;
  server_system: string;
  server_timeline: number;
  server_position: number;
}

export interface OwnColumns {
  status: InstanceRow['status'] | null;
  own_epoch: string | null;
  beats: number;
  flushed: number;
}

export function standingOf(row: HistoryColumns & OwnColumns): Standing {
  const { status, own_epoch: epoch, beats, flushed } = row;
  return {
    server: {
      systemIdentifier: row.server_system,
      timeline: row.server_timeline,
      position: row.server_position,
    },
    history: {
      epoch: row.epoch,
      systemIdentifier: row.system,
      timeline: row.timeline,
      position: row.position,
      isLending: row.is_lending,
      beganAtMs: row.began_at_ms,
    },
    own: status === null ? null : { status, epoch, beats, flushed },
  };
}

/**
 * @param seen what the instance has seen of the store; null: nothing yet
 * @throws InstanceFenced, StoreWentBack, NothingLent; an error that says so on an older timeline
 */
export function assertStanding(
  { server, history, own }: Standing,
  instanceId: string,
  seen: Seen | null,
  purpose: 'lend' | 'settle',
): void {
  if (seen !== null && isOlder(server, seen)) throw olderTimeline(server, seen);
  if (own === null) throw new StoreWentBack('the row of the instance is missing');
  if (own.status !== 'live') throw new InstanceFenced(instanceId);
  const why = whyBroken(history, server, own, seen);
  if (why !== null) throw new StoreWentBack(why);
  if (purpose === 'lend' && !history.isLending) throw new NothingLent();
}

export function olderTimeline(server: Server, seen: Server): Error {
  return new Error(
    `the server is on timeline ${server.timeline}, and timeline ${seen.timeline} of the same database was in use: an ` +
      'old primary is never used. If it was restored on purpose, restart every gateway',
  );
}

/** Any number, the same in every version of Tollgate. */
export const INSTANCE_LOCKS = 865_542_832;

/**
 * Reads the standing of an instance and locks its row until the transaction ends, so that it is not adopted meanwhile;
 * and again in a way that lasts until all of the transaction can be seen, on whatever machines (see `excludeFlushes`).
 * @throws as `assertStanding`
 */
export async function assertLive(
  tx: TransactionSql,
  instanceId: string,
  seen: Seen | null,
  purpose: 'lend' | 'settle',
): Promise<void> {
  const [row] = await tx<(HistoryColumns & OwnColumns)[]>`
    select i.status, i.epoch as own_epoch, i.beats::float8, i.flushed::float8,
      ${historyColumns(tx)}, ${serverColumns(tx)},
      pg_advisory_xact_lock_shared(${INSTANCE_LOCKS}::int4, hashtext(${instanceId}))
    from instances i cross join store_history h where i.id = ${instanceId} for key share of i`;
  if (row) return assertStanding(standingOf(row), instanceId, seen, purpose);
  const { server, history } = await readHistory(tx);
  assertStanding({ server, history, own: null }, instanceId, seen, purpose);
}

/** Reads the history's row; `lock` keeps it until the transaction ends. */
export async function readHistory(
  tx: Sql | TransactionSql,
  lock: 'lock' | 'none' = 'none',
): Promise<{ server: Server; history: HistoryRow }> {
  const forUpdate = lock === 'lock' ? tx`for update of h` : tx``;
  const [row] = await tx<HistoryColumns[]>`
    select ${historyColumns(tx)}, ${serverColumns(tx)} from store_history h ${forUpdate}`;
  const none = { status: null, own_epoch: null, beats: 0, flushed: 0 };
  return standingOf({ ...defined(row, 'the row of the history'), ...none });
}

/** Begins an epoch, in which nothing is lent at first; returns its id. */
async function beginEpoch(tx: TransactionSql, server: Server, reason: string): Promise<string> {
  // When they were last heard of is forgotten too: none of them is to be taken for dead.
  await tx`update instances set heartbeat_at = tollgate_now() where status = 'live'`;
  const [row] = await tx<{ epoch: string }[]>`
    update store_history set epoch = gen_random_uuid(), system_identifier = ${server.systemIdentifier},
      timeline = ${server.timeline}, position = ${String(server.position)}::int8, seen_at = tollgate_now(),
      began_at = tollgate_now(), reason = ${reason}, lending_since = null, accepted_by = null, accepted_reason = null
    returning epoch`;
  return defined(row, 'the row of the history').epoch;
}

/** @throws StoreWentBack when the store lies elsewhere, or another epoch has begun (null: any will do) */
export async function assertEpoch(tx: TransactionSql, epoch: string | null): Promise<{ epoch: string }> {
  const { server, history } = await readHistory(tx);
  const isOther = epoch !== null && epoch !== history.epoch;
  const why = whyForeign(history, server) ?? (isOther ? 'the database went back once more' : null);
  if (why !== null) throw new StoreWentBack(why);
  return history;
}

/** For a new instance: returns the present epoch, after it has begun one if the store lies on another server now. */
export async function currentEpoch(tx: TransactionSql): Promise<string> {
  const { server, history } = await readHistory(tx, 'lock');
  const why = whyForeign(history, server);
  return why === null ? history.epoch : beginEpoch(tx, server, why);
}

/** Before a start: begins an epoch if the store lies on another server now. Returns the id of the ledger. */
export async function openHistory(sql: Sql): Promise<string> {
  return (await sql.begin(async (tx) => {
    await currentEpoch(tx);
    const [row] = await tx<{ ledger_id: string }[]>`select ledger_id from store_history`;
    return defined(row, 'the row of the history').ledger_id;
  })) as string;
}

/** Begins an epoch for a reason that only a data folder knows, unless one has begun in which nothing is lent yet. */
export async function breakHistory(sql: Sql, reason: string): Promise<void> {
  await sql.begin(async (tx) => {
    const { server, history } = await readHistory(tx, 'lock');
    if (history.isLending) await beginEpoch(tx, server, reason);
  });
}

/** What an instance knows that the store may have forgotten. */
export interface RejoinRequest {
  instanceId: string;
  /** Null: it has made its row, and heard nothing since. */
  seen: Seen | null;
  /** Instances that it has heard of, with the number of the last event of each that had arrived. */
  known: readonly (readonly [instanceId: string, flushed: number])[];
}

/**
 * First step of putting back: begins an epoch unless another has, and brings back the row of the instance and of those
 * that it knows. Returns what it sees now; `flushed` is the number of the last of its events that the store has.
 * @throws InstanceFenced when it was adopted; an error on an older timeline
 */
export async function rejoin(sql: Sql, { instanceId, seen, known }: RejoinRequest): Promise<Seen> {
  return (await sql.begin(async (tx) => {
    const { server, history } = await readHistory(tx, 'lock');
    if (seen !== null && isOlder(server, seen)) throw olderTimeline(server, seen);
    const own = await readOwn(tx, instanceId);
    if (own !== null && own.status !== 'live') throw new InstanceFenced(instanceId);
    const why = whyNewEpoch(history, server, own, seen);
    const epoch = why === null ? history.epoch : await beginEpoch(tx, server, why);
    await bringBack(tx, epoch, [[instanceId, seen?.flushed ?? 0], ...known]);
    const [row] = await tx<{ beats: number; flushed: number; now_ms: number }[]>`
      select beats::float8, flushed::float8, (extract(epoch from tollgate_now()) * 1000)::float8 as now_ms
      from instances where id = ${instanceId}`;
    const { beats, flushed, now_ms: atMs } = defined(row, 'the row of the instance');
    return { ...server, epoch, beats, flushed, atMs };
  })) as Seen;
}

/** Reads the row of an instance and locks it. */
export async function readOwn(tx: TransactionSql, instanceId: string): Promise<InstanceRow | null> {
  const [own] = await tx<InstanceRow[]>`
    select status, epoch, beats::float8, flushed::float8 from instances where id = ${instanceId} for update`;
  return own ?? null;
}

/** Those of which the store knows nothing come back as live ones: until they put back, or were adopted, they are waited for. */
async function bringBack(
  tx: TransactionSql,
  epoch: string,
  known: readonly (readonly [string, number])[],
): Promise<void> {
  await tx`
    insert into instances as i (id, status, started_at, heartbeat_at, generation, known_flushed, reported_in)
    select id::uuid, 'live', tollgate_now(), tollgate_now(), ${GENERATION}::int4, flushed::int8, ${epoch}::uuid
    from unnest(${known.map(([id]) => id)}::text[], ${known.map(([, flushed]) => String(flushed))}::text[])
      as k(id, flushed)
    order by id
    on conflict (id) do update set
      known_flushed = greatest(i.known_flushed, excluded.known_flushed), reported_in = excluded.reported_in,
      -- Of an instance that was long silent nothing new is known, unless events of it are missing.
      is_given_up = i.is_given_up and excluded.known_flushed <= i.flushed
    where i.status = 'live'`;
}

/** Rows of instances (`i`) that have to put back or be adopted before lending resumes in the epoch of `h`. */
function isAwaited(tx: Sql | TransactionSql): Fragment {
  return tx`(not i.is_given_up and case when i.status = 'live' then i.epoch is distinct from h.epoch
    else i.ended_at is null end)`;
}

/** Lets lending resume when nothing is waited for any more. Returns whether money is lent. */
export async function resumeLending(sql: Sql): Promise<boolean> {
  return (await sql.begin(async (tx) => {
    // Under the lock, so that no instance is brought back meanwhile.
    const { server, history } = await readHistory(tx, 'lock');
    if (history.isLending || whyForeign(history, server) !== null) return history.isLending;
    const [row] = await tx`
      update store_history h set lending_since = tollgate_now()
      where began_at <= tollgate_now() - ${LENDING_RESUMES_AFTER_MS}::int4 * interval '1 millisecond'
        and not exists (select 1 from instances i where ${isAwaited(tx)})
      returning 1`;
    return row !== undefined;
  })) as boolean;
}

/** Notes events that are in no journal; what is noted already stays. */
export async function noteGap(sql: Sql, { instanceId, first, last }: EventGap): Promise<void> {
  await sql`
    insert into store_gaps as g (instance_id, first_number, last_number, epoch, noted_at)
    select ${instanceId}, ${String(first)}::int8, ${String(last)}::int8, epoch, tollgate_now() from store_history
    on conflict (instance_id, first_number) do update set last_number = greatest(g.last_number, excluded.last_number)`;
}
