/** Tables of what the upstream keeps for teams. They grow with the calls that it keeps. */
import { index, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { TeamId } from '../domain/ids.ts';
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
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.kind, table.id, table.expiresAt] }),
    index('objects_names').using('gin', table.names),
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
