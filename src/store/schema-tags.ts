/** Tables of tags: which there may be, and what calls with them used. The sums grow with the values in use. */
import { boolean, index, integer, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { TeamId } from '../domain/ids.ts';
import { ON_UNKNOWN_TAG, TAG_SOURCES } from '../domain/tags.ts';
import { isOneOf, moment, sums } from './schema-columns.ts';

/** Which tags calls may have, by name; `*` says what becomes of all other names. */
export const tags = pgTable(
  'tags',
  {
    name: text('name').primaryKey(),
    values: text('values').array(),
    pattern: text('pattern'),
    sources: text('sources', { enum: TAG_SOURCES }).array().notNull(),
    required: boolean('required').notNull(),
    onUnknown: text('on_unknown', { enum: ON_UNKNOWN_TAG }).notNull(),
    maxValues: integer('max_values').notNull(),
    idleDays: integer('idle_days').notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [isOneOf(table.onUnknown, ON_UNKNOWN_TAG)],
);

/** Of calls with a tag, by each of their tags: sums by quarter of an hour, for counters and the ends of reports. */
export const usageTags = pgTable(
  'usage_tags',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    name: text('name').notNull(),
    value: text('value').notNull(),
    bucketStart: moment('bucket_start').notNull(),
    model: text('model').notNull(),
    ...sums(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.name, table.value, table.bucketStart, table.model] }),
    // Reports read all values of a name in a few quarters.
    index('usage_tags_name').on(table.teamId, table.name, table.bucketStart),
  ],
);

/** The same by UTC day. */
export const usageTagDays = pgTable(
  'usage_tag_days',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    name: text('name').notNull(),
    day: moment('day').notNull(),
    value: text('value').notNull(),
    model: text('model').notNull(),
    ...sums(),
  },
  (table) => [
    primaryKey({ columns: [table.teamId, table.name, table.day, table.value, table.model] }),
    // When a value was last used.
    index('usage_tag_days_value').on(table.teamId, table.name, table.value, table.day),
  ],
);

/** The same of all models together, for reports by value: a tenth of the rows. */
export const usageValueDays = pgTable(
  'usage_value_days',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    name: text('name').notNull(),
    day: moment('day').notNull(),
    value: text('value').notNull(),
    ...sums(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.name, table.day, table.value] })],
);

/** Values of tags that a team's clients have made and that no list names: so many may be open. */
export const tagValues = pgTable(
  'tag_values',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    name: text('name').notNull(),
    value: text('value').notNull(),
    openedAt: moment('opened_at').notNull(),
    /** When it was last asked for, to within an hour. */
    seenAt: moment('seen_at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.teamId, table.name, table.value] })],
);
