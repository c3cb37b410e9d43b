/** Tables of what was archived: the events are in files, and this is what reports need of them. They grow with days and months. */
import { boolean, index, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { DepartmentId, TeamId } from '../domain/ids.ts';
import { PROVENANCES } from '../domain/outcome.ts';
import { count, isOneOf, json, moment, money } from './schema-columns.ts';
import { storedTags } from './stored-json.ts';

const CHARGE_KINDS = ['usage', 'correction'] as const;

/** Charges of archived months, by UTC day, as the exports sum them of events: the events themselves are in files. */
export const usageCharges = pgTable(
  'usage_charges',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    id: uuid('id').notNull().defaultRandom(),
    day: moment('day').notNull(),
    kind: text('kind', { enum: CHARGE_KINDS }).notNull(),
    isLate: boolean('is_late').notNull(),
    model: text('model').notNull(),
    tier: text('tier').notNull(),
    operation: text('operation').notNull(),
    provenance: text('provenance', { enum: PROVENANCES }).notNull(),
    upstream: text('upstream'),
    priceId: text('price_id'),
    /** As its events had them; null: none, or it was archived before they were kept. */
    tags: json('tags', storedTags),
    departments: uuid('departments').array().$type<DepartmentId[]>(),
    calls: count('calls').notNull(),
    inputTokens: count('input_tokens').notNull(),
    cachedInputTokens: count('cached_input_tokens').notNull(),
    outputTokens: count('output_tokens').notNull(),
    costUsd: money('cost_usd').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    index('usage_charges_day').on(table.teamId, table.day),
    isOneOf(table.kind, CHARGE_KINDS),
  ],
);

/** Months of events that were archived, or that wait for it. */
export const archivedMonths = pgTable('archived_months', {
  /** Where the UTC month begins. */
  month: moment('month').primaryKey(),
  events: count('events').notNull(),
  costUsd: money('cost_usd').notNull(),
  files: integer('files').notNull(),
  folder: text('folder').notNull(),
  manifestSha256: text('manifest_sha256'),
  /** Null: it waits. */
  archivedAt: moment('archived_at'),
  /** Why it is not archived yet. */
  waitsFor: text('waits_for'),
});
