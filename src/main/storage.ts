/** The job `storage`, wired: every hour, so that a day is charged soon after it begins, by whichever replica is first. */
import type { Config } from '../config.ts';
import type { RateCards } from '../domain/price.ts';
import { startJob } from '../jobs/every.ts';
import { chargeStorage, type ReadBytes } from '../jobs/storage.ts';
import type { StoreUpstream } from '../jobs/store-sizes.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import { readFileOrCannotStart } from './upstreams.ts';

interface StorageJobOptions {
  config: Config;
  log: Log;
  database: Database;
  rates: () => RateCards;
  /** Postgres's clock. */
  nowMs: () => number;
}

const FIRST_RUN_MS = 20_000;
const INTERVAL_MS = 3_600_000;

/** Starts the job; returns how to end it. Without an upstream nothing is kept. */
export function startStorage({
  config,
  log,
  database,
  rates,
  nowMs,
}: StorageJobOptions): () => Promise<void> {
  let read: ReadBytes | null = null;
  const job = startJob({
    firstAfterMs: FIRST_RUN_MS,
    intervalMs: INTERVAL_MS,
    run: async (signal) => {
      // OpenAI's SDK is large, and most installations keep no stores.
      const readBytes: ReadBytes = async (store, aborted) => {
        const { createReadBytes } = await import('../jobs/store-sizes.ts');
        read ??= createReadBytes((name) => upstreamOf(config, name));
        return read(store, aborted);
      };
      const charged = await chargeStorage({ database, readBytes, rates, nowMs }, signal);
      if (charged) log.logger.info({ events: charged }, 'charged what vector stores keep');
    },
    onError: (error) =>
      log.logger.error({ err: error }, 'storage could not be charged; it is tried again in an hour'),
  });
  return () => job.stop();
}

function upstreamOf(config: Config, name: string | null): StoreUpstream | null {
  if (config.configFile !== null) {
    const found = readFileOrCannotStart(config.configFile).upstreams.find((each) => each.name === name);
    return found === undefined ? null : { baseUrl: found.base_url, apiKey: found.key ?? '' };
  }
  if (config.openaiApiKey === null) return null;
  return { baseUrl: config.openaiBaseUrl, apiKey: config.openaiApiKey };
}
