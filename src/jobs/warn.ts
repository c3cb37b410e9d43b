/** The job `warn`: raises the thresholds that budgets have reached. One replica at a time looks. */
import { runAlone } from '../store/alone.ts';
import type { Database } from '../store/database.ts';
import { type RaisedWarning, type RaiseOptions, raiseWarnings } from '../store/warnings.ts';

/** Any number, the same in every version of Tollgate. */
const WARN_LOCK = 8_655_428_303;

/** Looks once; answers what is new, nothing when another replica is at it. */
export async function warn(database: Database, options: RaiseOptions): Promise<RaisedWarning[]> {
  return (await runAlone(database, WARN_LOCK, () => raiseWarnings(database, options))) ?? [];
}
