/**
 * The catalog as this instance sees it: keys and rate cards, followed by one version number. Owns: noticing a change,
 * of whatever replica, within a fraction of a second. Invariant: while Postgres is away the last known catalog holds.
 */
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { RateCards } from '../domain/price.ts';
import type { CatalogChange } from '../store/hot/catalog.ts';
import type { KeyCache } from './keys.ts';

export interface CatalogSource {
  changes(sinceVersion: number): Promise<CatalogChange>;
  rateCards(): Promise<RateCards>;
  /** Reads what else changes with the catalog. */
  readOthers(): Promise<void>;
}

export interface CatalogOptions {
  source: CatalogSource;
  keys: KeyCache;
  /** Limits or grants of these teams changed; accounts of the others are read again for any other reason. */
  onChange(teamIds: ReadonlySet<string> | 'all', reread: ReadonlySet<string> | 'all'): void;
  /** Returns teams whose accounts are to be read again, though nothing of theirs has changed. */
  outdated?(): ReadonlySet<string>;
  onError(error: unknown): void;
}

export class Catalog {
  /** The rate cards of the newest version; replaced as a whole when prices change. */
  rates = new RateCards([], []);
  readonly #options: CatalogOptions;
  #version = 0;
  #isOld = false;
  #polling: Promise<void> | null = null;

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  get version(): number {
    return this.#version;
  }

  /** Reads the catalog for the first time. Rejects when that fails. */
  start(): Promise<void> {
    return this.#read();
  }

  /** Looks for changes now, which a job does at least once a second; a call while one is under way waits for that one. */
  poll(): Promise<void> {
    this.#polling ??= this.#read()
      .catch((error) => this.#options.onError(error))
      .finally(() => {
        this.#polling = null;
      });
    return this.#polling;
  }

  /** The store went back: what was read of it may be newer than what it has. Everything is read again. */
  reread(): Promise<void> {
    this.#isOld = true;
    return this.poll();
  }

  async #read(): Promise<void> {
    const { source, keys, onChange, outdated } = this.#options;
    const { version, teamIds, rereadTeamIds } = await source.changes(this.#version);
    // Only now that Postgres replies: while it is away what was read of an account must do.
    const others = outdated?.();
    if (others !== undefined && others.size > 0) keys.invalidate(others);
    const isWhole = this.#isOld || version < this.#version;
    if (version === this.#version && !isWhole) return;
    // Read after the version: newer rows may come along early, older ones never stay behind.
    this.rates = await source.rateCards();
    await source.readOthers();
    const reread = isWhole ? 'all' : idsOf([...teamIds, ...rereadTeamIds]);
    keys.invalidate(reread);
    onChange(isWhole ? 'all' : idsOf(teamIds), reread);
    this.#version = version;
    this.#isOld = false;
  }
}

/** What touches the organization touches every team. */
function idsOf(teamIds: string[]): ReadonlySet<string> | 'all' {
  return teamIds.includes(ORGANIZATION_ID) ? 'all' : new Set(teamIds);
}
