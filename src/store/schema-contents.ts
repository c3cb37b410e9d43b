/**
 * The table of contents of calls, for teams that keep them (store/contents.ts). It is the only one with what people wrote. On a cluster
 * it stays on the coordinator: it holds some days of some teams.
 */
import { customType, index, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { EventId, TeamId } from '../domain/ids.ts';
import { isOneOf, moment } from './schema-columns.ts';

const PARTS = ['call', 'edit'] as const;

const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' });

export const callContents = pgTable(
  'call_contents',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    eventId: uuid('event_id').$type<EventId>().notNull(),
    part: text('part', { enum: PARTS }).notNull(),
    /** When its call was admitted. */
    eventAt: moment('event_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
    /** Sealed about its key (auth/seal.ts). */
    sealed: bytes('sealed').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.eventId, table.part] }),
    index('call_contents_team').on(table.teamId),
    index('call_contents_expiry').on(table.expiresAt),
    index('call_contents_order').on(table.eventAt, table.eventId),
    isOneOf(table.part, PARTS),
  ],
);
