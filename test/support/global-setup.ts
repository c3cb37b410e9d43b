/** Starts one real PostgreSQL for the whole run and lays a migrated database that tests are copied from. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { closeClient, openClient } from '../../src/store/database.ts';
import { type EmbeddedPostgres, startEmbedded } from '../../src/store/embedded/supervisor.ts';
import { migrateDatabase } from '../../src/store/migrate.ts';
import { TEMPLATE } from './postgres.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The path of the server's socket. */
    postgresSocket: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tollgate-test-'));
  let server: EmbeddedPostgres | null = null;
  const teardown = async () => {
    await server?.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    server = await startEmbedded({ dataDir });
    const sql = openClient(server.connection, 1);
    await sql`create database ${sql(TEMPLATE)}`;
    await closeClient(sql);
    await migrateDatabase({ ...server.connection, database: TEMPLATE });
  } catch (error) {
    await teardown();
    throw error;
  }
  project.provide('postgresSocket', server.connection.path);
  return teardown;
}
