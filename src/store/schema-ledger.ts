/** Tables of what happens: counters, leases, instances, events and their sums. They grow with the calls. */
import { sql } from 'drizzle-orm';
import {
  boolean,
  check,
  index,
  integer,
  jsonb,
  numeric,
  pgTable,
  primaryKey,
  text,
  unique,
  uuid,
} from 'drizzle-orm/pg-core';
import { COUNTER_SOURCES } from '../domain/counter.ts';
import type { ErrorKind } from '../domain/errors.ts';
import type {
  CounterId,
  DepartmentId,
  EventId,
  GrantId,
  KeyId,
  LimitId,
  RaiseId,
  TeamId,
} from '../domain/ids.ts';
import { LABELS } from '../domain/labels.ts';
import { METERS, SUBJECT_TYPES } from '../domain/limit.ts';
import { OUTCOMES, PROVENANCES } from '../domain/outcome.ts';
import { count, isOneOf, json, moment, money, sums } from './schema-columns.ts';
import { storedAllocations, storedInstead, storedNumbers, storedRow, storedTags } from './stored-json.ts';

/** The state of one limit or grant in one window: settled + held + leased never exceeds the amount. */
export const counters = pgTable(
  'counters',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    /** As domain/counter.ts makes it: making it twice makes one. No query takes it apart. */
    id: text('id').$type<CounterId>().notNull(),
    source: text('source', { enum: COUNTER_SOURCES }).notNull(),
    sourceId: uuid('source_id').$type<LimitId | GrantId | RaiseId>().notNull(),
    subjectType: text('subject_type', { enum: SUBJECT_TYPES }).notNull(),
    subjectId: text('subject_id').notNull(),
    models: text('models').array(),
    meter: text('meter', { enum: METERS }).notNull(),
    startsAt: moment('starts_at').notNull(),
    endsAt: moment('ends_at'),
    /** Length of the rolling window of which this is one sub-bucket; null: its own span is the window. */
    rollingMs: count('rolling_ms'),
    /** Whether it is the head of a rolling window, which is locked with its buckets. */
    isHead: boolean('is_head').notNull().generatedAlwaysAs(sql`id like '%@head%'`),
    /** Until then it is contended: instances return what they hold idle. */
    scarceUntil: moment('scarce_until'),
    amount: money('amount').notNull(),
    settled: money('settled').notNull().default('0'),
    held: money('held').notNull().default('0'),
    leased: money('leased').notNull().default('0'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    index('counters_source').on(table.sourceId, table.startsAt),
    index('counters_open').on(table.endsAt),
    // What may count a call: a flush asks by the call's team, key and end user, a bucket for the others of its window.
    index('counters_subject').on(table.teamId, table.subjectId, table.endsAt),
    index('counters_heads').on(table.sourceId, table.teamId).where(sql`is_head`),
    index('counters_scarce').on(table.scarceUntil).where(sql`scarce_until is not null`),
    isOneOf(table.source, COUNTER_SOURCES),
    isOneOf(table.subjectType, SUBJECT_TYPES),
    isOneOf(table.meter, METERS),
  ],
);

/**
 * What a counter lent to one instance, as sums that only grow: a message sent twice changes nothing, a lost answer
 * heals with the next one. Outstanding = granted − returned − settled.
 */
export const leases = pgTable(
  'leases',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    counterId: text('counter_id').$type<CounterId>().notNull(),
    instanceId: uuid('instance_id').notNull(),
    granted: money('granted').notNull().default('0'),
    returned: money('returned').notNull().default('0'),
    settled: money('settled').notNull().default('0'),
    /** What of it the instance's calls in flight held when it last flushed: for people to see, no rule reads it. */
    held: money('held').notNull().default('0'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.counterId, table.instanceId] }),
    index('leases_instance').on(table.instanceId),
  ],
);

/**
 * Holds that outlive a lease: calls that take long, kept as part of their counters' `held`. The flush that inserts the call's
 * event deletes the row, so it ends once, on whichever instance.
 */
export const holds = pgTable(
  'holds',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    id: uuid('id').notNull(),
    instanceId: uuid('instance_id').notNull(),
    /** `[{counter, held}]`. */
    allocations: jsonb('allocations').notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.id] })],
);

/** Events that could not be stored as they are, as text. What they cost is on their counters. */
export const quarantinedEvents = pgTable(
  'quarantined_events',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    id: uuid('id').$type<EventId>().notNull(),
    instanceId: uuid('instance_id').notNull(),
    /** The row of `usage_events` as JSON. Mend it here, and it is brought back. */
    event: text('event').notNull(),
    /** Why Postgres refused it. */
    problem: text('problem').notNull(),
    /** False: its amounts could not be read, and the lease that paid for it stays charged instead. */
    isCharged: boolean('is_charged').notNull(),
    setAsideAt: moment('set_aside_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.id] })],
);

const STATUSES = ['live', 'stopped', 'adopted'] as const;

/** One start of one gateway process. `live → stopped | adopted`; only a live instance may lease or flush. */
export const instances = pgTable(
  'instances',
  {
    id: uuid('id').primaryKey(),
    status: text('status', { enum: STATUSES }).notNull(),
    startedAt: moment('started_at').notNull(),
    heartbeatAt: moment('heartbeat_at').notNull(),
    /** That of the release that runs, see `release`; 0: one that does not know of generations. */
    generation: integer('generation').notNull().default(0),
    /** The epoch of the store's history (`store_history`) in which it put back what had been lost; null: none yet. */
    epoch: uuid('epoch'),
    /** Heartbeats so far: fewer than the instance remembers means that the store has forgotten some. */
    beats: count('beats').notNull().default(0),
    /** The number of its last event that arrived; events are numbered from 1 and arrive in order. */
    flushed: count('flushed').notNull().default(0),
    /** The most that another instance had heard of `flushed` when the history broke. */
    knownFlushed: count('known_flushed').notNull().default(0),
    /** The epoch in which another instance reported that it had heard of this one. */
    reportedIn: uuid('reported_in'),
    /** When everything of it was in the ledger after it ended; null: it lives, or its end is not complete. */
    endedAt: moment('ended_at'),
    /** Nothing waits for it: it was silent for ten minutes while all was well, or an admin accepted its loss. */
    isGivenUp: boolean('is_given_up').notNull().default(false),
  },
  (table) => [isOneOf(table.status, STATUSES)],
);

/**
 * One row: the history of the database that the ledger rests on, held against the server's own in every transaction
 * that lends or settles. A new epoch begins when the store turns out to have forgotten something.
 */
export const storeHistory = pgTable(
  'store_history',
  {
    id: integer('id').primaryKey().default(1),
    /** Names the ledger, whatever server it lies on: journals of another are not put back here. */
    ledgerId: uuid('ledger_id').notNull(),
    epoch: uuid('epoch').notNull(),
    /** Of `pg_control_system()`. */
    systemIdentifier: text('system_identifier').notNull(),
    timeline: integer('timeline').notNull(),
    /** Bytes of write-ahead log that were on the disk, at `seen_at`. */
    position: count('position').notNull(),
    seenAt: moment('seen_at').notNull(),
    beganAt: moment('began_at').notNull(),
    /** Why the epoch began. */
    reason: text('reason').notNull(),
    /** Null: instances still put back what was lost, and nothing is lent. */
    lendingSince: moment('lending_since'),
    /** Who accepted that some did not put back, and why; null: all did. */
    acceptedBy: text('accepted_by'),
    acceptedReason: text('accepted_reason'),
  },
  (table) => [check('store_history_is_one_row', sql`${table.id} = 1`)],
);

/** Events of an instance, by their numbers, that the store has forgotten and that no journal has brought back. */
export const storeGaps = pgTable(
  'store_gaps',
  {
    instanceId: uuid('instance_id').notNull(),
    firstNumber: count('first_number').notNull(),
    lastNumber: count('last_number').notNull(),
    epoch: uuid('epoch').notNull(),
    notedAt: moment('noted_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.instanceId, table.firstNumber] })],
);

/** Entries of the audit log that the store has forgotten, as a living instance remembers them. */
export const lostChanges = pgTable('lost_changes', {
  /** That of the entry. */
  id: uuid('id').primaryKey(),
  epoch: uuid('epoch').notNull(),
  /** The entry as JSON, by the columns of `audit_log`. */
  entry: json('entry', storedRow).notNull(),
});

/**
 * One row: the generation of releases that this database belongs to. A migration raises it when an older release must
 * not lend any more; triggers then refuse its instances (see the migrations).
 */
export const release = pgTable(
  'release',
  { id: integer('id').primaryKey().default(1), generation: integer('generation').notNull() },
  (table) => [check('release_is_one_row', sql`${table.id} = 1`)],
);

/** The immutable record of one forwarded call. `created_at` derives from the id (UUIDv7), so a retry lands once. */
export const usageEvents = pgTable(
  'usage_events',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    createdAt: moment('created_at').notNull(),
    id: uuid('id').$type<EventId>().notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    instanceId: uuid('instance_id').notNull(),
    operation: text('operation').notNull(),
    model: text('model').notNull(),
    responseModel: text('response_model'),
    serviceTier: text('service_tier'),
    stream: boolean('stream').notNull(),
    endUser: text('end_user'),
    /** The department of its team when it was admitted, then the one above, …; null: none. */
    departments: uuid('departments').array().$type<DepartmentId[]>(),
    outcome: text('outcome', { enum: OUTCOMES }).notNull(),
    provenance: text('provenance', { enum: PROVENANCES }).notNull(),
    /** Why the outcome is not an ordinary settled one: `upstream_error`, `client_gone`, `crash`, …; null: ordinary. */
    reason: text('reason'),
    upstreamStatus: integer('upstream_status'),
    upstreamRequestId: text('upstream_request_id'),
    inputTokens: count('input_tokens').notNull(),
    cachedInputTokens: count('cached_input_tokens').notNull(),
    cacheWriteTokens: count('cache_write_tokens').notNull(),
    outputTokens: count('output_tokens').notNull(),
    reasoningTokens: count('reasoning_tokens').notNull(),
    /** `{meter: amount}` in units of every other meter that it used; null, as nearly always: none. */
    quantities: json('quantities', storedNumbers),
    /** The output limit that was written into the request; null: none was. */
    outputLimit: integer('output_limit'),
    priceId: text('price_id'),
    costUsd: money('cost_usd').notNull(),
    holdUsd: money('hold_usd').notNull(),
    allocations: json('allocations', storedAllocations).notNull(),
    /** Microseconds by stage. */
    stageUs: json('stage_us', storedNumbers).notNull(),
    /** Name of the upstream that it went to; null: there was one. */
    upstream: text('upstream'),
    /** `{name: value}`; null, as nearly always: none. */
    tags: json('tags', storedTags),
    /** What a limit did instead of denying it; null, as nearly always: none did. */
    onExhausted: json('on_exhausted', storedInstead),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.createdAt, table.id] }),
    // Lists over all teams, and finding an event by its id alone: the id says when it was made.
    index('usage_events_time').on(table.createdAt, table.id),
    index('usage_events_end_user')
      .on(table.teamId, table.endUser, table.createdAt)
      .where(sql`end_user is not null`),
    index('usage_events_unknown').on(table.teamId, table.createdAt).where(sql`outcome = 'unknown'`),
    index('usage_events_estimated').on(table.teamId, table.createdAt).where(sql`provenance = 'estimated'`),
    isOneOf(table.outcome, OUTCOMES),
    isOneOf(table.provenance, PROVENANCES),
  ],
);

/** Sums of events by quarter of an hour: every time zone's midnight is a boundary. */
export const usageRollups = pgTable(
  'usage_rollups',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    bucketStart: moment('bucket_start').notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    model: text('model').notNull(),
    operation: text('operation').notNull(),
    ...sums(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.bucketStart, table.keyId, table.model, table.operation] }),
  ],
);

/** The same by UTC day: pages over all teams and months would read a hundred times as many quarters of an hour. */
export const usageDays = pgTable(
  'usage_days',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    day: moment('day').notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    model: text('model').notNull(),
    operation: text('operation').notNull(),
    ...sums(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.day, table.keyId, table.model, table.operation] }),
    index('usage_days_day').on(table.day),
    // What is still unknown, for all teams at once, without a look at the events.
    index('usage_days_unknown').on(table.teamId, table.unknownUsd).where(sql`unknown_usd <> 0`),
  ],
);

/**
 * Sums of the quantities that have no column, by quarter of an hour. Few calls have any, so they are summed by meter in
 * rows, and by no other interval.
 */
export const usageQuantities = pgTable(
  'usage_quantities',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    bucketStart: moment('bucket_start').notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    model: text('model').notNull(),
    operation: text('operation').notNull(),
    meter: text('meter').notNull(),
    /** Units of the meter: seconds, not their millionths. */
    amount: numeric('amount').notNull(),
  },
  (table) => [
    primaryKey({
      columns: [table.teamId, table.bucketStart, table.keyId, table.model, table.operation, table.meter],
    }),
  ],
);

/** Denials and errors by quarter of an hour. What an instance counted in its last two seconds is lost when it is killed. */
export const apiErrorRollups = pgTable(
  'api_error_rollups',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    bucketStart: moment('bucket_start').notNull(),
    code: text('code').notNull(),
    /** By the catalogue of errors: a denial or an error. */
    kind: text('kind').$type<ErrorKind>().notNull(),
    calls: count('calls').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.bucketStart, table.code] }),
    check('api_error_rollups_kind', sql`kind in ('denial', 'error')`),
  ],
);

/** Corrections of what an event charged: events themselves never change. */
export const adjustments = pgTable(
  'adjustments',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    id: uuid('id').notNull(),
    eventId: uuid('event_id').$type<EventId>().notNull(),
    deltaUsd: money('delta_usd').notNull(),
    reason: text('reason').notNull(),
    actor: text('actor').notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    index('adjustments_event').on(table.teamId, table.eventId),
  ],
);

/** What people say of the output of calls. One label of each labeller for a call: the last one counts. */
export const labels = pgTable(
  'labels',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    id: uuid('id').notNull(),
    eventId: uuid('event_id').$type<EventId>().notNull(),
    /** When its call was admitted. */
    eventAt: moment('event_at').notNull(),
    /** The actor, as the audit log names it. */
    labeller: text('labeller').notNull(),
    label: text('label', { enum: LABELS }).notNull(),
    reason: text('reason'),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    unique('labels_once').on(table.teamId, table.eventId, table.labeller),
    isOneOf(table.label, LABELS),
  ],
);
