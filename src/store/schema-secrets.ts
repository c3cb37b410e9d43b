/** Secrets of upstreams, encrypted. */
import { pgTable, text } from 'drizzle-orm/pg-core';
import { moment } from './schema-columns.ts';

export const secrets = pgTable('secrets', {
  name: text('name').primaryKey(),
  /** In base64; what it is made of stands in auth/seal.ts. */
  sealed: text('sealed').notNull(),
  /** Of the master key that encrypted it. */
  keyId: text('key_id').notNull(),
  createdAt: moment('created_at').notNull(),
  changedAt: moment('changed_at').notNull(),
});
