/** The job `warn`: raises the thresholds that budgets have reached. One replica at a time looks. */
import type { CounterSpec } from '../domain/counter.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { ensureSoftCounters } from '../store/soft-counters.ts';
import { type RaisedWarning, type RaiseOptions, raiseDenied, raiseWarnings } from '../store/warnings.ts';

/** Any number, the same in every version of Tollgate. */
const WARN_LOCK = 8_655_428_303;

/** Looks once; returns what is new, null when another replica is at it. */
export function warn(database: Database, options: RaiseOptions): Promise<RaisedWarning[] | null> {
  const look = async (now: Date) => {
    await ensureSoftCounters(database, now);
    return raiseWarnings(database, now, options);
  };
  return runAlone(database, WARN_LOCK, look);
}

/** Counters remembered until the next look; one that is not will refuse again. */
const REFUSING_MAX = 1_000;

/** What an instance remembers of its own refusals between two looks: adding to it costs a refusal next to nothing. */
export class SpentBudgets {
  #counters = new Map<string, CounterSpec>();

  add(counter: CounterSpec): void {
    if (this.#counters.size < REFUSING_MAX) this.#counters.set(`${counter.teamId}/${counter.id}`, counter);
  }

  get size(): number {
    return this.#counters.size;
  }

  /** Raises what they mean. When that fails they are forgotten: the next refusals say it again. */
  async raise(database: Database, options: RaiseOptions): Promise<RaisedWarning[]> {
    const counters = [...this.#counters.values()];
    this.#counters = new Map();
    return raiseDenied(database, counters, options);
  }
}
