/** What the admin API is given. */
import type { Sessions } from '../auth/sessions.ts';
import type { Database } from '../store/database.ts';

export interface AdminOptions {
  database: Database;
  adminKey: string;
  /** Who is signed in to the console. */
  sessions: Sessions;
  /** Milliseconds since the epoch, on Postgres's clock. */
  nowMs: () => number;
  /** Writes what this instance still has in memory into the ledger; called before the ledger is read. */
  settleNow: () => Promise<void>;
  /** The plan of a team that names none; null: none. */
  defaultPlan: string | null;
  /** Told of errors that are no fault of the request. */
  onError?: (error: unknown) => void;
}
