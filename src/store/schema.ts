/**
 * The tables. Owns: their shape; every query lives beside its noun. Money is `numeric(24,12)` USD; whatever grows has
 * `team_id` first in its keys, so that it can be distributed by team; no serials. `usage_events` is partitioned by
 * month of `created_at` (the migration appends PARTITION BY RANGE (created_at) and a default partition).
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  numeric,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core';

const money = (name: string) => numeric(name, { precision: 24, scale: 12 });
const moment = (name: string) => timestamp(name, { withTimezone: true });
const count = (name: string) => bigint(name, { mode: 'number' });

/** One row. Every change to keys, teams, limits, grants or prices raises it in the same transaction. */
export const catalogVersion = pgTable(
  'catalog_version',
  { id: integer('id').primaryKey().default(1), version: count('version').notNull().default(1) },
  (table) => [check('catalog_version_is_one_row', sql`${table.id} = 1`)],
);

export const plans = pgTable('plans', {
  name: text('name').primaryKey(),
  /** `[{amount_usd, months}]`: credit that a new team of this plan gets. */
  grants: jsonb('grants').notNull(),
  createdAt: moment('created_at').notNull(),
});

export const teams = pgTable('teams', {
  id: uuid('id').primaryKey(),
  name: text('name').notNull().unique(),
  plan: text('plan'),
  /** Without a grant or a cost limit a team is refused, unless an admin said that it is unlimited. */
  unlimited: boolean('unlimited').notNull().default(false),
  createdAt: moment('created_at').notNull(),
  deletedAt: moment('deleted_at'),
  /** The catalog version that last changed this team, its keys, limits or grants. */
  changedAtVersion: count('changed_at_version').notNull().default(0),
});

export const keys = pgTable(
  'keys',
  {
    id: uuid('id').primaryKey(),
    teamId: uuid('team_id').notNull(),
    name: text('name').notNull(),
    /** SHA-256 of the key, hex: the key has 256 random bits, so no slow hash is needed. */
    hash: text('hash').notNull().unique(),
    /** First characters of the key, to recognise it in lists. */
    prefix: text('prefix').notNull(),
    models: text('models').array(),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at'),
    revokedAt: moment('revoked_at'),
  },
  (table) => [index('keys_team').on(table.teamId)],
);

export const limits = pgTable(
  'limits',
  {
    id: uuid('id').primaryKey(),
    teamId: uuid('team_id').notNull(),
    subjectType: text('subject_type').notNull(),
    subjectId: uuid('subject_id'),
    models: text('models').array(),
    meter: text('meter').notNull(),
    amount: money('amount').notNull(),
    /** `{type: 'lifetime'}` or `{type: 'calendar', unit, timeZone}`. */
    window: jsonb('window').notNull(),
    enforcement: text('enforcement').notNull(),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [index('limits_team').on(table.teamId)],
);

export const grants = pgTable(
  'grants',
  {
    id: uuid('id').primaryKey(),
    teamId: uuid('team_id').notNull(),
    amountUsd: money('amount_usd').notNull(),
    startsAt: moment('starts_at').notNull(),
    expiresAt: moment('expires_at'),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [index('grants_team').on(table.teamId)],
);

export const models = pgTable('models', {
  model: text('model').primaryKey(),
  maxInputTokens: integer('max_input_tokens'),
  maxOutputTokens: integer('max_output_tokens'),
  /** Why no bound of this model's bill is known yet (fees outside its tokens); null: it is bounded. */
  unboundedReason: text('unbounded_reason'),
  source: text('source').notNull(),
});

export const prices = pgTable(
  'prices',
  {
    id: text('id').primaryKey(),
    model: text('model').notNull(),
    tier: text('tier').notNull(),
    effectiveFrom: moment('effective_from').notNull(),
    perTokens: count('per_tokens').notNull(),
    /** `{input, cached_input, cache_write, output}`: decimal strings of USD per `per_tokens`, or null. */
    rates: jsonb('rates').notNull(),
    longContext: jsonb('long_context'),
    longContextAboveTokens: integer('long_context_above_tokens'),
    source: text('source').notNull(),
    origin: text('origin').notNull(),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [index('prices_model').on(table.model)],
);

/** The state of one limit or grant in one window: settled + held + leased never exceeds the amount. */
export const counters = pgTable(
  'counters',
  {
    teamId: uuid('team_id').notNull(),
    /** `<limit or grant id>@<window start in ms>`: making it twice makes one. */
    id: text('id').notNull(),
    source: text('source').notNull(),
    sourceId: uuid('source_id').notNull(),
    subjectType: text('subject_type').notNull(),
    subjectId: uuid('subject_id'),
    models: text('models').array(),
    meter: text('meter').notNull(),
    startsAt: moment('starts_at').notNull(),
    endsAt: moment('ends_at'),
    amount: money('amount').notNull(),
    settled: money('settled').notNull().default('0'),
    held: money('held').notNull().default('0'),
    leased: money('leased').notNull().default('0'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    index('counters_source').on(table.teamId, table.sourceId),
  ],
);

/**
 * What a counter lent to one instance, as sums that only grow: a message sent twice changes nothing, a lost answer
 * heals with the next one. Outstanding = granted − returned − settled.
 */
export const leases = pgTable(
  'leases',
  {
    teamId: uuid('team_id').notNull(),
    counterId: text('counter_id').notNull(),
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

/** One start of one gateway process. `live → stopped | adopted`; only a live instance may lease or flush. */
export const instances = pgTable('instances', {
  id: uuid('id').primaryKey(),
  status: text('status').notNull(),
  startedAt: moment('started_at').notNull(),
  heartbeatAt: moment('heartbeat_at').notNull(),
});

/** The immutable record of one forwarded call. `created_at` derives from the id (UUIDv7), so a retry lands once. */
export const usageEvents = pgTable(
  'usage_events',
  {
    teamId: uuid('team_id').notNull(),
    createdAt: moment('created_at').notNull(),
    id: uuid('id').notNull(),
    keyId: uuid('key_id').notNull(),
    instanceId: uuid('instance_id').notNull(),
    operation: text('operation').notNull(),
    model: text('model').notNull(),
    responseModel: text('response_model'),
    serviceTier: text('service_tier'),
    stream: boolean('stream').notNull(),
    endUser: text('end_user'),
    outcome: text('outcome').notNull(),
    provenance: text('provenance').notNull(),
    /** Why the outcome is not an ordinary settled one: `upstream_error`, `client_gone`, `crash`, …; null: ordinary. */
    reason: text('reason'),
    upstreamStatus: integer('upstream_status'),
    upstreamRequestId: text('upstream_request_id'),
    inputTokens: count('input_tokens').notNull(),
    cachedInputTokens: count('cached_input_tokens').notNull(),
    cacheWriteTokens: count('cache_write_tokens').notNull(),
    outputTokens: count('output_tokens').notNull(),
    reasoningTokens: count('reasoning_tokens').notNull(),
    /** The output limit that was written into the request; null: none was. */
    outputLimit: integer('output_limit'),
    priceId: text('price_id'),
    costUsd: money('cost_usd').notNull(),
    holdUsd: money('hold_usd').notNull(),
    /** `[{counter, held, settled}]` in decimal USD. */
    allocations: jsonb('allocations').notNull(),
    /** Microseconds by stage. */
    stageUs: jsonb('stage_us').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.createdAt, table.id] }),
    index('usage_events_unknown').on(table.teamId, table.createdAt).where(sql`outcome = 'unknown'`),
  ],
);

/** Sums of events by quarter of an hour: every time zone's midnight is a boundary. */
export const usageRollups = pgTable(
  'usage_rollups',
  {
    teamId: uuid('team_id').notNull(),
    bucketStart: moment('bucket_start').notNull(),
    keyId: uuid('key_id').notNull(),
    model: text('model').notNull(),
    operation: text('operation').notNull(),
    calls: count('calls').notNull(),
    voidedCalls: count('voided_calls').notNull(),
    unknownCalls: count('unknown_calls').notNull(),
    inputTokens: count('input_tokens').notNull(),
    cachedInputTokens: count('cached_input_tokens').notNull(),
    cacheWriteTokens: count('cache_write_tokens').notNull(),
    outputTokens: count('output_tokens').notNull(),
    reasoningTokens: count('reasoning_tokens').notNull(),
    costUsd: money('cost_usd').notNull(),
    unknownUsd: money('unknown_usd').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.bucketStart, table.keyId, table.model, table.operation] }),
  ],
);

/** Corrections of what an event charged: events themselves never change. */
export const adjustments = pgTable(
  'adjustments',
  {
    teamId: uuid('team_id').notNull(),
    id: uuid('id').notNull(),
    eventId: uuid('event_id').notNull(),
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
