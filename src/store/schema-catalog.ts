/** Tables of what admins say: plans, teams, keys, limits, grants, models and prices. They grow with the organisation. */
import { sql } from 'drizzle-orm';
import {
  type AnyPgColumn,
  boolean,
  check,
  index,
  integer,
  pgTable,
  text,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import { AUDIT_ACTIONS, AUDIT_RESOURCES } from '../domain/audit.ts';
import type {
  DepartmentId,
  GrantId,
  KeyId,
  LimitId,
  PersonId,
  RaiseId,
  SessionId,
  TeamId,
} from '../domain/ids.ts';
import { ENFORCEMENTS, METERS, SUBJECT_TYPES } from '../domain/limit.ts';
import { ON_SHORTAGE, type OnShortage } from '../domain/open-ended.ts';
import { SERVICE_TIERS } from '../domain/price.ts';
import { CLIENT_GONE, type ClientGone } from '../domain/upstream.ts';
import { storedPriceLines } from './price-lines.ts';
import { count, isOneOf, json, moment, money } from './schema-columns.ts';
import {
  planGrants,
  planLimits,
  storedCarryOver,
  storedOnExhausted,
  storedRow,
  storedTags,
  storedWindow,
} from './stored-json.ts';

/** One row. Every change to keys, teams, limits, grants or prices raises it in the same transaction. */
export const catalogVersion = pgTable(
  'catalog_version',
  { id: integer('id').primaryKey().default(1), version: count('version').notNull().default(1) },
  (table) => [check('catalog_version_is_one_row', sql`${table.id} = 1`)],
);

export const plans = pgTable('plans', {
  name: text('name').primaryKey(),
  /** Credit that a new team of this plan gets. */
  grants: json('grants', planGrants).notNull(),
  /** Limits that a new team of this plan gets: rules without a subject. */
  limits: json('limits', planLimits).notNull().default([]),
  /** Models that a new team of this plan may use; null: all. */
  models: text('models').array(),
  createdAt: moment('created_at').notNull(),
});

/** Groups of teams, in a tree of a few levels. A deleted one keeps its history. */
export const departments = pgTable(
  'departments',
  {
    id: uuid('id').$type<DepartmentId>().primaryKey(),
    name: text('name').notNull(),
    /** Null: it stands at the top. */
    parentId: uuid('parent_id')
      .$type<DepartmentId>()
      .references((): AnyPgColumn => departments.id),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    uniqueIndex('departments_name').on(table.name).where(sql`deleted_at is null`),
    index('departments_parent').on(table.parentId),
  ],
);

export const teams = pgTable(
  'teams',
  {
    id: uuid('id').$type<TeamId>().primaryKey(),
    name: text('name').notNull().unique(),
    plan: text('plan'),
    /** Null: in none. */
    departmentId: uuid('department_id')
      .$type<DepartmentId>()
      .references(() => departments.id),
    /** Without a grant or a cost limit a team is refused, unless an admin said that it is unlimited. */
    unlimited: boolean('unlimited').notNull().default(false),
    /** While Postgres is away its calls go on, if nothing strict binds them. */
    failOpen: boolean('fail_open').notNull().default(false),
    /** What becomes of a call whose client leaves; null: as the upstream is set. */
    onClientGone: text('on_client_gone').$type<ClientGone>(),
    /** What becomes of an open-ended call when little money is left; null: its answer is shortened. */
    onShortage: text('on_shortage').$type<OnShortage>(),
    /** Models that the team's keys may use; null: all. */
    models: text('models').array(),
    /** For so many days contents of its calls are kept, sealed; null: none are. */
    contentDays: integer('content_days'),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
    /** The catalog version that last changed this team, its keys, limits or grants. */
    changedAtVersion: count('changed_at_version').notNull().default(0),
    /** The catalog version at which one of its budgets last reached a threshold: its keys tell of it, nothing else changes. */
    warnedAtVersion: count('warned_at_version').notNull().default(0),
  },
  (table) => [
    index('teams_department').on(table.departmentId),
    isOneOf(table.onClientGone, CLIENT_GONE),
    isOneOf(table.onShortage, ON_SHORTAGE),
    check('teams_content_days', sql`content_days between 1 and 3650`),
  ],
);

export const keys = pgTable(
  'keys',
  {
    id: uuid('id').$type<KeyId>().primaryKey(),
    teamId: uuid('team_id')
      .$type<TeamId>()
      .notNull()
      .references(() => teams.id),
    name: text('name').notNull(),
    /** SHA-256 of the key, hex: the key has 256 random bits, so no slow hash is needed. */
    hash: text('hash').notNull().unique(),
    /** First characters of the key, to recognise it in lists. */
    prefix: text('prefix').notNull(),
    models: text('models').array(),
    /** As of teams; null: as the team says. */
    onShortage: text('on_shortage').$type<OnShortage>(),
    /** Tags of all its calls, by name; null: none. */
    tags: json('tags', storedTags),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at'),
    revokedAt: moment('revoked_at'),
    /** The text before the last rotation, and until when it works too. */
    previousHash: text('previous_hash').unique(),
    previousExpiresAt: moment('previous_expires_at'),
  },
  (table) => [index('keys_team').on(table.teamId), isOneOf(table.onShortage, ON_SHORTAGE)],
);

export const limits = pgTable(
  'limits',
  {
    id: uuid('id').$type<LimitId>().primaryKey(),
    teamId: uuid('team_id')
      .$type<TeamId>()
      .notNull()
      .references(() => teams.id),
    subjectType: text('subject_type', { enum: SUBJECT_TYPES }).notNull(),
    /** The department, the key, the name of an end user, a tag's name or the tag as text; null: the team, the organization, or each end user. */
    subjectId: text('subject_id'),
    /** Null: it has none. */
    name: text('name'),
    models: text('models').array(),
    meter: text('meter', { enum: METERS }).notNull(),
    /** USD, tokens, requests or slots, as the meter says. */
    amount: money('amount').notNull(),
    window: json('window', storedWindow).notNull(),
    enforcement: text('enforcement', { enum: ENFORCEMENTS }).notNull(),
    /** The most that one call may hold; null: as much as is left. */
    maxHold: money('max_hold'),
    /** Of cost: charged for unknown outcomes above it, calls go one at a time; null: as domain/unknown.ts says. */
    maxUnknown: money('max_unknown'),
    /** Percents of the amount at which it warns; null: those of the configuration. */
    warnAt: integer('warn_at').array(),
    /** What it does instead of denying; null: it denies. */
    onExhausted: json('on_exhausted', storedOnExhausted),
    /** The most of what its window leaves that is carried into the next; null: nothing is. */
    carryOver: json('carry_over', storedCarryOver),
    /** From this moment on its window counts again from nothing, and why; null: it was never reset. */
    resetAt: moment('reset_at'),
    resetReason: text('reset_reason'),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    index('limits_team').on(table.teamId),
    isOneOf(table.subjectType, SUBJECT_TYPES),
    isOneOf(table.meter, METERS),
    isOneOf(table.enforcement, ENFORCEMENTS),
    check(
      'limits_window',
      sql`coalesce(${table.window} ->> 'type', '') in ('lifetime', 'calendar', 'rolling')`,
    ),
  ],
);

/** More of a limit for some time, beside its amount. Its counter pays for what that of the limit does not. */
export const limitRaises = pgTable(
  'limit_raises',
  {
    id: uuid('id').$type<RaiseId>().primaryKey(),
    limitId: uuid('limit_id')
      .$type<LimitId>()
      .notNull()
      .references(() => limits.id),
    /** In the limit's unit. */
    amount: money('amount').notNull(),
    startsAt: moment('starts_at').notNull(),
    /** When it ends by itself, or was ended. */
    until: moment('until').notNull(),
    reason: text('reason').notNull(),
    /** The start of the window into which it was carried over; null: an admin made it. */
    carriedInto: moment('carried_into'),
    createdAt: moment('created_at').notNull(),
    /** When an admin ended it; null: it ends by itself. */
    deletedAt: moment('deleted_at'),
  },
  (table) => [index('limit_raises_limit').on(table.limitId, table.until)],
);

export const grants = pgTable(
  'grants',
  {
    id: uuid('id').$type<GrantId>().primaryKey(),
    teamId: uuid('team_id')
      .$type<TeamId>()
      .notNull()
      .references(() => teams.id),
    /** Null: it has none. */
    name: text('name'),
    amountUsd: money('amount_usd').notNull(),
    startsAt: moment('starts_at').notNull(),
    expiresAt: moment('expires_at'),
    /** What calls of unknown outcome may be charged before they go one at a time; null: a tenth of the amount. */
    maxUnknownUsd: money('max_unknown_usd'),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [index('grants_team').on(table.teamId)],
);

export const models = pgTable('models', {
  model: text('model').primaryKey(),
  maxInputTokens: integer('max_input_tokens'),
  maxOutputTokens: integer('max_output_tokens'),
  /** The name of the rule by which its images are billed (models.seed.json); null: none is known. */
  imageRule: text('image_rule'),
  /** Why no bound of this model's bill is known yet (fees outside its tokens); null: it is bounded. */
  unboundedReason: text('unbounded_reason'),
  source: text('source').notNull(),
});

/** Prices that came with Tollgate, or that an admin wrote. */
const ORIGINS = ['seed', 'admin'] as const;

export const prices = pgTable(
  'prices',
  {
    id: text('id').primaryKey(),
    model: text('model').notNull(),
    tier: text('tier', { enum: SERVICE_TIERS }).notNull(),
    effectiveFrom: moment('effective_from').notNull(),
    /** `[{meter, per, rate, band?}]`: `rate` is decimal USD for `per` units. */
    lines: json('lines', storedPriceLines).notNull(),
    longContextAboveTokens: integer('long_context_above_tokens'),
    source: text('source').notNull(),
    origin: text('origin', { enum: ORIGINS }).notNull(),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    index('prices_model').on(table.model),
    isOneOf(table.tier, SERVICE_TIERS),
    isOneOf(table.origin, ORIGINS),
  ],
);

/** The days from which models serve no more, as the upstream's list of models said. */
export const modelShutdowns = pgTable('model_shutdowns', {
  model: text('model').primaryKey(),
  /** YYYY-MM-DD. */
  day: text('day').notNull(),
  notedAt: moment('noted_at').notNull(),
});

/**
 * Who changed what: one entry a changed row, before and after, without secrets. Written by triggers of the tables above
 * (see the migrations), in the transaction of the change: a change that forgets to say so is not possible.
 */
export const auditLog = pgTable(
  'audit_log',
  {
    id: uuid('id').primaryKey(),
    at: moment('at').notNull(),
    actor: text('actor').notNull(),
    // For types alone, without a constraint: what later releases change is logged by triggers of theirs.
    action: text('action', { enum: AUDIT_ACTIONS }).notNull(),
    resource: text('resource', { enum: AUDIT_RESOURCES }).notNull(),
    resourceId: text('resource_id').notNull(),
    /** Null: it belongs to no team (a plan, a price). */
    teamId: uuid('team_id').$type<TeamId>(),
    before: json('before', storedRow),
    after: json('after', storedRow),
  },
  (table) => [
    index('audit_log_at').on(table.at, table.id),
    index('audit_log_resource').on(table.resource, table.at, table.id),
    index('audit_log_resource_id').on(table.resourceId, table.at, table.id),
    index('audit_log_team').on(table.teamId, table.at, table.id),
  ],
);

/** Sessions of the console that are open: a row that is gone ends its session on every replica. */
export const sessions = pgTable(
  'sessions',
  {
    id: uuid('id').$type<SessionId>().primaryKey(),
    /** The virtual key that opened it, and its team; null: the admin key, or a person. */
    keyId: uuid('key_id').$type<KeyId>(),
    teamId: uuid('team_id').$type<TeamId>(),
    /** Who signed in, and what they are named; null: not known by name. */
    personId: uuid('person_id').$type<PersonId>(),
    userName: text('user_name'),
    /** Of the client that signed in, as far as it is known. */
    address: text('address').notNull(),
    userAgent: text('user_agent').notNull(),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [
    index('sessions_created').on(table.createdAt, table.id),
    index('sessions_key').on(table.keyId, table.createdAt, table.id),
    index('sessions_person').on(table.personId, table.createdAt, table.id),
  ],
);
