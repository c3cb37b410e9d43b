/** Journals of dead instances: adopted at the start and while their writers may still live, or replayed by an operator. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config.ts';
import { startJob } from '../jobs/every.ts';
import { forgetKept } from '../ledger/read-journal.ts';
import {
  type Adopted,
  adoptDeadJournals,
  adoptJournal,
  adoptKept,
  forgottenIn,
  JournalDamaged,
  type RecoveryStore,
} from '../ledger/recovery.ts';
import type { Log } from '../telemetry/log.ts';
import { CannotStart, type JournalFolders, openDatabaseOf } from './open.ts';

const LOOK_AGAIN_MS = 5000;
const TIDY_MS = 3_600_000;

export interface JournalStore extends RecoveryStore {
  /** Begins an epoch where the database lies on another server than it did. Returns the id of the ledger. */
  openHistory(): Promise<string>;
  /** Begins an epoch, unless one has begun in which nothing is lent yet. */
  beginEpoch(reason: string): Promise<void>;
}

export interface Adoption {
  /** The id of the ledger that journals here belong to. */
  ledger: string;
  /** Adopts what there is, also what the database has forgotten of instances that ended here. */
  putBack(): Promise<void>;
  /** Looks once more, now. Never rejects: what fails is logged. */
  again(): Promise<void>;
  stop(): void;
}

/**
 * Adopts what can be adopted now. Journals of instances that may still live on another machine or in another container
 * are looked at again until they are adopted.
 * @throws CannotStart when a journal is damaged; any error of the database
 */
export async function adoptJournals(
  store: JournalStore,
  { journals, kept, keepMs }: JournalFolders,
  log: Log,
): Promise<Adoption> {
  const { logger } = log;
  const ledger = await store.openHistory();
  const tidy = () => {
    if (kept !== null) forgetKept(kept, keepMs, Date.now());
  };
  tidy();
  if (kept !== null && (await forgottenIn(store, kept, ledger)).length > 0) {
    await store.beginEpoch('instances that ended are live in the database');
  }
  const adopt = async () => {
    const forgotten = kept === null ? [] : await adoptKept(store, kept, ledger);
    for (const { path, inserted } of forgotten) {
      logger.warn({ journal: path, inserted }, 'put back an instance that the database had forgotten');
    }
    const { adopted, elsewhere } = await adoptDeadJournals(store, journals, kept);
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
  const putBack = async () => {
    left = await adopt();
  };
  const onError = (error: unknown) => logger.error({ err: error }, 'old journals could not be removed');
  const tidying = startJob({ intervalMs: TIDY_MS, run: tidy, onError });
  if (left === 0) return { ledger, again, putBack, stop: () => void tidying.stop() };
  logger.warn(
    { journals: left },
    'journals of another machine or container are adopted once it is surely gone',
  );
  const looks = startJob({
    intervalMs: LOOK_AGAIN_MS,
    run: async () => {
      await again();
      if (left === 0) void looks.stop();
    },
  });
  const stop = () => {
    void looks.stop();
    void tidying.stop();
  };
  return { ledger, again, putBack, stop };
}

/**
 * Adopts one journal; its file stays where it is, because doing it again changes nothing.
 * @throws CannotStart when the file cannot be read, is damaged, or belongs to an instance that may still live
 */
export async function replayJournal(config: Config, file: string): Promise<Adopted> {
  const store = await openDatabaseOf(config);
  try {
    const kept = join(dirname(dirname(file)), 'journal-kept');
    const result = await adoptJournal(store.ledgerStore, file, existsSync(kept) ? kept : dirname(file));
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
