/** Tables of what the upstream keeps for teams. They grow with the calls that it keeps. */
import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { TeamId } from '../domain/ids.ts';
import { GIVEN } from '../domain/input-count.ts';
import { OBJECT_KINDS } from '../domain/objects.ts';
import { isOneOf, moment } from './schema-columns.ts';

/**
 * What the upstream keeps for a team, by its id, for as long as the upstream keeps it. Partitioned by month of `expires_at`;
 * what has no end lies in a partition of its own (the migration appends both).
 */
export const objects = pgTable(
  'objects',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    kind: text('kind', { enum: OBJECT_KINDS }).notNull(),
    id: text('id').notNull(),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
    /** What else of it a call may name: the items of a response. */
    names: text('names').array().notNull(),
    /** What it weighs as input of a later call: domain/kept.ts, by the kind. */
    weight: jsonb('weight').notNull(),
    /** Name of the upstream that keeps it; null: there was one. */
    upstream: text('upstream'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.kind, table.id, table.expiresAt] }),
    index('objects_names').using('gin', table.names),
    // Whose a trained model is, is asked over all teams, by each call of one.
    index('objects_models').on(table.id).where(sql`kind = 'model'`),
    isOneOf(table.kind, OBJECT_KINDS),
  ],
);

/** Calls in a conversation whose end is not in its weight yet. A row is there before its call is forwarded. */
export const conversationCalls = pgTable(
  'conversation_calls',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    conversationId: text('conversation_id').notNull(),
    id: uuid('id').notNull(),
    startedAt: moment('started_at').notNull(),
    /** What it may add: domain/kept.ts. */
    weight: jsonb('weight').notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.conversationId, table.id] })],
);

/** What the upstream counted for the leading items of inputs, for other replicas. Unlogged: a lost row only makes a hold larger. */
export const inputCounts = pgTable(
  'input_counts',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    /** 128 bits of SHA-256 over the model and the items, and over how they were counted, in base64url. */
    key: text('key').notNull(),
    setting: text('setting').notNull(),
    given: text('given', { enum: GIVEN }).notNull(),
    /** Fingerprints of the tools, instructions and formats that were counted too, in base64. */
    elements: text('elements').notNull(),
    tokens: integer('tokens').notNull(),
    expiresAt: moment('expires_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.key, table.setting] }), isOneOf(table.given, GIVEN)],
);
