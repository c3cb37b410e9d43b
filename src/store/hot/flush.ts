/**
 * Flush: settled calls move from an instance's memory into the ledger, one transaction a batch. Invariant: an event is
 * inserted once, however often and by however many instances it is sent, and only what was really inserted moves counters, leases and
 * rollups; so a retry after a lost commit changes nothing.
 */

import type { Sql, TransactionSql } from 'postgres';
import type { TeamId } from '../../domain/ids.ts';
import { ORGANIZATION_ID } from '../../domain/limit.ts';
import { formatUsd } from '../../domain/money.ts';
import { runOnRaw } from '../database.ts';
import type { CounterRow, FlushBatch, FlushEvent } from './batch.ts';
import { endHolds, keepHolds } from './holds.ts';
import { assertLive, endInstance } from './instances.ts';
import { moveCounters, movesOf } from './move-counters.ts';
import { addRollups } from './rollups.ts';

export type { DurableHold, FlushBatch, FlushEvent, LeaseReport } from './batch.ts';

/**
 * Writes a batch. Returns the ids that were new.
 * @throws InstanceFenced when this instance was adopted; any error of the connection (the batch may be sent again)
 */
export async function flush(sql: Sql, batch: FlushBatch): Promise<Set<string>> {
  return (await sql.begin(async (tx) => {
    await assertLive(tx, batch.instanceId);
    const teamIds = await shareTeams(tx, batch);
    // A hold is kept before the event that may end it, under the locks of its counters.
    if (batch.holds?.length) await keepHolds(tx, batch, await lockCounters(tx, batch, teamIds));
    const inserted = await insertEvents(tx, batch, teamIds);
    // With events among it, the batch has its locks by now.
    if (batch.events.length === 0) await lockCounters(tx, batch, teamIds);
    await reportLeases(tx, batch);
    return inserted;
  })) as Set<string>;
}

/**
 * Takes over a dead instance: its journal's events (settled ones, and the calls in flight as unknown) enter the ledger,
 * its leases end, it is fenced; all in one transaction. Returns how many events were new; a second adoption of the
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
    const inserted = await insertEvents(tx, batch, await shareTeams(tx, batch));
    await endInstance(tx, instanceId, status);
    return inserted.size;
  })) as number;
}

const FAR_FUTURE_MS = Date.UTC(9999, 0);

/**
 * The shared lock on the teams of a batch, before anything else: who makes a counter holds it exclusively and counts the
 * events before it, so every later one must see that counter.
 */
async function shareTeams(tx: TransactionSql, batch: FlushBatch): Promise<TeamId[]> {
  const { events, reports, holds = [] } = batch;
  const teams = new Set([...events, ...reports, ...holds].map((each) => each.teamId));
  if (teams.size === 0) return [];
  const teamIds = [...teams.add(ORGANIZATION_ID)].sort();
  await tx`select id from teams where id = any(${teamIds}) order by id for key share`;
  return teamIds;
}

/** Locks all that the batch may move, in order. As late as possible: lease requests wait for these locks. */
async function lockCounters(tx: TransactionSql, batch: FlushBatch, teamIds: TeamId[]): Promise<CounterRow[]> {
  const { events, reports, holds = [] } = batch;
  if (teamIds.length === 0) return [];
  const named = new Set(reports.map((report) => report.counterId));
  const subjects = new Set<string>(teamIds);
  let earliestMs = FAR_FUTURE_MS;
  for (const { allocations } of [...events, ...holds])
    for (const part of allocations) named.add(part.counterId);
  for (const { createdAtMs, keyId, endUser } of events) {
    earliestMs = Math.min(earliestMs, createdAtMs);
    subjects.add(keyId);
    if (endUser !== null) subjects.add(endUser);
  }
  return await tx<CounterRow[]>`
    select team_id as "teamId", id, source, subject_type as "subjectType", subject_id as "subjectId", meter, models,
      (extract(epoch from starts_at) * 1000)::float8 as "startsAtMs",
      (extract(epoch from ends_at) * 1000)::float8 as "endsAtMs"
    from counters
    where team_id = any(${teamIds}) and (id = any(${[...named]}::text[])
      or (subject_id = any(${[...subjects]}::text[]) and source = 'limit'
        and (ends_at is null or ends_at > ${new Date(earliestMs).toISOString()}::timestamptz)))
    order by team_id, id for update`;
}

async function insertEvents(tx: TransactionSql, batch: FlushBatch, teamIds: TeamId[]): Promise<Set<string>> {
  const { instanceId, events } = batch;
  if (events.length === 0) return new Set();
  const json = `[${events.map((event) => event.json).join(',')}]`;
  // The rollups add up what the insert really did, in the same statement: the events cross the wire once.
  const rows = await tx<{ id: string }[]>`
    with fresh as (
      insert into usage_events
      select * from json_populate_recordset(null::usage_events, ${json}::text::json)
      on conflict do nothing returning *),
    ${addRollups(tx)}
    select id from fresh`;
  const inserted = new Set(rows.map((row) => row.id));
  const fresh = events.filter((event) => inserted.has(event.id));
  const counters = await lockCounters(tx, batch, teamIds);
  if (fresh.length > 0)
    await moveCounters(runOnRaw(tx), instanceId, movesOf(counters, fresh, await endHolds(tx, fresh)));
  return inserted;
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
