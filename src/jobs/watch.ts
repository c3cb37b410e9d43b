/**
 * Watch: reads the installation's state from Postgres for the metrics, every few seconds, so that a scrape reads memory
 * only. Invariant: an old reading is not shown: no value is better than one from an hour ago.
 */
import type { Database } from '../store/database.ts';
import { ping, readWatch, type WatchReading } from '../store/watch.ts';
import { type Job, startJob } from './every.ts';

export interface WatchOptions {
  db: Database['db'];
  /** How many budgets are read: those closest to their end. */
  budgetsMax: number;
  onError: (error: unknown) => void;
  intervalMs?: number;
  monotonicMs?: () => number;
}

export interface Watched extends WatchReading {
  /** How long Postgres took for a trivial query. */
  roundTripSeconds: number;
}

export interface Watch extends Job {
  /** The last reading; null: none within the last minute. */
  latest(): Watched | null;
}

const STALE_AFTER_MS = 60_000;

export function startWatch(options: WatchOptions): Watch {
  const { db, budgetsMax, onError, intervalMs = 10_000, monotonicMs = () => performance.now() } = options;
  let latest: { reading: Watched; atMs: number } | null = null;
  const job = startJob({
    firstAfterMs: 0,
    intervalMs,
    onError,
    run: async () => {
      const atMs = monotonicMs();
      await ping(db);
      const roundTripSeconds = (monotonicMs() - atMs) / 1000;
      latest = { reading: { ...(await readWatch(db, budgetsMax)), roundTripSeconds }, atMs };
    },
  });
  return {
    stop: job.stop,
    latest: () => (latest !== null && monotonicMs() - latest.atMs < STALE_AFTER_MS ? latest.reading : null),
  };
}
