/**
 * Upkeep of the database: creates partitions ahead of their month and drops those of forgotten objects, deletes buckets that
 * no rolling window counts and counts of inputs that are over, closes values of tags without calls, brings back events that
 * were set aside, carries what windows left into the next.
 */
import { carryOver } from '../store/carry-over.ts';
import type { Database } from '../store/database.ts';
import { forgetBuckets } from '../store/hot/flows.ts';
import { forgetInputCounts } from '../store/hot/input-counts.ts';
import { restoreQuarantined } from '../store/hot/quarantine.ts';
import { dropExpiredObjects, ensurePartitions } from '../store/partitions.ts';
import { closeIdleTagValues } from '../store/tag-values.ts';
import { type Job, startJob } from './every.ts';

const PARTITIONS_EVERY_MS = 6 * 60 * 60 * 1000;
const BUCKETS_EVERY_MS = 5 * 60 * 1000;
const COUNTS_EVERY_MS = 10 * 60 * 1000;
const TAGS_EVERY_MS = 60 * 60 * 1000;
const RESTORE_EVERY_MS = 60 * 1000;
const CARRY_EVERY_MS = 60 * 1000;

/** Starts these jobs; the store created the first partitions at its start. */
export function startUpkeep(database: Database, onError: (error: unknown) => void): Job {
  const every = (intervalMs: number, run: () => Promise<unknown>) =>
    startJob({
      firstAfterMs: intervalMs,
      intervalMs,
      run: async () => {
        await run();
      },
      onError,
    });
  const { sql } = database;
  const jobs = [
    every(PARTITIONS_EVERY_MS, async () => {
      await ensurePartitions(sql, Date.now());
      await dropExpiredObjects(sql, Date.now());
    }),
    every(BUCKETS_EVERY_MS, () => forgetBuckets(sql)),
    every(COUNTS_EVERY_MS, () => forgetInputCounts(sql)),
    every(TAGS_EVERY_MS, () => closeIdleTagValues(sql)),
    every(RESTORE_EVERY_MS, () => restoreQuarantined(sql)),
    every(CARRY_EVERY_MS, () => carryOver(database)),
  ];
  return {
    async stop() {
      await Promise.all(jobs.map((job) => job.stop()));
    },
  };
}
