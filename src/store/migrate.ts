/** Migrations: the SQL files of `drizzle/`, applied at every start, by one process at a time. */

import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import { defined } from '../domain/defined.ts';
import type { Sql } from './database.ts';
import { type Connection, closeClient, openClient, sqlState } from './database.ts';

const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url));
/** Any number, the same in every version of Tollgate. */
const MIGRATION_LOCK = 8_655_428_300;

/** Of two seconds each (`lock_timeout` in the migration), with a pause in which the readers that waited get their turn. */
const LOCK_TRIES = 200;
const LOCK_RETRY_MS = 1000;
const LOCK_NOT_AVAILABLE = '55P03';

/**
 * Brings the schema up to this version; concurrent calls wait for each other. Opens sessions of its own.
 * The lock is one of a transaction, held open on a second session while the migrations run: a session's lock would get
 * lost behind a transaction pooler.
 * @throws any error of the connection or of a migration; a failed migration leaves nothing of itself behind
 */
export async function migrateDatabase(connection: Connection): Promise<void> {
  const lockClient = openClient(connection, 1);
  const client = openClient(connection, 1);
  try {
    await lockClient.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
      await migrate(client, readMigrationFiles({ migrationsFolder: MIGRATIONS }));
    });
  } finally {
    await Promise.all([closeClient(client), closeClient(lockClient)]);
  }
}

/**
 * Applies what is missing, each migration in a transaction of its own (Drizzle's migrator has one for all): what one locks
 * is free again before the next looks at many rows. The table of what was applied is Drizzle's.
 */
export async function migrate(sql: Sql, migrations: readonly MigrationMeta[]): Promise<void> {
  const [known] = await sql`select to_regclass('drizzle.__drizzle_migrations') as "table"`;
  if (defined(known, 'the row of the catalog').table === null) {
    await sql`create schema if not exists drizzle`;
    await sql`
      create table if not exists drizzle.__drizzle_migrations (id serial primary key, hash text not null, created_at bigint)`;
  }
  const [last] = await sql<{ at: number | null }[]>`
    select max(created_at)::float8 as at from drizzle.__drizzle_migrations`;
  for (const migration of migrations) {
    if (migration.folderMillis > (last?.at ?? 0)) await apply(sql, migration);
  }
}

/**
 * A migration that has to wait for readers of a large table gives up soon, so that no reader queues behind it, and is
 * tried again for ten minutes.
 */
async function apply(sql: Sql, { sql: statements, hash, folderMillis }: MigrationMeta): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await sql.begin(async (tx) => {
        for (const statement of statements) await tx.unsafe(statement);
        await tx`
          insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${String(folderMillis)}::bigint)`;
      });
      return;
    } catch (error) {
      if (attempt === LOCK_TRIES || sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      await setTimeout(LOCK_RETRY_MS);
    }
  }
}
