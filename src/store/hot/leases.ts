/**
 * Leases and counters in Postgres: capacity lent to instances. Invariants: settled + held + leased of a counter never
 * exceeds its amount by anything granted here; rows are locked in order; only a live instance is granted.
 */

import { grantAllOrNone } from '../../domain/budget.ts';
import type { CounterSpec } from '../../domain/counter.ts';
import { defined } from '../../domain/defined.ts';
import type { Seen } from '../../domain/history.ts';
import { asId, type LimitId, type TeamId } from '../../domain/ids.ts';
import type { LeasedCounter } from '../../domain/lease.ts';
import { ORGANIZATION_ID } from '../../domain/limit.ts';
import { usd } from '../../domain/money.ts';
import { formatUsd } from '../../domain/quantities.ts';
import type { Sql, TransactionSql } from '../database.ts';
import { createCounters, keyOf, type LockedCounter, lockCounters, mayBeTooMany, named } from './counters.ts';
import { anchorOf, bucketsOf, hasAnchor, openBuckets, roomOfBucket, takeBackSlots } from './flows.ts';
import { assertLive, StoreWentBack } from './history.ts';
import { type AtPlace, atPlaces, isAt, placesOf } from './places.ts';

/** One pool of a lease request. */
export interface LeasePool {
  counters: CounterSpec[];
  /** What each of them had granted to this instance, as far as it knows; missing: nothing. */
  granted?: readonly bigint[];
  min: bigint;
  want: bigint;
}

export interface LeaseRequest {
  instanceId: string;
  teamId: TeamId;
  pools: LeasePool[];
  /** What the instance has seen of the store; null: nothing yet. */
  seen?: Seen | null;
}

export interface LeaseReply {
  /** False: some pool lacked its `min`, so no pool with a `min` got anything. */
  met: boolean;
  counters: LeasedCounter[];
}

/** How many subjects (end users, or values of a tag without a rule) one limit may count in a window. */
export const MAX_SUBJECTS = 10_000;

/**
 * Asks for capacity on all pools of a call's team and of the organization, in one transaction.
 * @throws InstanceFenced when this instance was adopted by another; any error of the connection
 */
export async function requestLease(
  sql: Sql,
  request: LeaseRequest,
  maxSubjects = MAX_SUBJECTS,
  grantsWait = false,
): Promise<LeaseReply> {
  const specs = [...new Map(request.pools.flatMap((pool) => pool.counters).map((c) => [c.id, c])).values()];
  const reply = await lend(sql, request, specs, false, grantsWait);
  if (reply) return reply;
  await createCounters(sql, specs, maxSubjects);
  const second = await lend(sql, request, specs, true, grantsWait);
  if (second === null) throw new Error(`team ${request.teamId} asks for limits or grants that do not exist`);
  return second;
}

/** Begins a lease request for a counter that does not exist, so that nothing is written: for the first call's sake. */
export async function warmLeases(sql: Sql, instanceId: string): Promise<void> {
  const spec: CounterSpec = {
    id: asId('none'),
    teamId: ORGANIZATION_ID,
    source: 'limit',
    sourceId: asId<LimitId>('none'),
    subjectType: 'team',
    subjectId: ORGANIZATION_ID,
    meter: 'cost_usd',
    models: null,
    startsAtMs: 0,
    endsAtMs: null,
    rollingMs: null,
    amount: 0n,
  };
  await lend(sql, { instanceId, teamId: ORGANIZATION_ID, pools: [] }, [spec], false);
}

/** Null: some counter does not exist yet, and nothing was done; the last time, those of end users and tags may be missing. */
async function lend(
  sql: Sql,
  request: LeaseRequest,
  specs: CounterSpec[],
  isLast: boolean,
  grantsWait = false,
): Promise<LeaseReply | null> {
  const places = await placesOf(
    sql,
    specs.map((spec) => spec.teamId),
  );
  return (await sql.begin(async (tx) => {
    if (grantsWait) await waitForStandby(tx);
    const buckets = bucketsOf(specs);
    if (buckets.length > 0) await openBuckets(tx, buckets);
    // Sent together: how long a lease takes is how early it has to be asked for.
    const [, locked] = await Promise.all([
      assertLive(tx, request.instanceId, request.seen ?? null, 'lend'),
      lockCounters(tx, atPlaces(places, [...specs, ...buckets.map(anchorOf)])),
    ]);
    const missing = specs.filter((spec) => !locked.has(keyOf(spec)) || !hasAnchor(spec, locked));
    if (missing.some((spec) => !isLast || !mayBeTooMany(spec))) return null;
    const back = await takeBackSlots(tx, places, specs);
    const states = new Map<string, LockedCounter & { freesInMs?: number }>();
    for (const spec of specs) {
      const counter = missing.includes(spec)
        ? NOTHING
        : defined(locked.get(keyOf(spec)), 'the locked counter');
      const state = { ...counter, leased: counter.leased - (back.get(keyOf(spec)) ?? 0n) };
      states.set(spec.id, state);
    }
    for (const bucket of buckets) {
      const anchor = locked.get(keyOf(anchorOf(bucket)));
      if (anchor)
        Object.assign(
          defined(states.get(bucket.id), 'the state of the bucket'),
          await roomOfBucket(tx, bucket, anchor),
        );
    }
    const needs = request.pools.map(({ counters, min, want }) => ({
      counterIds: counters.map((counter) => counter.id),
      min,
      want,
    }));
    const { met, grants, lacking } = grantAllOrNone(needs, states);
    const leases = await writeGrants(tx, request, atPlaces(places, specs), grants);
    assertRemembered(request, leases);
    if (lacking.length > 0) await markContended(tx, atPlaces(places, specs), lacking);
    const absent = new Set(missing.map((spec) => spec.id));
    const counters = specs.map(({ id }): LeasedCounter => {
      const { isContended, ...state } = defined(states.get(id), 'the state of the counter');
      const leased = state.leased + (grants.get(id) ?? 0n);
      return {
        ...state,
        id,
        leased,
        lease: leases.get(id) ?? NO_LEASE,
        isContended: isContended || lacking.includes(id),
        isAbsent: absent.has(id),
      };
    });
    return { met, counters };
  })) as LeaseReply | null;
}

/**
 * The transaction is committed once a synchronous standby has it: that of an instance that dies in the next moment too.
 * @throws when the server has none
 */
async function waitForStandby(tx: TransactionSql): Promise<void> {
  const [row] = await tx<{ names: string }[]>`
    select current_setting('synchronous_standby_names') as names, set_config('synchronous_commit', 'on', true)`;
  if (row?.names) return;
  throw new Error(
    'TOLLGATE_GRANTS_WAIT is true, and this server waits for no standby: set its synchronous_standby_names',
  );
}

/** @throws StoreWentBack when less was granted, as far as the store remembers, than the instance knows of */
export function assertRemembered(
  { pools }: LeaseRequest,
  leases: ReadonlyMap<string, { granted: bigint }>,
): void {
  for (const { counters, granted = [] } of pools) {
    for (const [index, known] of granted.entries()) {
      const id = counters[index]?.id ?? '';
      if ((leases.get(id)?.granted ?? 0n) < known) throw new StoreWentBack(`a lease of ${id} is missing`);
    }
  }
}

const NOTHING: LockedCounter = { amount: 0n, settled: 0n, held: 0n, leased: 0n, isContended: false };
const NO_LEASE = { granted: 0n, returned: 0n, settled: 0n };

/** An instance with idle capacity of it learns this with its next heartbeat. */
async function markContended(
  tx: TransactionSql,
  specs: readonly AtPlace<CounterSpec>[],
  lacking: string[],
): Promise<void> {
  for (const { place, rows } of specs) {
    const contended = rows.filter((spec) => lacking.includes(spec.id));
    if (contended.length === 0) continue;
    await tx`
      update counters c set scarce_until = tollgate_now() + interval '1 second'
      from ${named(tx, contended)} as s(team_id, id)
      where c.team_id = s.team_id::uuid and c.id = s.id and ${isAt(tx, 'c', place)}`;
  }
}

async function writeGrants(
  tx: TransactionSql,
  request: LeaseRequest,
  specs: readonly AtPlace<CounterSpec>[],
  grants: Map<string, bigint>,
) {
  // In one round trip, in this order.
  const rows = await Promise.all(specs.map((group) => writeAt(tx, request.instanceId, group, grants)));
  return new Map(
    rows
      .flat()
      .map((row) => [
        row.id,
        { granted: usd(row.granted), returned: usd(row.returned), settled: usd(row.settled) },
      ]),
  );
}

type LeaseRow = Record<'id' | 'granted' | 'returned' | 'settled', string>;

/** Writes what counters of one place lend; returns all that they have lent to the instance. */
async function writeAt(
  tx: TransactionSql,
  instanceId: string,
  { place, rows: specs }: AtPlace<CounterSpec>,
  grants: Map<string, bigint>,
): Promise<LeaseRow[]> {
  const granted = specs.filter((spec) => grants.has(spec.id));
  const amounts = granted.map((spec) => formatUsd(defined(grants.get(spec.id), 'what was granted')));
  const writes =
    granted.length === 0
      ? []
      : [
          tx`
            update counters c set leased = c.leased + g.amount::numeric
            from unnest(${granted.map((spec) => spec.teamId)}::text[], ${granted.map((spec) => spec.id)}::text[],
              ${amounts}::text[]) as g(team_id, id, amount)
            where c.team_id = g.team_id::uuid and c.id = g.id and ${isAt(tx, 'c', place)}`,
          tx`
            insert into leases ${tx(
              granted.map((spec, index) => ({
                team_id: spec.teamId,
                counter_id: spec.id,
                instance_id: instanceId,
                granted: amounts[index],
              })),
            )}
            on conflict (team_id, counter_id, instance_id) do update set granted = leases.granted + excluded.granted`,
        ];
  const read = tx<LeaseRow[]>`
    select l.counter_id as id, granted::text, returned::text, settled::text
    from leases l join ${named(tx, specs)} as w(team_id, id) on l.team_id = w.team_id::uuid and l.counter_id = w.id
    where l.instance_id = ${instanceId} and ${isAt(tx, 'l', place)}`;
  return (await Promise.all([...writes, read])).at(-1) as LeaseRow[];
}
