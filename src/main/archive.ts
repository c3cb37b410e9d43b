/** The job `archive`, wired: some times a day, on whichever replica is first. */
import { join, resolve } from 'node:path';
import type { Config } from '../config.ts';
import { startJob } from '../jobs/every.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';

interface ArchiveJobOptions {
  config: Config;
  log: Log;
  database: Database;
}

const FIRST_RUN_MS = 30_000;
const INTERVAL_MS = 6 * 60 * 60 * 1000;

/** Starts the job where an age is set; returns how to end it. */
export function startArchive({ config, log: { logger }, database }: ArchiveJobOptions): () => Promise<void> {
  const keepMonths = config.eventsKeepMonths;
  if (keepMonths === null) return async () => {};
  const folder = resolve(config.archiveDir ?? join(config.dataDir, 'archive'));
  const job = startJob({
    firstAfterMs: FIRST_RUN_MS,
    intervalMs: INTERVAL_MS,
    run: async (signal) => {
      // Loaded when it first runs: there is something to do once a month.
      const { archiveEvents } = await import('../jobs/archive.ts');
      for (const end of (await archiveEvents({ database, folder, keepMonths }, signal)) ?? []) {
        if (end.outcome === 'waits') {
          const { month, problem } = end;
          logger.warn({ month: month.name, waits_for: problem }, 'a month of events cannot be archived yet');
          continue;
        }
        const { month, events, costUsd, folder: place } = end.written;
        const fields = { month: month.name, events, cost_usd: costUsd, folder: place };
        logger.info(fields, 'archived a month of events, and dropped it from the ledger');
      }
    },
    onError: (error) => logger.error({ err: error }, 'events could not be archived; it is tried again'),
  });
  return () => job.stop();
}
