/**
 * Leases and counters in Postgres: capacity lent to instances. Invariants: settled + held + leased of a counter never
 * exceeds its amount by anything granted here; rows are locked in id order; only a live instance is granted.
 */
import type { Sql, TransactionSql } from 'postgres';
import { type CounterState, grantAllOrNone } from '../domain/admission.ts';
import type { CounterSpec } from '../domain/budget.ts';
import { formatUsd, usd } from '../domain/money.ts';
import { assertLive } from './instances.ts';

/** One pool of a lease request; `returned` sums are told along, so that idle money goes back without a call of its own. */
export interface LeasePool {
  counters: CounterSpec[];
  min: bigint;
  want: bigint;
}

export interface LeaseRequest {
  instanceId: string;
  teamId: string;
  pools: LeasePool[];
}

/** A counter after the request, and this instance's lease on it as sums that only grow. */
export interface LeasedCounter extends CounterState {
  id: string;
  lease: { granted: bigint; returned: bigint; settled: bigint };
}

export interface LeaseReply {
  /** False: some pool lacked its `min`, so no pool with a `min` got anything. */
  met: boolean;
  counters: LeasedCounter[];
}

/**
 * Asks for capacity on all pools of a team, in one transaction.
 * @throws InstanceFenced when this instance was adopted by another; any error of the connection
 */
export async function requestLease(sql: Sql, request: LeaseRequest): Promise<LeaseReply> {
  const reply = await lend(sql, request);
  if (reply) return reply;
  await createCounters(sql, request);
  const second = await lend(sql, request);
  if (second === null) throw new Error(`team ${request.teamId} asks for limits or grants that do not exist`);
  return second;
}

/** Null: some counter does not exist yet, and nothing was done. */
async function lend(sql: Sql, request: LeaseRequest): Promise<LeaseReply | null> {
  const ids = specsOf(request).map((spec) => spec.id);
  return (await sql.begin(async (tx) => {
    await assertLive(tx, request.instanceId);
    const states = await lockCounters(tx, request.teamId, ids);
    if (states.size < ids.length) return null;
    const needs = request.pools.map(({ counters, min, want }) => ({
      counterIds: counters.map((counter) => counter.id),
      min,
      want,
    }));
    const { met, grants } = grantAllOrNone(needs, states);
    const leases = await writeGrants(tx, request, ids, grants);
    const counters = ids.map((id): LeasedCounter => {
      const state = states.get(id)!;
      const leased = state.leased + (grants.get(id) ?? 0n);
      return { ...state, id, leased, lease: leases.get(id) ?? NO_LEASE };
    });
    return { met, counters };
  })) as LeaseReply | null;
}

function specsOf(request: LeaseRequest): CounterSpec[] {
  return [...new Map(request.pools.flatMap((pool) => pool.counters).map((c) => [c.id, c])).values()];
}

const NO_LEASE = { granted: 0n, returned: 0n, settled: 0n };

async function lockCounters(tx: TransactionSql, teamId: string, ids: string[]) {
  const rows = await tx<Record<'id' | 'amount' | 'settled' | 'held' | 'leased', string>[]>`
    select id, amount::text, settled::text, held::text, leased::text from counters
    where team_id = ${teamId} and id = any(${ids}) order by id for update`;
  return new Map(
    rows.map((row): [string, CounterState] => [
      row.id,
      {
        amount: usd(row.amount),
        settled: usd(row.settled),
        held: usd(row.held),
        leased: usd(row.leased),
      },
    ]),
  );
}

/**
 * Makes the counters that nobody touched before. A limit counts its whole current window, so its counter starts with
 * what the rollups say was already spent; the lock on the team keeps a flush from adding events in between (it takes the
 * same row FOR KEY SHARE and then sees the new counter). In a transaction of its own: who locks a counter and then the
 * team would meet a flush that holds the team and wants the counter.
 */
async function createCounters(sql: Sql, request: LeaseRequest): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`select id from teams where id = ${request.teamId} for update`;
    for (const spec of specsOf(request).toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
      await createCounter(tx, request.teamId, spec);
    }
  });
}

async function createCounter(tx: TransactionSql, teamId: string, spec: CounterSpec): Promise<void> {
  const startsAt = new Date(spec.startsAtMs).toISOString();
  const endsAt = spec.endsAtMs === null ? null : new Date(spec.endsAtMs).toISOString();
  const keyId = spec.subjectType === 'key' ? spec.subjectId : null;
  const table = spec.source === 'limit' ? tx`limits` : tx`grants`;
  const amount = spec.source === 'limit' ? tx`amount` : tx`amount_usd`;
  await tx`
    insert into counters (team_id, id, source, source_id, subject_type, subject_id, meter, starts_at, ends_at, amount, settled)
    select ${teamId}, ${spec.id}, ${spec.source}, ${spec.sourceId}, ${spec.subjectType}, ${spec.subjectId}, 'cost_usd',
      ${startsAt}::timestamptz, ${endsAt}::timestamptz,
      case when source.deleted_at is null then source.${amount} else 0 end,
      case when ${spec.source} = 'grant' then 0 else coalesce((
        select sum(cost_usd) from usage_rollups
        where team_id = ${teamId} and bucket_start >= ${startsAt}::timestamptz
          and (${endsAt}::timestamptz is null or bucket_start < ${endsAt}::timestamptz)
          and (${keyId}::uuid is null or key_id = ${keyId}::uuid)), 0) end
    from ${table} source where source.id = ${spec.sourceId}
    on conflict do nothing`;
}

async function writeGrants(
  tx: TransactionSql,
  request: LeaseRequest,
  ids: string[],
  grants: Map<string, bigint>,
) {
  const counterIds = [...grants.keys()];
  const amounts = [...grants.values()].map(formatUsd);
  if (counterIds.length > 0) {
    await tx`
      update counters c set leased = c.leased + g.amount::numeric
      from unnest(${counterIds}::text[], ${amounts}::text[]) as g(id, amount)
      where c.team_id = ${request.teamId} and c.id = g.id`;
    await tx`
      insert into leases (team_id, counter_id, instance_id, granted)
      select ${request.teamId}, g.id, ${request.instanceId}, g.amount::numeric
      from unnest(${counterIds}::text[], ${amounts}::text[]) as g(id, amount)
      on conflict (team_id, counter_id, instance_id) do update set granted = leases.granted + excluded.granted`;
  }
  const rows = await tx<Record<'id' | 'granted' | 'returned' | 'settled', string>[]>`
    select counter_id as id, granted::text, returned::text, settled::text from leases
    where team_id = ${request.teamId} and instance_id = ${request.instanceId} and counter_id = any(${ids})`;
  return new Map(
    rows.map((row) => [
      row.id,
      { granted: usd(row.granted), returned: usd(row.returned), settled: usd(row.settled) },
    ]),
  );
}
