/** Migrations: the SQL files of `drizzle/`, applied at every start, by one process at a time. */
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { drizzle } from 'drizzle-orm/postgres-js';
import { migrate } from 'drizzle-orm/postgres-js/migrator';
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
 * The lock is one of a transaction, held open on a second session while drizzle works: a session's lock would get
 * lost behind a transaction pooler, and drizzle itself takes none (of four first starts at once, two crash).
 * A migration that has to wait for readers of a large table gives up soon, so that no reader queues behind it, and is tried
 * again for ten minutes.
 * @throws any error of the connection or of a migration; a failed migration leaves nothing behind
 */
export async function migrateDatabase(connection: Connection): Promise<void> {
  const lockClient = openClient(connection, 1);
  const client = openClient(connection, 1);
  try {
    await lockClient.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${MIGRATION_LOCK}::bigint)`;
      for (let attempt = 1; ; attempt++) {
        try {
          await migrate(drizzle(client), { migrationsFolder: MIGRATIONS });
          return;
        } catch (error) {
          if (attempt === LOCK_TRIES || sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
          await setTimeout(LOCK_RETRY_MS);
        }
      }
    });
  } finally {
    await Promise.all([closeClient(client), closeClient(lockClient)]);
  }
}
