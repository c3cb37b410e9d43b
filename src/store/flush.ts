/**
 * Flush: settled calls move from an instance's memory into the ledger, one transaction a batch. Invariant: an event is
 * inserted once, whoever sends it and however often, and only what was really inserted moves counters, leases and
 * rollups; so a retry after a lost commit changes nothing.
 */
import type { Sql, TransactionSql } from 'postgres';
import { type Allocation, limitCounts } from '../domain/budget.ts';
import { formatUsd } from '../domain/money.ts';
import { assertLive, endInstance } from './instances.ts';

/** One event on its way into the ledger. */
export interface FlushEvent {
  id: string;
  teamId: string;
  keyId: string;
  createdAtMs: number;
  cost: bigint;
  allocations: Allocation[];
  /** The row of `usage_events` as JSON, by column name: written once, for the journal and for Postgres. */
  json: string;
}

/** What an instance tells of one of its leases: its sum of returned money and what its calls hold just now. */
export interface LeaseReport {
  teamId: string;
  counterId: string;
  returned: bigint;
  held: bigint;
}

export interface FlushBatch {
  instanceId: string;
  events: FlushEvent[];
  reports: LeaseReport[];
}

/**
 * Writes a batch. Answers the ids that were new.
 * @throws InstanceFenced when this instance was adopted; any error of the connection (the batch may be sent again)
 */
export async function flush(sql: Sql, batch: FlushBatch): Promise<Set<string>> {
  return (await sql.begin(async (tx) => {
    await assertLive(tx, batch.instanceId);
    const counters = await lockCounters(tx, batch);
    const inserted = await insertEvents(tx, batch, counters);
    await reportLeases(tx, batch);
    return inserted;
  })) as Set<string>;
}

/**
 * Takes over a dead instance: its journal's events (settled ones, and the calls in flight as unknown) enter the ledger,
 * its leases end, it is fenced; all in one transaction. Answers how many events were new; a second adoption of the
 * same journal finds none.
 */
export async function adopt(
  sql: Sql,
  instanceId: string,
  events: FlushEvent[],
  status: 'stopped' | 'adopted' = 'adopted',
): Promise<number> {
  return (await sql.begin(async (tx) => {
    await tx`select 1 from instances where id = ${instanceId} for update`;
    const batch = { instanceId, events, reports: [] };
    const inserted = await insertEvents(tx, batch, await lockCounters(tx, batch));
    await endInstance(tx, instanceId, status);
    return inserted.size;
  })) as number;
}

interface CounterRow {
  team_id: string;
  id: string;
  source: 'limit' | 'grant';
  subject_type: 'team' | 'key';
  subject_id: string;
  starts_at_ms: number;
  ends_at_ms: number | null;
}

const FAR_FUTURE_MS = Date.UTC(9999, 0);

/**
 * Locks all that the batch may move, in id order, before anything else. The shared lock on the teams comes first: who
 * makes a counter holds it exclusively and counts the events before it, so every later one must see that counter.
 */
async function lockCounters(tx: TransactionSql, batch: FlushBatch): Promise<CounterRow[]> {
  const { events, reports } = batch;
  const teamIds = [...new Set([...events, ...reports].map((each) => each.teamId))].sort();
  if (teamIds.length === 0) return [];
  await tx`select id from teams where id = any(${teamIds}) order by id for key share`;
  const named = new Set(reports.map((report) => report.counterId));
  for (const event of events) for (const part of event.allocations) named.add(part.counterId);
  const earliestMs = events.reduce((ms, event) => Math.min(ms, event.createdAtMs), FAR_FUTURE_MS);
  return await tx<CounterRow[]>`
    select team_id, id, source, subject_type, subject_id, (extract(epoch from starts_at) * 1000)::float8 as starts_at_ms,
      (extract(epoch from ends_at) * 1000)::float8 as ends_at_ms
    from counters
    where team_id = any(${teamIds}) and (id = any(${[...named]})
      or (source = 'limit' and (ends_at is null or ends_at > ${new Date(earliestMs).toISOString()}::timestamptz)))
    order by team_id, id for update`;
}

async function insertEvents(
  tx: TransactionSql,
  { instanceId, events }: FlushBatch,
  counters: CounterRow[],
): Promise<Set<string>> {
  if (events.length === 0) return new Set();
  const json = `[${events.map((event) => event.json).join(',')}]`;
  // The rollups add up what the insert really did, in the same statement: the events cross the wire once.
  const rows = await tx<{ id: string }[]>`
    with fresh as (
      insert into usage_events
      select * from json_populate_recordset(null::usage_events, ${json}::text::json)
      on conflict do nothing returning *),
    rolled as (
      insert into usage_rollups as r
      select team_id, date_bin('15 minutes', created_at, 'epoch'), key_id, model, operation, count(*),
        count(*) filter (where outcome = 'voided'), count(*) filter (where outcome = 'unknown'),
        sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(output_tokens),
        sum(reasoning_tokens), sum(cost_usd), coalesce(sum(cost_usd) filter (where outcome = 'unknown'), 0)
      from fresh group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5
      on conflict (team_id, bucket_start, key_id, model, operation) do update set
        calls = r.calls + excluded.calls, voided_calls = r.voided_calls + excluded.voided_calls,
        unknown_calls = r.unknown_calls + excluded.unknown_calls,
        input_tokens = r.input_tokens + excluded.input_tokens,
        cached_input_tokens = r.cached_input_tokens + excluded.cached_input_tokens,
        cache_write_tokens = r.cache_write_tokens + excluded.cache_write_tokens,
        output_tokens = r.output_tokens + excluded.output_tokens,
        reasoning_tokens = r.reasoning_tokens + excluded.reasoning_tokens,
        cost_usd = r.cost_usd + excluded.cost_usd, unknown_usd = r.unknown_usd + excluded.unknown_usd)
    select id from fresh`;
  const inserted = new Set(rows.map((row) => row.id));
  const fresh = events.filter((event) => inserted.has(event.id));
  if (fresh.length > 0) await moveCounters(tx, instanceId, counters, fresh);
  return inserted;
}

/**
 * A limit counts every call of its subject in its window, also those admitted before it was made; a grant only what
 * was held against it. A lease pays for the part that it held; an overrun is on the counter alone, and so is everything of
 * an instance that was ended before: its leases were taken back then.
 */
async function moveCounters(
  tx: TransactionSql,
  instanceId: string,
  counters: CounterRow[],
  events: FlushEvent[],
) {
  const settled = new Map<CounterRow, { settled: bigint; leased: bigint }>();
  const byTeam = Map.groupBy(counters, (row) => row.team_id);
  for (const event of events) {
    for (const row of byTeam.get(event.teamId) ?? []) {
      const part = event.allocations.find((allocation) => allocation.counterId === row.id);
      if (!part && !limitCounts(toSpec(row), event)) continue;
      const sum = settled.get(row) ?? { settled: 0n, leased: 0n };
      sum.settled += part ? part.settled : event.cost;
      if (part) sum.leased += part.settled < part.held ? part.settled : part.held;
      settled.set(row, sum);
    }
  }
  const rows = [...settled].filter(([, sum]) => sum.settled > 0n);
  if (rows.length === 0) return;
  const teams = rows.map(([row]) => row.team_id);
  const ids = rows.map(([row]) => row.id);
  const settledUsd = rows.map(([, sum]) => formatUsd(sum.settled));
  const leasedUsd = rows.map(([, sum]) => formatUsd(sum.leased));
  await tx`
    with moved as (
      select * from unnest(${teams}::text[], ${ids}::text[], ${settledUsd}::text[], ${leasedUsd}::text[])
        as m(team_id, id, settled, leased)),
    paid as (
      update leases l set settled = l.settled + m.leased::numeric from moved m
      where l.team_id = m.team_id::uuid and l.counter_id = m.id and l.instance_id = ${instanceId}
      returning m.team_id, m.id, m.leased)
    update counters c set settled = c.settled + m.settled::numeric, leased = c.leased - coalesce(p.leased::numeric, 0)
    from moved m left join paid p on p.team_id = m.team_id and p.id = m.id
    where c.team_id = m.team_id::uuid and c.id = m.id`;
}

function toSpec(row: CounterRow) {
  return {
    source: row.source,
    subjectType: row.subject_type,
    subjectId: row.subject_id,
    startsAtMs: row.starts_at_ms,
    endsAtMs: row.ends_at_ms,
  };
}

async function reportLeases(tx: TransactionSql, { instanceId, reports }: FlushBatch) {
  if (reports.length === 0) return;
  const teams = reports.map((report) => report.teamId);
  const ids = reports.map((report) => report.counterId);
  const returned = reports.map((report) => formatUsd(report.returned));
  const held = reports.map((report) => formatUsd(report.held));
  await tx`
    with report as (
      select * from unnest(${teams}::text[], ${ids}::text[], ${returned}::text[], ${held}::text[])
        as r(team_id, id, returned, held)),
    given as (
      select l.team_id, l.counter_id, greatest(r.returned::numeric - l.returned, 0) as amount, r.held::numeric as held
      from leases l join report r on l.team_id = r.team_id::uuid and l.counter_id = r.id
      where l.instance_id = ${instanceId}),
    told as (
      update leases l set returned = l.returned + g.amount, held = g.held from given g
      where l.team_id = g.team_id and l.counter_id = g.counter_id and l.instance_id = ${instanceId})
    update counters c set leased = c.leased - g.amount
    from given g where c.team_id = g.team_id and c.id = g.counter_id and g.amount > 0`;
}
