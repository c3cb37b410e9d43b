/** Tables of notices: who gets them, and what was sent. They grow with the notices. */
import { sql } from 'drizzle-orm';
import { index, integer, pgTable, primaryKey, text, unique, uuid } from 'drizzle-orm/pg-core';
import type { DepartmentId, TeamId } from '../domain/ids.ts';
import { LANGUAGES, NOTICE_KINDS, noticeFacts, RECIPIENT_KINDS } from '../domain/notice.ts';
import { isOneOf, json, moment } from './schema-columns.ts';

/** Who gets notices of a team; under the organization's id: of a department, or of all teams. */
export const recipients = pgTable(
  'recipients',
  {
    id: uuid('id').primaryKey(),
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    /** Null: of the team, or of all of them. */
    departmentId: uuid('department_id').$type<DepartmentId>(),
    kind: text('kind', { enum: RECIPIENT_KINDS }).notNull(),
    /** An e-mail address, or a URL: who knows it can write there. */
    address: text('address').notNull(),
    /** `whsec_` and base64; null: unsigned. */
    secret: text('secret'),
    wants: text('wants', { enum: NOTICE_KINDS }).array().notNull(),
    language: text('language', { enum: LANGUAGES }).notNull(),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    index('recipients_team').on(table.teamId),
    isOneOf(table.kind, RECIPIENT_KINDS),
    isOneOf(table.language, LANGUAGES),
  ],
);

/** What is sent to one recipient. The topic makes it happen once, however many replicas look. */
export const notices = pgTable(
  'notices',
  {
    /** The team that it is about. */
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    /** The same at every attempt. */
    id: uuid('id').notNull(),
    recipientId: uuid('recipient_id').notNull(),
    /** What it is about: the warning, the window, the day, the week. */
    topic: text('topic').notNull(),
    kind: text('kind', { enum: NOTICE_KINDS }).notNull(),
    facts: json('facts', noticeFacts).notNull(),
    raisedAt: moment('raised_at').notNull(),
    attempts: integer('attempts').notNull().default(0),
    /** Null: nothing is left to send. */
    nextAttemptAt: moment('next_attempt_at'),
    deliveredAt: moment('delivered_at'),
    /** Why the last attempt failed, in our words. */
    problem: text('problem'),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.id] }),
    unique('notices_once').on(table.teamId, table.recipientId, table.topic),
    index('notices_due').on(table.nextAttemptAt).where(sql`next_attempt_at is not null`),
    index('notices_topic').on(table.topic),
    index('notices_raised').on(table.raisedAt, table.id),
    isOneOf(table.kind, NOTICE_KINDS),
  ],
);
