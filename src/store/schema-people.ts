/** Tables of who may use the admin API: people, service tokens, the roles that groups of an identity provider give. */
import { boolean, index, pgTable, text, unique, uuid } from 'drizzle-orm/pg-core';
import type { PersonId, TokenId } from '../domain/ids.ts';
import { json, moment } from './schema-columns.ts';
import { givenRoles } from './stored-json.ts';

/** Named people. The fields are those of a SCIM user (RFC 7643, section 4.1). One that was deleted keeps its row. */
export const people = pgTable(
  'people',
  {
    id: uuid('id').$type<PersonId>().primaryKey(),
    /** As the one who provisions people names them; null: not known. */
    externalId: text('external_id').unique(),
    /** What one signs in as: lower case. */
    userName: text('user_name').notNull().unique(),
    displayName: text('display_name').notNull(),
    email: text('email'),
    /** False: no session and no token of theirs works. */
    active: boolean('active').notNull(),
    /** Those that were given here; groups give others. */
    roles: json('roles', givenRoles).notNull(),
    /** Who they are at the identity provider; null: they never signed in there. */
    issuer: text('issuer'),
    subject: text('subject'),
    /** Groups as of the last time they signed in. */
    groups: text('groups').array().notNull().default([]),
    lastSignInAt: moment('last_sign_in_at'),
    createdAt: moment('created_at').notNull(),
    deletedAt: moment('deleted_at'),
  },
  (table) => [
    unique('people_subject').on(table.issuer, table.subject),
    index('people_created').on(table.createdAt, table.id),
  ],
);

/** Tokens by which programs use the admin API. */
export const tokens = pgTable(
  'tokens',
  {
    id: uuid('id').$type<TokenId>().primaryKey(),
    name: text('name').notNull(),
    /** SHA-256 of the token, hex. */
    hash: text('hash').notNull().unique(),
    /** First characters of the token, to recognise it in lists. */
    prefix: text('prefix').notNull(),
    roles: json('roles', givenRoles).notNull(),
    /** Who made it, and so bounds it; null: the admin key. */
    personId: uuid('person_id')
      .$type<PersonId>()
      .references(() => people.id),
    createdAt: moment('created_at').notNull(),
    expiresAt: moment('expires_at').notNull(),
    revokedAt: moment('revoked_at'),
    /** To the minute. */
    lastUsedAt: moment('last_used_at'),
  },
  (table) => [
    index('tokens_created').on(table.createdAt, table.id),
    index('tokens_person').on(table.personId),
  ],
);

/** What membership in a group of the identity provider is worth. */
export const roleMappings = pgTable('role_mappings', {
  /** The group as the identity provider names it. */
  name: text('name').primaryKey(),
  roles: json('roles', givenRoles).notNull(),
  createdAt: moment('created_at').notNull(),
});
