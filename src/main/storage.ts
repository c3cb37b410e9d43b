/** The job `storage`, wired: every hour, so that a day is charged soon after it begins, by whichever replica is first. */
import { startJob } from '../jobs/every.ts';
import { chargeStorage, readSize } from '../jobs/storage.ts';
import { type FollowParts, readerOf } from './follow.ts';
import type { JobsOptions } from './jobs.ts';

const FIRST_RUN_MS = 20_000;
const INTERVAL_MS = 3_600_000;
const TIMEOUT_MS = 30_000;

/** Starts the job; returns how to end it. Without an upstream nothing is kept. */
export function startStorage(
  { log, database, rates, nowMs }: JobsOptions,
  { upstream, file }: Pick<FollowParts, 'upstream' | 'file'>,
): () => Promise<void> {
  const job = startJob({
    firstAfterMs: FIRST_RUN_MS,
    intervalMs: INTERVAL_MS,
    run: async (signal) => {
      const charged = await chargeStorage(
        {
          database,
          readBytes: (store) => readSize(readerOf(store.upstream, upstream, file, TIMEOUT_MS), store),
          rates,
          nowMs,
        },
        signal,
      );
      if (charged) log.logger.info({ events: charged }, 'charged what vector stores keep');
    },
    onError: (error) =>
      log.logger.error({ err: error }, 'storage could not be charged; it is tried again in an hour'),
  });
  return () => job.stop();
}
