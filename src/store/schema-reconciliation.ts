/** The tables of reconciliation: what came out for each day, and which differences were posted. */
import { sql } from 'drizzle-orm';
import { boolean, date, index, integer, pgTable, primaryKey, text } from 'drizzle-orm/pg-core';
import { json, moment, money } from './schema-columns.ts';
import { storedDifferences, storedNames } from './stored-json.ts';

/** One UTC day of one upstream, as it was last computed. */
export const reconciliations = pgTable(
  'reconciliations',
  {
    day: date('day', { mode: 'string' }).notNull(),
    /** Among several; empty: there is only one. */
    upstream: text('upstream').notNull(),
    billedUsd: money('billed_usd').notNull(),
    /** By the ledger, before corrections. */
    chargedUsd: money('charged_usd').notNull(),
    correctedUsd: money('corrected_usd').notNull(),
    unexplainedUsd: money('unexplained_usd').notNull(),
    differences: json('differences', storedDifferences).notNull(),
    /** Ids of the gateway's keys; null: they are not known. */
    ownKeys: json('own_keys', storedNames),
    computedAt: moment('computed_at').notNull(),
    /** It is not computed again. */
    isFinal: boolean('is_final').notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.day, table.upstream] }),
    index('reconciliations_moving').on(table.day).where(sql`not is_final`),
  ],
);

/** Differences that were posted to the ledger: each of them once. */
export const reconciliationPostings = pgTable(
  'reconciliation_postings',
  {
    day: date('day', { mode: 'string' }).notNull(),
    upstream: text('upstream').notNull(),
    difference: text('difference').notNull(),
    amountUsd: money('amount_usd').notNull(),
    /** Events that were corrected, or made. */
    events: integer('events').notNull(),
    reason: text('reason').notNull(),
    actor: text('actor').notNull(),
    postedAt: moment('posted_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.day, table.upstream, table.difference] })],
);
