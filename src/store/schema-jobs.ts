/** The table of jobs: calls that go on upstream after their response. */
import { sql } from 'drizzle-orm';
import { index, integer, jsonb, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { EventId, KeyId, TeamId } from '../domain/ids.ts';
import { JOB_KINDS, JOB_STATES } from '../domain/job.ts';
import { count, isOneOf, moment, money } from './schema-columns.ts';

/**
 * One job. Its id is that of its event, so that it is settled once. A row is there before the upstream is asked; its hold has a row of its own
 * (`holds`), which the flush that inserts the event deletes.
 */
export const jobs = pgTable(
  'jobs',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    id: uuid('id').$type<EventId>().notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    kind: text('kind', { enum: JOB_KINDS }).notNull(),
    state: text('state', { enum: JOB_STATES }).notNull(),
    /** By name, among several; null: there was only one. */
    upstream: text('upstream'),
    /** Null: the upstream has not named it. */
    upstreamId: text('upstream_id'),
    /** As the upstream says it. */
    upstreamStatus: text('upstream_status'),
    model: text('model').notNull(),
    /** What any instance needs to end its hold. */
    hold: jsonb('hold').notNull(),
    /** By which it is settled: domain/job-terms.ts, by the kind. */
    terms: jsonb('terms').notNull(),
    /** What was seen of it on the way. */
    progress: jsonb('progress').notNull(),
    heldUsd: money('held_usd').notNull(),
    /** What it is expected to cost, by how far it is; null: nothing says. */
    forecastUsd: money('forecast_usd'),
    /** Null: it has not ended. */
    settledUsd: money('settled_usd'),
    /** Of asking the upstream since it last replied. */
    failures: integer('failures').notNull().default(0),
    problem: text('problem'),
    createdAt: moment('created_at').notNull(),
    nextPollAt: moment('next_poll_at').notNull(),
    /** Grows with each instance that follows the job; one with a smaller number changes nothing any more. */
    fence: count('fence').notNull().default(0),
    followedBy: uuid('followed_by'),
    followedUntil: moment('followed_until'),
    endedAt: moment('ended_at'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    index('jobs_due').on(table.nextPollAt).where(sql`ended_at is null`),
    index('jobs_created').on(table.createdAt, table.id),
    isOneOf(table.kind, JOB_KINDS),
    isOneOf(table.state, JOB_STATES),
  ],
);
