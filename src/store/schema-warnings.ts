/** The table of warnings. It grows with the windows in which a threshold is reached. */
import { sql } from 'drizzle-orm';
import { boolean, index, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { CounterId, TeamId } from '../domain/ids.ts';
import { moment, money } from './schema-columns.ts';

/**
 * A threshold that a counter has reached. The key makes it happen once in each window; a changed amount is another
 * amount to be warned of.
 */
export const warnings = pgTable(
  'warnings',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    counterId: text('counter_id').$type<CounterId>().notNull(),
    /** Percent of the amount. */
    threshold: integer('threshold').notNull(),
    amount: money('amount').notNull(),
    /** The id of its webhook, the same at every attempt. */
    id: uuid('id').notNull(),
    settled: money('settled').notNull(),
    /** Raised by a denied call, not by the sum alone. */
    denied: boolean('denied').notNull().default(false),
    raisedAt: moment('raised_at').notNull(),
    attempts: integer('attempts').notNull().default(0),
    /** Null: nothing is left to send. */
    nextAttemptAt: moment('next_attempt_at'),
    deliveredAt: moment('delivered_at'),
    /** Why the last attempt failed, in our words. */
    problem: text('problem'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.counterId, table.threshold, table.amount] }),
    index('warnings_due').on(table.nextAttemptAt).where(sql`next_attempt_at is not null`),
  ],
);
