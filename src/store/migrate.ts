/** Migrations: the SQL files of `drizzle/`, applied at every start, by one process at a time. */

import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import { defined } from '../domain/defined.ts';
import { UnsuitableDatabase } from './check-server.ts';
import {
  type Connection,
  closeClient,
  openClient,
  type Sql,
  sqlState,
  type TransactionSql,
} from './database.ts';

const MIGRATIONS = fileURLToPath(new URL('../../drizzle', import.meta.url));
/** Any number, the same in every version of Tollgate. */
const MIGRATION_LOCK = 8_655_428_300;

/** Of two seconds each (`lock_timeout` in the migration), with a pause in which the readers that waited get their turn. */
const LOCK_TRIES = 200;
const LOCK_RETRY_MS = 1000;
const LOCK_NOT_AVAILABLE = '55P03';
const INSUFFICIENT_PRIVILEGE = '42501';

/** How long a statement of a migration may take, the wait for another process that migrates included. */
const STATEMENT_MS = 60 * 60_000;

/**
 * Brings the schema up to this version; concurrent calls wait for each other. Where nothing is missing it only reads, so a
 * role that may not change the schema can start what another role has migrated. Opens a session of its own.
 * @throws UnsuitableDatabase when the role may not; any error of the connection or of a migration; a failed migration leaves nothing of itself behind
 */
export async function migrateDatabase(connection: Connection): Promise<void> {
  const client = openClient(connection, 1);
  try {
    await migrate(client, readMigrationFiles({ migrationsFolder: MIGRATIONS }));
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new UnsuitableDatabase(
      `its tables are not of this release, and this role may not change them (${(error as Error).message}): run ` +
        '`tollgate migrate` with the URL of the role that owns them',
    );
  } finally {
    await closeClient(client);
  }
}

/**
 * Where the table of what was applied is. It is Drizzle's, in its schema; an installation in a schema of its own has it
 * there, so that several can share a database.
 */
export async function migrationsTable(
  sql: Sql | TransactionSql,
): Promise<{ schema: string; exists: boolean }> {
  const [row] = await sql<{ schema: string; exists: boolean }[]>`
    select schema, exists (select 1 from pg_tables where schemaname = schema and tablename = ${MIGRATIONS_TABLE}) as exists
    from (select case current_schema()::text when 'public' then 'drizzle' else current_schema()::text end as schema) s`;
  return defined(row, 'the row of the catalog');
}

export const MIGRATIONS_TABLE = '__drizzle_migrations';

async function lastApplied(
  sql: Sql | TransactionSql,
  { schema, exists }: { schema: string; exists: boolean },
) {
  if (!exists) return 0;
  const [last] = await sql<{ at: number | null }[]>`
    select max(created_at)::float8 as at from ${sql(schema)}.${sql(MIGRATIONS_TABLE)}`;
  return last?.at ?? 0;
}

/**
 * Applies what is missing, each migration in a transaction of its own (Drizzle's migrator has one for all): what one locks
 * is free again before the next looks at many rows. Each takes the lock of migrations in that transaction, where no pooler
 * can lose it, and then looks again whether it is still missing.
 */
export async function migrate(sql: Sql, migrations: readonly MigrationMeta[]): Promise<void> {
  const last = await lastApplied(sql, await migrationsTable(sql));
  for (const migration of migrations) {
    if (migration.folderMillis > last) await apply(sql, migration);
  }
}

/**
 * A migration that has to wait for readers of a large table gives up soon, so that no reader queues behind it, and is
 * tried again for ten minutes.
 */
async function apply(sql: Sql, { sql: statements, hash, folderMillis }: MigrationMeta): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await sql.begin({ deadlineMs: STATEMENT_MS }, async (tx) => {
        await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
        const table = await migrationsTable(tx);
        if ((await lastApplied(tx, table)) >= folderMillis) return;
        if (!table.exists) await createTable(tx, table.schema);
        for (const statement of statements) await tx.unsafe(statement);
        await tx`
          insert into ${tx(table.schema)}.${tx(MIGRATIONS_TABLE)} (hash, created_at) values (${hash}, ${String(folderMillis)}::bigint)`;
      });
      return;
    } catch (error) {
      if (attempt === LOCK_TRIES || sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      await setTimeout(LOCK_RETRY_MS);
    }
  }
}

async function createTable(tx: TransactionSql, schema: string): Promise<void> {
  if (schema === 'drizzle') await tx`create schema if not exists drizzle`;
  await tx`create table ${tx(schema)}.${tx(MIGRATIONS_TABLE)} (id serial primary key, hash text not null, created_at bigint)`;
}
