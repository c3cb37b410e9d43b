/**
 * Flush: settled calls move from an instance's memory into the ledger, one transaction a batch and place (places.ts).
 * Invariant: an event is inserted once, however often and by however many instances it is sent, and only what was really inserted moves counters, leases and
 * rollups; so a retry after a lost commit changes nothing.
 */

import type { Fenced, Seen } from '../../domain/history.ts';
import type { TeamId } from '../../domain/ids.ts';
import { ORGANIZATION_ID } from '../../domain/limit.ts';
import { formatUsd } from '../../domain/quantities.ts';
import { archivedAmong } from '../archive.ts';
import type { Sql, TransactionSql } from '../database.ts';
import { runOnRaw } from '../database.ts';
import {
  type CounterRow,
  type FlushBatch,
  type FlushEvent,
  type LeaseReport,
  NO_INSTANCE,
  type PutBackBatch,
  rowsOf,
} from './batch.ts';
import { shareFlushes } from './counters.ts';
import { createForgotten } from './forgotten.ts';
import { assertEpoch, assertLive } from './history.ts';
import { endHolds, keepHolds } from './holds.ts';
import { type Begin, ending, endLeases, fence, noteEnd } from './instances.ts';
import { jobsGoingOn } from './jobs.ts';
import { moveCounters, movesOf } from './move-counters.ts';
import { keepObjects } from './objects.ts';
import { type AtPlace, atPlaces, isAt, type Place, placesOf } from './places.ts';
import { isRowError, keepAside, sendApart } from './quarantine.ts';
import { addRollups, rolledUp } from './rollups.ts';

export type { DurableHold, EventGap, FlushBatch, FlushEvent, LeaseReport, PutBackBatch } from './batch.ts';

/**
 * Writes a batch. Returns the ids that were new.
 * @throws InstanceFenced when this instance was adopted; any error of the connection (the batch may be sent again)
 */
export async function flush(sql: Sql, batch: FlushBatch): Promise<Set<string>> {
  const parts = await partsOf(sql, batch);
  const inserted = new Set<string>();
  const left = parts.values();
  const work = async () => {
    for (const part of left) for (const id of await flushWhole(sql, part)) inserted.add(id);
  };
  // All of them have ended when one has failed: the next try must not meet them.
  const ends = await Promise.allSettled(Array.from({ length: PARTS_AT_ONCE }, work));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  if (parts.length > 1) await countEvents(sql, batch);
  return inserted;
}

/** Events arrive in the order of their numbers. */
async function countEvents(
  sql: Sql | TransactionSql,
  { instanceId, events, flushed = 0 }: FlushBatch,
): Promise<void> {
  if (events.length === 0) return;
  await sql`
    update instances set flushed = ${String(flushed)}::int8
    where id = ${instanceId} and flushed < ${String(flushed)}::int8`;
}

/** Where a row of the part cannot be stored, what is good of it is stored all the same. */
async function flushWhole(sql: Sql, part: Part): Promise<Set<string>> {
  try {
    return await flushPart(sql, part);
  } catch (error) {
    if (!isRowError(error)) throw error;
  }
  const nothing = { ...part, events: [], reports: [], holds: [], isWhole: false };
  const inserted = new Set<string>();
  // A hold that cannot be kept stays on its lease, and a report is made again: nothing of either is set aside.
  const skip = async () => {};
  await sendApart(part.holds ?? [], (holds) => flushPart(sql, { ...nothing, holds: [...holds] }), skip);
  await sendApart(
    part.events,
    async (events) => {
      for (const id of await flushPart(sql, { ...nothing, events: [...events] })) inserted.add(id);
    },
    (event, error) => setAside(plainly(sql), { ...nothing, events: [event] }, event, error),
  );
  await sendApart(part.reports, (reports) => flushPart(sql, { ...nothing, reports: [...reports] }), skip);
  if (part.isWhole) await countEvents(sql, part);
  return inserted;
}

/** Sets an event aside that cannot be stored; what it cost goes onto its counters as if it had been. */
async function setAside(begin: Begin, part: Part, event: FlushEvent, error: unknown): Promise<void> {
  const keep = (isCharged: boolean) =>
    begin(FLUSH_MS, async (tx) => {
      if (isCharged) await shareTeams(tx, part);
      const isNew = await keepAside(tx, part.instanceId, event, error, isCharged);
      if (isNew && isCharged) await charge(tx, part, [event]);
    });
  try {
    await keep(true);
  } catch (chargeError) {
    if (!isRowError(chargeError)) throw chargeError;
    // Not even its amounts can be read: then it stays on the lease that paid for it.
    await keep(false);
  }
}

function plainly(sql: Sql): Begin {
  return (deadlineMs, work) => sql.begin({ deadlineMs }, work);
}

/** Transactions of one flush at the same time: requests for leases need connections too. */
const PARTS_AT_ONCE = 3;

/** The part of a batch that belongs to teams of one place. */
interface Part extends FlushBatch {
  /** In the order of locks. */
  places: Place[];
  /** Whose leases pay; `NO_INSTANCE`: none does, because they end. */
  payer: string;
  /** There is no other. */
  isWhole: boolean;
}

/**
 * Divides a batch by place. Its parts are independent: every message of a batch may be sent twice, so where one part fails
 * all of them are sent again.
 */
async function partsOf(sql: Sql, batch: FlushBatch, payer: string = batch.instanceId): Promise<Part[]> {
  const { events, reports, holds = [] } = batch;
  const teams = [...events, ...reports, ...holds].map((each) => each.teamId);
  if (teams.length === 0) return [{ ...batch, payer, places: [], isWhole: true }];
  const places = await placesOf(sql, [...teams, ORGANIZATION_ID]);
  const [first, ...others] = places;
  if (first === undefined || others.length === 0) return [{ ...batch, payer, places, isWhole: true }];
  // The organization is the first in the order of locks, so its place is.
  const parts = others.map((place) => partOf(batch, payer, place, [first, place]));
  const own = partOf(batch, payer, first, [first]);
  if (own.events.length + own.reports.length + (own.holds?.length ?? 0) > 0) parts.unshift(own);
  // A batch of one place has one part, also where that place is another than the organization's.
  return parts.map((part) => ({ ...part, isWhole: parts.length === 1 }));
}

function partOf(batch: FlushBatch, payer: string, place: Place, places: Place[]): Part {
  const { events, reports, holds = [] } = batch;
  const here = new Set(place.teamIds);
  const isHere = ({ teamId }: { teamId: TeamId }) => here.has(teamId);
  return {
    ...batch,
    payer,
    isWhole: false,
    events: events.filter(isHere),
    reports: reports.filter(isHere),
    holds: holds.filter(isHere),
    places,
  };
}

/** How long each statement of a batch may take: on a slow disk longer than what calls wait for. */
const FLUSH_MS = 10_000;
/** The same for a whole journal. */
const ADOPT_MS = 120_000;

async function flushPart(sql: Sql, part: Part): Promise<Set<string>> {
  return (await sql.begin({ deadlineMs: FLUSH_MS }, async (tx) => {
    await assertLive(tx, part.instanceId, part.seen ?? null, 'settle');
    await shareTeams(tx, part);
    // A hold is kept before the event that may end it, under the locks of its counters.
    if (part.holds?.length) await keepHolds(tx, part, await lockCounters(tx, part));
    const inserted = await insertEvents(tx, part);
    // With events among it, the batch has its locks by now.
    if (part.events.length === 0) await lockCounters(tx, part);
    await reportLeases(tx, part);
    // Last, since a heartbeat waits for this row.
    if (part.isWhole) await countEvents(tx, part);
    return inserted;
  })) as Set<string>;
}

/**
 * Takes over a dead instance: it is fenced, its journal's events (settled ones, and the calls in flight as unknown) enter
 * the ledger, and only then what its leases still lend is free again. Returns how many events were new. Each step may be
 * repeated, so an adoption that was cut off is done again from its beginning; one that was not finds nothing to do.
 * @param known what the instance was fenced at, where it has been
 * @throws StoreWentBack when the store has forgotten a step meanwhile: then it is to be done again from its beginning
 */
export async function adopt(
  sql: Sql,
  instanceId: string,
  events: FlushEvent[],
  status: 'stopped' | 'adopted' = 'adopted',
  flushed = 0,
  seen: Seen | null = null,
  known: Fenced | null = null,
): Promise<number> {
  const begin = ending(sql, instanceId, known ?? (await fence(sql, instanceId, status, seen)));
  let inserted = 0;
  const real = await withoutJobs(sql, events);
  for (const part of await partsOf(sql, { instanceId, events: real, reports: [] }))
    inserted += await insertPart(sql, part, begin);
  await endLeases(sql, instanceId, begin);
  await noteEnd(begin, instanceId, flushed);
  return inserted;
}

/** A job goes on without the process that asked for it: its end is in another event. */
async function withoutJobs(sql: Sql, events: FlushEvent[]): Promise<FlushEvent[]> {
  const guesses = events.flatMap(({ id, isGuess }) => (isGuess ? [id] : []));
  const jobs = await jobsGoingOn(sql, guesses);
  return jobs.size === 0 ? events : events.filter(({ id, isGuess }) => !isGuess || !jobs.has(id));
}

/** Brings the events and holds of a part into the ledger, whatever their number; returns how many events were new. */
async function insertPart(sql: Sql, part: Part, begin: Begin): Promise<number> {
  let inserted = 0;
  const { holds = [] } = part;
  await createForgotten(sql, part.events);
  if (holds.length > 0) {
    await begin(ADOPT_MS, async (tx) => {
      await shareTeams(tx, part);
      await keepHolds(tx, part, await lockCounters(tx, part), part.payer);
    });
  }
  await sendApart(
    part.events,
    async (some) => {
      inserted += await begin(ADOPT_MS, async (tx) => {
        await shareTeams(tx, part);
        return (await insertEvents(tx, { ...part, events: [...some] })).size;
      });
    },
    (event, error) => setAside(begin, { ...part, events: [event] }, event, error),
  );
  return inserted;
}

/**
 * Brings back a part of what the store has forgotten of an instance; with the last one its leases end, and it takes part
 * again. Doing it twice changes nothing. Returns how many events were new.
 * @throws StoreWentBack when another epoch has begun meanwhile
 */
export async function putBack(
  sql: Sql,
  { instanceId, epoch, fenced, events, last }: PutBackBatch,
): Promise<number> {
  const begin = fenced === undefined ? inEpoch(sql, epoch) : ending(sql, instanceId, fenced);
  const batch = { instanceId, events, reports: [], holds: last?.holds ?? [] };
  let inserted = 0;
  for (const part of await partsOf(sql, batch, NO_INSTANCE)) inserted += await insertPart(sql, part, begin);
  if (last === null) return inserted;
  // What was lent is in those events and holds by now. Until the instance takes part again it borrows nothing.
  await endLeases(sql, instanceId, begin);
  await begin(FLUSH_MS, async (tx) => {
    await tx`
      update instances set epoch = ${epoch}::uuid, is_given_up = false,
        flushed = greatest(flushed, ${String(last.flushed)}::int8)
      where id = ${instanceId} and status = 'live'`;
  });
  return inserted;
}

function inEpoch(sql: Sql, epoch: string | null): Begin {
  return (deadlineMs, work) =>
    sql.begin({ deadlineMs }, async (tx) => {
      await assertEpoch(tx, epoch);
      return work(tx);
    });
}

/**
 * Brings events into the ledger that no instance held: no lease pays for them. Doing it twice changes nothing. Returns how
 * many were new.
 */
export async function book(sql: Sql, events: FlushEvent[]): Promise<number> {
  let inserted = 0;
  for (const part of await partsOf(sql, { instanceId: NO_INSTANCE, events, reports: [] }))
    inserted += await insertPart(sql, part, inEpoch(sql, null));
  return inserted;
}

const FAR_FUTURE_MS = Date.UTC(9999, 0);

/**
 * The shared lock on the teams of a batch, before anything else: who makes a counter holds it exclusively and counts the
 * events before it, so every later one must see that counter.
 */
async function shareTeams(tx: TransactionSql, { places }: Part): Promise<void> {
  const teamIds = places.flatMap((place) => place.teamIds);
  if (teamIds.length === 0) return;
  // Sent at once, in this order.
  const locked = tx`select id from teams where id = any(${teamIds}) order by id for key share`.execute();
  await Promise.all([locked, runOnRaw(tx)(shareFlushes(teamIds))]);
}

/** Locks all that the batch may move, in order. As late as possible: lease requests wait for these locks. */
async function lockCounters(tx: TransactionSql, part: Part): Promise<CounterRow[]> {
  const { events, reports, holds = [], places } = part;
  const named = new Set(reports.map((report) => report.counterId));
  const subjects = new Set<string>(places.flatMap((place) => place.teamIds));
  let earliestMs = FAR_FUTURE_MS;
  for (const { allocations } of [...events, ...holds])
    for (const part of allocations) named.add(part.counterId);
  for (const { createdAtMs, keyId, endUser, departments, tags = null } of events) {
    earliestMs = Math.min(earliestMs, createdAtMs);
    subjects.add(keyId);
    if (endUser !== null) subjects.add(endUser);
    for (const department of departments) subjects.add(department);
    if (tags !== null) for (const tag of tags) subjects.add(tag);
  }
  const rows = await Promise.all(
    places.map(
      ({ teamIds }) => tx<CounterRow[]>`
        select team_id as "teamId", id, source, subject_type as "subjectType", subject_id as "subjectId", meter, models,
          (extract(epoch from starts_at) * 1000)::float8 as "startsAtMs",
          (extract(epoch from ends_at) * 1000)::float8 as "endsAtMs"
        from counters
        where team_id = any(${[...teamIds]}::text[]::uuid[]) and (id = any(${[...named]}::text[])
          or (subject_id = any(${[...subjects]}::text[]) and source = 'limit'
            and (ends_at is null or ends_at > ${new Date(earliestMs).toISOString()}::timestamptz)))
        order by team_id, id for update`,
    ),
  );
  return rows.flat();
}

async function insertEvents(tx: TransactionSql, part: Part): Promise<Set<string>> {
  const events = await withoutArchived(tx, part.events);
  if (events.length === 0) return new Set();
  const json = rowsOf(events);
  // The rollups add up what the insert really did, in the same statement: the events cross the wire once.
  const rows = await tx<{ id: string }[]>`
    with fresh as (
      insert into usage_events
      select * from json_populate_recordset(null::usage_events, ${json}::text::json)
      on conflict do nothing returning id, ${rolledUp(tx)}),
    ${addRollups(tx)}
    select id from fresh`;
  const inserted = new Set(rows.map((row) => row.id));
  const fresh = events.filter((event) => inserted.has(event.id));
  await charge(tx, part, fresh);
  await keepObjects(tx, fresh);
  return inserted;
}

/** Events younger than this are of no archived month. */
const ARCHIVED_AFTER_MS = 28 * 24 * 60 * 60 * 1000;

/** An event that comes again after its month was archived (an old journal is replayed) finds no row that exists. */
async function withoutArchived(
  tx: TransactionSql,
  events: readonly FlushEvent[],
): Promise<readonly FlushEvent[]> {
  // The machine's clock is near enough, and nearly every batch needs no look.
  const oldMs = Date.now() - ARCHIVED_AFTER_MS;
  if (!events.some(({ createdAtMs }) => createdAtMs < oldMs)) return events;
  const archived = await archivedAmong(
    tx,
    events.map(({ createdAtMs }) => createdAtMs),
  );
  return events.filter(({ createdAtMs }) => !archived.has(createdAtMs));
}

/** Moves the counters of a batch for those of its events that are new, and ends their holds. */
async function charge(tx: TransactionSql, part: Part, fresh: FlushEvent[]): Promise<void> {
  const counters = await lockCounters(tx, part);
  if (fresh.length === 0) return;
  const moves = movesOf(counters, fresh, await endHolds(tx, fresh));
  for (const group of atPlaces(part.places, moves)) await moveCounters(runOnRaw(tx), part.payer, group);
}

async function reportLeases(tx: TransactionSql, { instanceId, reports, places }: Part): Promise<void> {
  for (const group of atPlaces(places, reports)) await reportAt(tx, instanceId, group);
}

async function reportAt(
  tx: TransactionSql,
  instanceId: string,
  { place, rows: reports }: AtPlace<LeaseReport>,
): Promise<void> {
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
      where l.instance_id = ${instanceId} and ${isAt(tx, 'l', place)}),
    told as (
      update leases l set returned = l.returned + g.amount, held = g.held from given g
      where l.team_id = g.team_id and l.counter_id = g.counter_id and l.instance_id = ${instanceId}
        and ${isAt(tx, 'l', place)})
    update counters c set leased = c.leased - g.amount
    from given g where c.team_id = g.team_id and c.id = g.counter_id and g.amount > 0
      and ${isAt(tx, 'c', place)}`;
}
