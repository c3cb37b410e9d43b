/** What an operator runs beside the gateway: migrations, and the journals of instances that will not come back. */
import type { Config } from '../config.ts';
import { type Adopted, adoptJournal } from '../ledger/recovery.ts';
import { openStore, type Store } from '../store/store.ts';

function open({ databaseUrl, dataDir, pgBin }: Config): Promise<Store> {
  return openStore({ connection: databaseUrl, dataDir, pgBin, onError: () => {} });
}

/** Brings the database to this version's schema. */
export async function migrate(config: Config): Promise<void> {
  const store = await open(config);
  await store.close();
}

/** Adopts one journal; its file stays where it is, because doing it again changes nothing. */
export async function replayJournal(config: Config, file: string): Promise<Adopted> {
  const store = await open(config);
  try {
    return await adoptJournal(store.ledgerStore, file);
  } finally {
    await store.close();
  }
}
