/** Journals of dead instances: adopted at the start and while their writers may still live, or replayed by an operator. */
import { constants, existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Config } from '../config.ts';
import { type Job, startJob } from '../jobs/every.ts';
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
/** A database goes back once; more often in one start something else is wrong. */
const BREAKS_MAX = 3;

export interface JournalStore extends RecoveryStore {
  /** Begins an epoch where the database lies on another server than it did. Returns the id of the ledger. */
  openHistory(): Promise<string>;
  /** Begins an epoch, unless one has begun in which nothing is lent yet. */
  beginEpoch(reason: string): Promise<void>;
}

/**
 * Adopts what can be adopted now. Journals of instances that may still live on another machine or in another container
 * are looked at again until they are adopted.
 * @throws CannotStart when a journal is damaged; any error of the database
 */
export async function adoptJournals(
  store: JournalStore,
  folders: JournalFolders,
  log: Log,
): Promise<Adoption> {
  const adoption = new Adoption(store, folders, log, await store.openHistory());
  await adoption.start();
  return adoption;
}

/** The journals that lie in the data folder, and what is done about them while this process runs. */
export class Adoption {
  /** The id of the ledger that journals here belong to. */
  readonly ledger: string;
  readonly #store: JournalStore;
  readonly #folders: JournalFolders;
  readonly #logger: Log['logger'];
  /** What was adopted before this instance was registered; null: that is over. */
  #ended: Set<string> | null = new Set();
  readonly #jobs: Job[] = [];
  /** Journals that cannot be adopted yet. */
  #left = 0;
  #looking: Promise<void> | null = null;

  constructor(store: JournalStore, folders: JournalFolders, { logger }: Log, ledger: string) {
    this.#store = store;
    this.#folders = folders;
    this.#logger = logger;
    this.ledger = ledger;
  }

  async start(): Promise<void> {
    this.#tidy();
    await this.#breakWhereForgotten();
    await this.#adoptAtStart();
    const onError = (error: unknown) =>
      this.#logger.error({ err: error }, 'old journals could not be removed');
    this.#jobs.push(startJob({ intervalMs: TIDY_MS, run: () => this.#tidy(), onError }));
    if (this.#left === 0) return;
    this.#logger.warn(
      { journals: this.#left },
      'journals of another machine or container are adopted once it is surely gone',
    );
    const looks = startJob({
      intervalMs: LOOK_AGAIN_MS,
      run: async () => {
        await this.again();
        if (this.#left === 0) void looks.stop();
      },
    });
    this.#jobs.push(looks);
  }

  /**
   * Looks whether the database has forgotten what was adopted here, and adopts it again. To be called once this instance is
   * registered: what the database forgets after that its heartbeats notice, and what it forgot before nothing else does.
   */
  async confirm(): Promise<void> {
    if (await this.#breakWhereForgotten()) await this.#adoptAtStart();
    this.#ended = null;
  }

  /** Adopts what there is, also what the database has forgotten of instances that ended here. */
  async putBack(): Promise<void> {
    const { kept, journals } = this.#folders;
    const forgotten = kept === null ? [] : await adoptKept(this.#store, kept, this.ledger);
    for (const { path, inserted } of forgotten) {
      this.#logger.warn({ journal: path, inserted }, 'put back an instance that the database had forgotten');
    }
    const { adopted, elsewhere } = await adoptDeadJournals(this.#store, journals, kept);
    for (const { path, instance, inserted, unknown } of adopted) {
      if (instance !== null) this.#ended?.add(instance);
      this.#logger.warn({ journal: path, inserted, unknown }, 'adopted the journal of an instance that died');
    }
    this.#left = elsewhere;
  }

  /** Looks once more, now. Never rejects: what fails is logged. One at a time: an adoption may take long. */
  again(): Promise<void> {
    this.#looking ??= this.putBack()
      .catch((error: unknown) => this.#logger.error({ err: error }, 'a journal could not be adopted'))
      .finally(() => {
        this.#looking = null;
      });
    return this.#looking;
  }

  stop(): void {
    for (const job of this.#jobs) void job.stop();
  }

  #tidy(): void {
    const { kept, keepMs } = this.#folders;
    if (kept !== null) forgetKept(kept, keepMs, Date.now());
  }

  /** Returns whether the database has forgotten the end of an instance; then nothing is lent before it has ended again. */
  async #breakWhereForgotten(): Promise<boolean> {
    const { kept } = this.#folders;
    const inFiles = kept === null ? 0 : (await forgottenIn(this.#store, kept, this.ledger)).length;
    // Where journals are not kept their events are lost; that they are, must not be.
    const known = await this.#store.notEnded([...(this.#ended ?? [])]);
    if (inFiles + known.size === 0) return false;
    await this.#store.beginEpoch('instances that ended are live in the database');
    return true;
  }

  async #adoptAtStart(): Promise<void> {
    for (let breaks = 0; ; breaks++) {
      try {
        return await this.putBack();
      } catch (error) {
        if (error instanceof JournalDamaged) throw new CannotStart(error.message, { cause: error });
        if ((error as Error).name !== 'StoreWentBack' || breaks === BREAKS_MAX) throw error;
        this.#logger.warn({ err: error }, 'the database went back while journals were adopted: once more');
        await this.#store.openHistory();
      }
    }
  }
}

/**
 * Adopts one journal; its file stays where it is, because doing it again changes nothing.
 * @throws CannotStart when the file cannot be read, is damaged, or belongs to an instance that may still live
 */
export async function replayJournal(config: Config, file: string): Promise<Adopted> {
  // Before the database is opened, which makes one where there is none.
  await access(file, constants.R_OK).catch((error: Error) => {
    throw new CannotStart(`cannot read ${file}: ${error.message}`, { cause: error });
  });
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
    const what = code === undefined ? message : `cannot read ${file}: ${message}`;
    throw readable ? new CannotStart(what, { cause: error }) : error;
  } finally {
    await store.close();
  }
}
