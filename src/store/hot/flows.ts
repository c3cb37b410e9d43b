/**
 * Rate limits in Postgres. A rolling window is a row of sub-buckets, each a counter of its own, under one anchor, which
 * which every fill of a bucket locks: what they hold together, the buckets that still count, never exceeds the amount. Slots
 * (concurrency) of an instance that was not heard of for ten seconds go to others.
 */

import { type CounterSpec, windowAnchorId } from '../../domain/counter.ts';
import { defined } from '../../domain/defined.ts';
import type { CounterId, TeamId } from '../../domain/ids.ts';
import { usd } from '../../domain/money.ts';
import { bucketMs, oldestBucketMs } from '../../domain/window.ts';
import type { Sql, TransactionSql } from '../database.ts';
import { keyOf, type LockedCounter, named } from './counters.ts';
import { atPlaces, isAt, type Place, placesOf } from './places.ts';

export type Bucket = CounterSpec & { rollingMs: number };

export function bucketsOf(specs: readonly CounterSpec[]): Bucket[] {
  return specs.filter((spec): spec is Bucket => spec.rollingMs !== null);
}

/** What must be locked with a bucket. */
export function anchorOf(bucket: Bucket): Pick<CounterSpec, 'teamId' | 'id'> {
  return { teamId: bucket.teamId, id: windowAnchorId(bucket) };
}

/** Whether what must be locked with a bucket was there to lock; true of what is no bucket. */
export function hasAnchor(spec: CounterSpec, locked: ReadonlyMap<string, LockedCounter>): boolean {
  return spec.rollingMs === null || locked.has(keyOf({ teamId: spec.teamId, id: windowAnchorId(spec) }));
}

/** Makes the buckets of now where their anchors exist: a limit's amount stands in its anchor. */
export async function openBuckets(tx: TransactionSql, buckets: readonly Bucket[]): Promise<void> {
  for (const spec of buckets.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))) {
    await tx`
      insert into counters (team_id, id, source, source_id, subject_type, subject_id, models, meter, starts_at, ends_at,
        rolling_ms, amount)
      select team_id, ${spec.id}, source, source_id, subject_type, subject_id, models, meter,
        ${new Date(spec.startsAtMs).toISOString()}::timestamptz, ${new Date(defined(spec.endsAtMs, 'the end of a bucket')).toISOString()}::timestamptz,
        rolling_ms, amount
      from counters where team_id = ${spec.teamId} and id = ${windowAnchorId(spec)}
      on conflict do nothing`;
  }
}

export interface BucketRoom {
  /** What the bucket may hold beside the others of its window; negative when these hold too much already. */
  amount: bigint;
  freesInMs: number;
}

/** What the other buckets leave to this one, under the lock of the anchor. Nothing when Postgres's clock is elsewhere. */
export async function roomOfBucket(
  tx: TransactionSql,
  spec: Bucket,
  anchor: LockedCounter,
): Promise<BucketRoom> {
  const length = bucketMs(spec.rollingMs);
  const oldestMs = oldestBucketMs(spec.rollingMs, spec.startsAtMs);
  const [row] = await tx<{ taken: string | null; now_ms: number; oldest_ms: number | null }[]>`
    select sum(settled + held + leased)::text as taken,
      (extract(epoch from min(ends_at) filter (where settled + held + leased > 0)) * 1000)::float8 as oldest_ms,
      (extract(epoch from tollgate_now()) * 1000)::float8 as now_ms
    from counters
    where source_id = ${spec.sourceId} and team_id = ${spec.teamId} and subject_id = ${spec.subjectId}
      and rolling_ms is not null and id <> ${spec.id}
      and ends_at > ${new Date(oldestMs).toISOString()}::timestamptz`;
  const { taken, now_ms: nowMs, oldest_ms: oldestEndMs } = defined(row, 'the row of the statement');
  const isNow =
    nowMs > spec.startsAtMs - length && nowMs < defined(spec.endsAtMs, 'the end of a bucket') + length;
  const freesAtMs = (oldestEndMs ?? nowMs) + spec.rollingMs + length;
  return {
    amount: isNow ? anchor.amount - usd(taken ?? '0') : 0n,
    freesInMs: Math.max(1, Math.ceil(freesAtMs - nowMs)),
  };
}

/** Takes back the slots of instances that are gone or silent, under the counters' locks; by key what came back. */
export async function takeBackSlots(
  tx: TransactionSql,
  places: readonly Place[],
  specs: readonly CounterSpec[],
): Promise<Map<string, bigint>> {
  const slots = specs.filter((spec) => spec.meter === 'concurrency');
  if (slots.length === 0) return new Map();
  const live = tx<{ id: string }[]>`
    select id from instances where status = 'live' and heartbeat_at >= tollgate_now() - interval '10 seconds'`;
  const instanceIds = (await live).map((row) => row.id);
  const taken = new Map<string, bigint>();
  for (const { place, rows: counters } of atPlaces(places, slots)) {
    const rows = await tx<{ team_id: TeamId; id: string; back: string }[]>`
      with dead as (
        select l.team_id, l.counter_id, l.instance_id, l.granted - l.returned - l.settled as back
        from leases l join ${named(tx, counters)} as w(team_id, id) on l.team_id = w.team_id::uuid and l.counter_id = w.id
        where l.granted - l.returned - l.settled > 0 and l.instance_id <> all(${instanceIds}::text[]::uuid[])
          and ${isAt(tx, 'l', place)}),
      taken as (
        update leases l set returned = l.returned + dead.back from dead
        where l.team_id = dead.team_id and l.counter_id = dead.counter_id and l.instance_id = dead.instance_id
          and ${isAt(tx, 'l', place)}),
      sums as (select team_id, counter_id, sum(back) as back from dead group by 1, 2)
      update counters c set leased = c.leased - sums.back from sums
      where c.team_id = sums.team_id and c.id = sums.counter_id and ${isAt(tx, 'c', place)}
      returning c.team_id, c.id, sums.back::text`;
    for (const row of rows) taken.set(`${row.team_id}/${row.id}`, usd(row.back));
  }
  return taken;
}

const FORGET_MS = 30_000;

/**
 * Removes buckets that no window counts any more, with their leases; what is still in flight from so long ago no longer
 * matters to a rate limit. Anchors go once they have no bucket left, or a limit would remember every end user that
 * ever called, and take no further one. What is locked is left for the next time. To be run now and then.
 */
export async function forgetBuckets(sql: Sql): Promise<number> {
  const isPast = sql`c.rolling_ms is not null
    and c.ends_at + (3 * c.rolling_ms + 60000) * interval '1 millisecond' < tollgate_now()
    and (not c.is_head or not exists (
      select 1 from counters b where b.team_id = c.team_id and b.subject_id = c.subject_id
        and b.source_id = c.source_id and b.rolling_ms is not null and not b.is_head))`;
  const teams = await sql.within(FORGET_MS)<
    { team_id: TeamId }[]
  >`select distinct c.team_id from counters c where ${isPast}`;
  let forgotten = 0;
  const places = await placesOf(
    sql,
    teams.map((row) => row.team_id),
  );
  for (const place of places) {
    await sql.begin({ deadlineMs: FORGET_MS }, async (tx) => {
      const past = await tx<{ teamId: TeamId; id: CounterId }[]>`
        select c.team_id as "teamId", c.id from counters c where ${isAt(tx, 'c', place)} and ${isPast}
        order by c.team_id, c.id for update of c skip locked`;
      if (past.length === 0) return;
      for (const table of ['leases', 'counters']) {
        await tx`
          delete from ${tx(table)} c using ${named(tx, past)} as p(team_id, id)
          where c.team_id = p.team_id::uuid and c.${tx(table === 'leases' ? 'counter_id' : 'id')} = p.id
            and ${isAt(tx, 'c', place)}`;
      }
      forgotten += past.length;
    });
  }
  return forgotten;
}
