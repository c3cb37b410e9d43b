/** Journals of dead instances: adopted at the start and while their writers may still live, or replayed by an operator. */
import type { Config } from '../config.ts';
import {
  type Adopted,
  adoptDeadJournals,
  adoptJournal,
  JournalDamaged,
  type RecoveryStore,
} from '../ledger/recovery.ts';
import type { Log } from '../telemetry/log.ts';
import { CannotStart, openDatabaseOf } from './open.ts';

const LOOK_AGAIN_MS = 5000;

export interface Adoption {
  /** Looks once more, now. Never rejects: what fails is logged. */
  again(): Promise<void>;
  stop(): void;
}

/**
 * Adopts what can be adopted now. Journals of instances that may still live on another machine or in another container
 * are looked at again until they are adopted.
 * @throws CannotStart when a journal is damaged; any error of the database
 */
export async function adoptJournals(store: RecoveryStore, folder: string, log: Log): Promise<Adoption> {
  const { logger } = log;
  const adopt = async () => {
    const { adopted, elsewhere } = await adoptDeadJournals(store, folder);
    for (const { path, inserted, unknown } of adopted) {
      logger.warn({ journal: path, inserted, unknown }, 'adopted the journal of an instance that died');
    }
    return elsewhere;
  };
  let left: number;
  try {
    left = await adopt();
  } catch (error) {
    if (error instanceof JournalDamaged) throw new CannotStart(error.message, { cause: error });
    throw error;
  }
  const look = async () => {
    try {
      left = await adopt();
    } catch (error) {
      logger.error({ err: error }, 'a journal could not be adopted');
    }
  };
  let looking: Promise<void> | null = null;
  // One at a time: an adoption that takes long must not be begun again meanwhile.
  const again = () => {
    looking ??= look().finally(() => {
      looking = null;
    });
    return looking;
  };
  if (left === 0) return { again, stop: () => {} };
  logger.warn(
    { journals: left },
    'journals of another machine or container are adopted once it is surely gone',
  );
  const timer = setInterval(async () => {
    await again();
    if (left === 0) clearInterval(timer);
  }, LOOK_AGAIN_MS);
  timer.unref();
  return { again, stop: () => clearInterval(timer) };
}

/**
 * Adopts one journal; its file stays where it is, because doing it again changes nothing.
 * @throws CannotStart when the file cannot be read, is damaged, or belongs to an instance that may still live
 */
export async function replayJournal(config: Config, file: string): Promise<Adopted> {
  const store = await openDatabaseOf(config);
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
