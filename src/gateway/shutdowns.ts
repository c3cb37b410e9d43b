/**
 * Models that the upstream will stop to serve, as its list of models says. Owns: the dates that are known here. Does not own:
 * their rows, which all replicas share (store/shutdowns.ts). Only warns: whether a model serves is the upstream's word.
 */
import { SHUTDOWNS_MAX, type Shutdown } from '../domain/shutdown.ts';

/** So long before its end calls of a model are warned. */
const WARNED_MS = 90 * 24 * 3_600_000;

export interface ShutdownOptions {
  /** Keeps new dates for every replica and the next start. */
  write(shutdowns: readonly Shutdown[]): Promise<void>;
  onError(error: unknown): void;
}

export class Shutdowns {
  readonly #options: ShutdownOptions;
  /** No model has an end: a field, since every call looks at it. */
  isEmpty = true;
  /** Days (YYYY-MM-DD) by model. */
  #days = new Map<string, string>();
  /** The same as the store has them. */
  #stored: ReadonlyMap<string, string> = new Map();
  /** Is being written: what the store had before does not know it. */
  #unwritten: readonly Shutdown[] = [];

  constructor(options: ShutdownOptions) {
    this.#options = options;
  }

  /** What the store has, which every instance wrote. */
  known(shutdowns: readonly Shutdown[]): void {
    this.#stored = new Map(shutdowns.flatMap(({ model, day }) => (day === null ? [] : [[model, day]])));
    this.#days = new Map(this.#stored);
    this.#take(this.#unwritten);
  }

  /** Notes what a list of the upstream says. What could not be written is written with the next list. */
  note(shutdowns: readonly Shutdown[]): void {
    const changed = shutdowns.filter(({ model, day }) => (this.#stored.get(model) ?? null) !== day);
    if (changed.length === 0 || this.#stored.size + changed.length > SHUTDOWNS_MAX) return;
    this.#take(changed);
    if (this.#unwritten.length > 0) return;
    this.#unwritten = changed;
    this.#options
      .write(changed)
      .catch((error: unknown) => this.#options.onError(error))
      .finally(() => {
        this.#unwritten = [];
      });
  }

  #take(shutdowns: readonly Shutdown[]): void {
    for (const { model, day } of shutdowns) {
      if (day === null) this.#days.delete(model);
      else this.#days.set(model, day);
    }
    this.isEmpty = this.#days.size === 0;
  }

  /** Returns the value of `x-tollgate-warning` on a call of the model; null: its end is far, or not set. */
  headerOf(model: string, nowMs: number): string | null {
    const day = this.#days.get(model);
    if (day === undefined || Date.parse(day) - nowMs > WARNED_MS) return null;
    return `${model}; shutdown_date=${day}`;
  }
}
