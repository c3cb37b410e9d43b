/** What an operator runs beside the gateway: migrations, and the journals of instances that will not come back. */
import type { Config } from '../config.ts';
import { type Adopted, adoptJournal, JournalDamaged } from '../ledger/recovery.ts';
import { CannotStart } from './cannot-start.ts';
import { openDatabaseOf } from './open.ts';

/**
 * Brings the database to this version's schema.
 * @throws CannotStart when the database cannot be used
 */
export async function migrate(config: Config): Promise<void> {
  const store = await openDatabaseOf(config, () => {});
  await store.close();
}

/**
 * Adopts one journal; its file stays where it is, because doing it again changes nothing.
 * @throws CannotStart when the file cannot be read, is damaged, or belongs to an instance that may still live
 */
export async function replayJournal(config: Config, file: string): Promise<Adopted> {
  const store = await openDatabaseOf(config, () => {});
  try {
    const result = await adoptJournal(store.ledgerStore, file);
    if (typeof result !== 'string') return result;
    throw new CannotStart(
      result === 'alive'
        ? `${file} belongs to a gateway that is running: stop it first`
        : `${file} belongs to a gateway that Postgres has heard of in the last minute: stop it and wait that long`,
    );
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const readable =
      error instanceof JournalDamaged || code === 'ENOENT' || code === 'EISDIR' || code === 'EACCES';
    throw readable ? new CannotStart(message, { cause: error }) : error;
  } finally {
    await store.close();
  }
}
