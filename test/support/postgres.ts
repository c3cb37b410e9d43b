/** A real, migrated, empty database for a test file, in about 20 ms. */
import { randomUUID } from 'node:crypto';
import { inject } from 'vitest';
import type { SocketConnection } from '../../src/store/connection/address.ts';
import {
  closeClient,
  type Database,
  type DatabaseOptions,
  openClient,
  openDatabase,
} from '../../src/store/database.ts';

export const TEMPLATE = 'tollgate_template';

export interface TestDatabase {
  connection: SocketConnection;
  database: Database;
  /** Closes the pools and removes the database, whoever else is still connected. */
  drop(): Promise<void>;
}

export interface TestDatabaseOptions extends DatabaseOptions {
  /** False: an empty database, without Tollgate's tables. */
  migrated?: boolean;
}

/**
 * Makes a database of its own for the caller. For a clock that stands still pass
 * `settings: {'tollgate.now': '2026-01-31T23:59:00Z'}`.
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const { migrated = true, ...databaseOptions } = options;
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const template = migrated ? TEMPLATE : 'template1';
  await administer((sql) => sql`create database ${sql(name)} template ${sql(template)} strategy wal_log`);
  const connection = { path: inject('postgresSocket'), user: 'postgres', database: name };
  // Tests also read and fill whole ledgers on the client of the hot path.
  const database = openDatabase(connection, { hotDeadlineMs: 60_000, ...databaseOptions });
  return {
    connection,
    database,
    async drop() {
      await database.close();
      await administer((sql) => sql`drop database if exists ${sql(name)} with (force)`);
    },
  };
}

async function administer(use: (sql: ReturnType<typeof openClient>) => PromiseLike<unknown>): Promise<void> {
  const sql = openClient({ path: inject('postgresSocket'), user: 'postgres', database: 'postgres' }, 1);
  try {
    await use(sql);
  } finally {
    await closeClient(sql);
  }
}
