/** The job `warn`: raises the thresholds that budgets have reached. It runs on one replica at a time. */
import type { CounterSpec } from '../domain/counter.ts';
import { runAlone } from '../store/changes.ts';
import type { Database } from '../store/database.ts';
import { ensureSoftCounters } from '../store/soft-counters.ts';
import { type RaisedWarning, type RaiseOptions, raiseDenied, raiseWarnings } from '../store/warnings.ts';

/** Any number, the same in every version of Tollgate. */
const WARN_LOCK = 8_655_428_303;

/** Returns the new warnings; null while another replica runs the job. */
export function warn(database: Database, options: RaiseOptions): Promise<RaisedWarning[] | null> {
  const look = async (now: Date) => {
    await ensureSoftCounters(database, now);
    return raiseWarnings(database, now, options);
  };
  return runAlone(database, WARN_LOCK, look);
}

/** The most counters kept until the next run; one beyond it is added by its next denial. */
const DENYING_MAX = 1_000;

/** The budgets that denied a call on this instance since the last run; adding one costs almost nothing. */
export class SpentBudgets {
  #counters = new Map<string, CounterSpec>();

  add(counter: CounterSpec): void {
    if (this.#counters.size < DENYING_MAX) this.#counters.set(`${counter.teamId}/${counter.id}`, counter);
  }

  get size(): number {
    return this.#counters.size;
  }

  /** Raises their warnings. When that fails they are dropped: the next denials add them again. */
  async raise(database: Database, options: RaiseOptions): Promise<RaisedWarning[]> {
    const counters = [...this.#counters.values()];
    this.#counters = new Map();
    return raiseDenied(database, counters, options);
  }
}
