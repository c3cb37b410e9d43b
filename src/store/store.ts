/**
 * The store: Postgres, from the first connection to a schema that is ready. Owns: choosing the embedded server or
 * `DATABASE_URL`, migrations, partitions, the seed and the built-in plans at start. Does not own: what is asked of it,
 * and what is done now and then (jobs/upkeep.ts).
 */
import { defined } from '../domain/defined.ts';
import type { Seen } from '../domain/history.ts';
import type { Price } from '../domain/price.ts';
import { checkServer } from './check-server.ts';
import { CONNECTIONS_USUAL, type Connection, type Database, openDatabase, poolSizes } from './database.ts';
import { startEmbedded } from './embedded/supervisor.ts';
import { warmKeys } from './hot/catalog.ts';
import { registerInstance } from './hot/instances.ts';
import { warmLeases } from './hot/leases.ts';
import { PostgresLedgerStore } from './hot/ledger-store.ts';
import { migrateDatabase } from './migrate.ts';
import { ensurePartitions } from './partitions.ts';
import { ensureBuiltInPlans } from './plans.ts';
import { readRateBook } from './rate-cards.ts';
import { loadSeed } from './seed-load.ts';

export interface StoreOptions {
  /** `DATABASE_URL`, or how else a server is reached; null: the embedded one in the data folder. */
  connection: Connection | null;
  /** `TOLLGATE_READ_DATABASE_URL`; null: pages read where calls write. */
  readConnection?: Connection | null;
  dataDir: string;
  /** Where the embedded server's programs are; null: look for them. */
  pgBin: string | null;
  /** Connections at most; default: the usual number. */
  connectionsMax?: number | undefined;
  /** Nothing is lent unless a synchronous standby has it before the instance does. */
  grantsWait?: boolean;
  /** Called when an embedded server died; it is started again. */
  onError: (error: unknown) => void;
}

export interface Store {
  database: Database;
  ledgerStore: PostgresLedgerStore;
  rateCards(): ReturnType<typeof readRateBook>;
  registerInstance(instanceId: string): Promise<Seen>;
  /** Opens connections and runs what a call reads before it is admitted, so that the first one need not wait for it. */
  warm(instanceId: string): Promise<void>;
  close(): Promise<void>;
}

/** Opens the store and makes it ready. Safe when several replicas start at once. Rejects with what to do about it. */
export async function openStore({
  connection: given,
  readConnection = null,
  dataDir,
  pgBin,
  connectionsMax,
  grantsWait = false,
  onError,
}: StoreOptions): Promise<Store> {
  const embedded =
    given === null ? await startEmbedded({ dataDir, pgBin: pgBin ?? undefined, onCrash: onError }) : null;
  const connection: Connection = given ?? defined(embedded, 'the embedded server').connection;
  let database: Database | null = null;
  const close = async () => {
    await database?.close();
    await embedded?.stop();
  };
  try {
    const sizes = poolSizes(connectionsMax ?? CONNECTIONS_USUAL);
    database = openDatabase(connection, { ...sizes, readConnection: readConnection ?? connection });
    await checkServer(database.sql);
    await migrateDatabase(connection);
    await ensurePartitions(database.sql, Date.now());
    await loadSeed(database);
    await ensureBuiltInPlans(database);
  } catch (error) {
    await close();
    throw error;
  }
  const { sql } = database;
  const compiledPrices = new Map<string, Price>();
  return {
    database,
    ledgerStore: new PostgresLedgerStore(sql, grantsWait),
    rateCards: () => readRateBook(sql, compiledPrices),
    registerInstance: (instanceId) => registerInstance(sql, instanceId),
    warm: async (instanceId) => {
      await Promise.all([warmKeys(sql), warmLeases(sql, instanceId)]);
    },
    close,
  };
}
