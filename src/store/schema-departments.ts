/** What was spent by department. The departments themselves are what admins say (schema-catalog.ts). */
import { index, pgTable, primaryKey, text, uuid } from 'drizzle-orm/pg-core';
import type { DepartmentId, KeyId, TeamId } from '../domain/ids.ts';
import { moment, sums } from './schema-columns.ts';

/**
 * Sums of the calls of teams in a department, by quarter of an hour and the departments at the admission: a team that moves
 * leaves here what it spent before.
 */
export const usageDepartments = pgTable(
  'usage_departments',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    bucketStart: moment('bucket_start').notNull(),
    /** As of the event. */
    departments: uuid('departments').array().$type<DepartmentId[]>().notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    model: text('model').notNull(),
    operation: text('operation').notNull(),
    ...sums(),
  },
  (table) => [
    primaryKey({
      name: 'usage_departments_pk',
      columns: [
        table.teamId,
        table.bucketStart,
        table.departments,
        table.keyId,
        table.model,
        table.operation,
      ],
    }),
    index('usage_departments_bucket').on(table.bucketStart),
  ],
);

/** The same by UTC day, for reports. What an older release added to the quarters meanwhile is missing here: see `usage.ts`. */
export const usageDepartmentDays = pgTable(
  'usage_department_days',
  {
    teamId: uuid('team_id').$type<TeamId>().notNull(),
    day: moment('day').notNull(),
    departments: uuid('departments').array().$type<DepartmentId[]>().notNull(),
    keyId: uuid('key_id').$type<KeyId>().notNull(),
    model: text('model').notNull(),
    operation: text('operation').notNull(),
    ...sums(),
  },
  (table) => [
    primaryKey({
      name: 'usage_department_days_pk',
      columns: [table.teamId, table.day, table.departments, table.keyId, table.model, table.operation],
    }),
    index('usage_department_days_day').on(table.day),
  ],
);
