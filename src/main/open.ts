/** Opens what a start needs of the world around it; where that fails, says in one line what to check. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { publicName } from '../store/connection/address.ts';
import type { Connection } from '../store/database.ts';
import { EmbeddedPostgresError } from '../store/embedded/account.ts';
import type { Store } from '../store/store.ts';

/** Why Tollgate cannot start here, and what to check. Its message is one line, meant for people, without secrets. */
export class CannotStart extends Error {
  override name = 'CannotStart';
}

/** Runs a step of the start; when it fails, `explain` turns the system's words into ours. */
export async function orCannotStart<T>(
  work: () => T | Promise<T>,
  explain: (why: string, error: unknown) => string,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CannotStart(explain(wordsOf(error), error), { cause: error });
  }
}

/** What the first cause of an error says: wrappers only repeat the query or the call that failed. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return wordsOf(error.cause);
  // Of a name with several addresses each has failed, and the error around them says nothing.
  if (error instanceof AggregateError) return error.errors.map(wordsOf).join(', ');
  return error.message;
}

/** Where journals are, and those that are not needed any more. */
export interface JournalFolders {
  journals: string;
  /** Null: they are not kept. */
  kept: string | null;
  keepMs: number;
}

/**
 * Makes the folders of the journals; returns their paths.
 * @throws CannotStart when the data folder cannot be written
 */
export function openJournals({ dataDir, journalKeepHours }: Config): Promise<JournalFolders> {
  const journals = join(dataDir, 'journal');
  const kept = journalKeepHours === 0 ? null : join(dataDir, 'journal-kept');
  return inDataFolder(dataDir, () => {
    for (const folder of [journals, kept]) {
      if (folder !== null) mkdirSync(folder, { recursive: true, mode: 0o700 });
    }
    return { journals, kept, keepMs: journalKeepHours * 3_600_000 };
  });
}

/** Runs what writes to the data folder. */
export function inDataFolder<T>(dataDir: string, work: () => T | Promise<T>): Promise<T> {
  return orCannotStart(
    work,
    (why) => `cannot use the data folder ${dataDir}: ${why} (see TOLLGATE_DATA_DIR)`,
  );
}

export interface DatabaseOfOptions {
  onError?: (error: unknown) => void;
  /** Instead of the configuration's. */
  connection?: Connection | null;
  /** Connections at most. */
  connectionsMax?: number | undefined;
}

/**
 * Opens the database of the configuration, or the given one.
 * @throws CannotStart naming the server (never its password) and what to check
 */
export async function openDatabaseOf(config: Config, options: DatabaseOfOptions = {}): Promise<Store> {
  const { databaseUrl, readDatabaseUrl, dataDir, pgBin, pgConnections, grantsWait } = config;
  const connection = options.connection ?? databaseUrl;
  const connectionsMax = options.connectionsMax ?? pgConnections ?? undefined;
  // Loaded when it is needed: a supervisor opens no database.
  const { openStore } = await import('../store/store.ts');
  const open = () =>
    openStore({
      connection,
      readConnection: readDatabaseUrl,
      dataDir,
      pgBin,
      connectionsMax,
      grantsWait,
      onError: options.onError ?? (() => {}),
    });
  if (typeof connection === 'string') {
    return orCannotStart(open, (why, error) => {
      const name = (error as Error).name;
      if (name === 'InvalidDatabaseUrl') return `DATABASE_URL cannot be read: ${why}`;
      const what = `cannot use the database ${publicName(connection)}: ${why}`;
      return name === 'UnsuitableDatabase'
        ? what
        : `${what}. Check DATABASE_URL (host, port, user, password, database) and that the server runs and may be ` +
            'reached from here';
    });
  }
  return embeddedOrCannotStart(open);
}

/**
 * Brings the database of the configuration to this release's schema, and gives the role that serves its rights.
 * @throws CannotStart naming what to check
 */
export async function migrateDatabaseOf(config: Config): Promise<void> {
  const store = await openDatabaseOf(config);
  const { runtimeRole } = config;
  try {
    if (runtimeRole === null) return;
    const { grantRuntime } = await import('../store/runtime-role.ts');
    await orCannotStart(
      () => grantRuntime(store.database.sql, runtimeRole),
      (why) => `cannot give the role of TOLLGATE_RUNTIME_ROLE its rights: ${why}`,
    );
  } finally {
    await store.close();
  }
}

/** Runs what starts the embedded database. */
export async function embeddedOrCannotStart<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw new CannotStart(error.message, { cause: error });
    throw error;
  }
}

/**
 * Spreads the database of the configuration over its Citus cluster.
 * @throws CannotStart naming what is missing
 */
export async function distributeDatabaseOf({ databaseUrl }: Config): Promise<void> {
  if (databaseUrl === null) throw new CannotStart('set DATABASE_URL to the coordinator of a Citus cluster');
  const { CannotDistribute, distribute } = await import('../store/distribute.ts');
  try {
    await distribute(databaseUrl);
  } catch (error) {
    throw error instanceof CannotDistribute ? new CannotStart(error.message, { cause: error }) : error;
  }
}
