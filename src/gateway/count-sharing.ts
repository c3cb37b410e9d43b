/**
 * What was counted here is known to the other workers in a moment, and to other replicas through Postgres. Owns: when either
 * happens. Invariants: a lost count only makes a bound looser; no call waits for another replica's counts for long.
 */
import type { InputCount } from '../domain/input-count.ts';

/** Where replicas find each other's counts. */
export interface CountStore {
  add(counts: readonly InputCount[]): Promise<void>;
  /** Returns what is known of a team's inputs with these fingerprints. */
  find(teamId: string, model: string, fingerprints: readonly string[]): Promise<InputCount[]>;
}

export interface CountSharingOptions {
  store: CountStore;
  /** Tells the other workers of this gateway; null: it has none. */
  tellWorkers: ((counts: readonly InputCount[]) => void) | null;
  /** Whether instances run that are no workers of this gateway. */
  hasReplicas(): boolean;
  onError(error: unknown): void;
}

/** The next turn of an agent follows seconds later. */
const TELL_EVERY_MS = 100;
/** More would be of one moment that is over. */
const PENDING_MAX = 2_000;
const FIND_WITHIN_MS = 500;

export class CountSharing {
  readonly #options: CountSharingOptions;
  #pending: InputCount[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(options: CountSharingOptions) {
    this.#options = options;
  }

  get hasReplicas(): boolean {
    return this.#options.hasReplicas();
  }

  add(count: InputCount): void {
    if (this.#options.tellWorkers === null && !this.hasReplicas) return;
    if (this.#pending.length >= PENDING_MAX) return;
    this.#pending.push(count);
    this.#timer ??= setTimeout(() => void this.tell(), TELL_EVERY_MS).unref();
  }

  /** Tells now what the others do not know yet. Never rejects. */
  async tell(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const counts = this.#pending;
    this.#pending = [];
    if (counts.length === 0) return;
    this.#options.tellWorkers?.(counts);
    if (this.hasReplicas) await this.#options.store.add(counts).catch(this.#options.onError);
  }

  /** Returns what other replicas counted; nothing where Postgres does not say so in time. Never rejects. */
  async find(teamId: string, model: string, fingerprints: readonly string[]): Promise<InputCount[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<InputCount[]>((resolve) => {
      timer = setTimeout(() => resolve([]), FIND_WITHIN_MS);
    });
    const found = this.#options.store.find(teamId, model, fingerprints).catch((error: unknown) => {
      this.#options.onError(error);
      return [];
    });
    const counts = await Promise.race([found, late]);
    clearTimeout(timer);
    return counts;
  }
}
