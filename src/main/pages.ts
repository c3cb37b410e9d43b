/** Everything over HTTP that is no call: health and metrics, the admin API, the key holder's view, the console. Wiring. */
import type { Hono } from 'hono';
import { createAdmin } from '../admin/admin.ts';
import { createOwn } from '../admin/own.ts';
import type { KeyCache } from '../auth/key-cache.ts';
import { Sessions } from '../auth/sessions.ts';
import type { Config } from '../config.ts';
import type { Refusals } from '../gateway/refusals.ts';
import type { Clock } from '../ledger/time.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createConsole } from './console.ts';
import { createService } from './service.ts';

export interface PagesOptions {
  config: Config;
  version: string;
  adminKey: string;
  database: Database;
  keys: KeyCache;
  ledger: Ledger;
  refusals: Refusals;
  clock: Clock;
  metrics: Metrics;
  log: Log;
  stopping: () => boolean;
  /** Told when Postgres did not answer. */
  onStoreError: (error: unknown) => void;
}

export function createPages(options: PagesOptions): Hono {
  const { config, adminKey, database, keys, ledger, refusals, clock, log } = options;
  const { version, metrics, stopping } = options;
  const pages = createService({ version, ledger, metrics, metricsKey: config.metricsKey, stopping });
  const shared = {
    database,
    nowMs: clock.nowMs,
    async settleNow() {
      await ledger.flusher.drain().catch(options.onStoreError);
      await refusals.flush();
    },
    onError: (error: unknown) =>
      log.logger.error({ err: error }, 'an admin request failed on an error of ours'),
  };
  const sessions = new Sessions({ adminKey, keys, nowMs: clock.nowMs });
  pages.route('/', createAdmin({ ...shared, adminKey, sessions, defaultPlan: config.defaultPlan }));
  pages.route('/', createOwn({ ...shared, keys }));
  pages.route('/', createConsole());
  return pages;
}
