/** What an operator runs beside the gateway: migrations, and the journals of instances that will not come back. */
import type { Config } from '../config.ts';
import { type Adopted, adoptJournal } from '../ledger/recovery.ts';
import { openStore } from '../store/store.ts';

function fail(error: unknown): never {
  throw error;
}

/** Brings the database to this version's schema. */
export async function migrate(config: Config): Promise<void> {
  const store = await openStore({ ...config, onError: fail });
  await store.close();
}

/** Adopts one journal; its file stays where it is, because doing it again changes nothing. */
export async function replayJournal(config: Config, file: string): Promise<Adopted> {
  const store = await openStore({ ...config, onError: fail });
  try {
    return await adoptJournal(store.ledgerStore, file);
  } finally {
    await store.close();
  }
}
