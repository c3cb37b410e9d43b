/** Background work, wired: warnings, and reconciliation where an admin key allows it. */

import type { AccessLog } from '../auth/access-log.ts';
import type { Sealer } from '../auth/seal.ts';
import type { Config } from '../config.ts';
import { ContentQueue } from '../domain/contents.ts';
import type { RateCards } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { deliver } from '../jobs/deliver.ts';
import { startJob } from '../jobs/every.ts';
import { startKeepContents } from '../jobs/keep-contents.ts';
import { releaseByPolicy } from '../jobs/release.ts';
import { startUpkeep } from '../jobs/upkeep.ts';
import { type SpentBudgets, warn } from '../jobs/warn.ts';
import { createWebhook } from '../jobs/webhook.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { startArchive } from './archive.ts';
import { startNotices } from './notices.ts';
import { type FileUpstreamsNow, startReconcile } from './reconcile.ts';

export interface JobsOptions {
  config: Config;
  log: Log;
  metrics: Metrics;
  database: Database;
  /** How often this instance reported spending to Postgres, or noticed a change of limits or grants. */
  moves: { readonly count: number };
  accessLog: AccessLog;
  /** Null: there is no key, so nothing that calls say is kept. */
  sealer: Sealer | null;
  contents: ContentQueue | null;
  /** Budgets that denied calls. */
  spent: SpentBudgets;
  fileUpstreams: FileUpstreamsNow;
  rates: () => RateCards;
  /** Postgres's clock. */
  nowMs: () => number;
  /** Called when the upkeep of the database failed; it is tried again. */
  onStoreError: (error: unknown) => void;
}

/** Soon enough to show in the log that it works, late enough to be in no start's way. */
const FIRST_RUN_MS = 15_000;

const ACCESS_SUMMARY_MS = 3_600_000;

/** Starts the jobs that the configuration asks for; returns how to end them. */
export function startJobs(options: JobsOptions): () => Promise<void> {
  const upkeep = startUpkeep(options.database, options.onStoreError);
  const { sealer, contents, metrics, log, onStoreError: onError } = options;
  const keeping = startKeepContents({
    sql: options.database.sql,
    queue: contents ?? new ContentQueue(() => {}),
    sealer,
    onEnd: (end) => metrics.recordContent(end),
    onNoKey: (teams) =>
      log.logger.warn(
        { teams },
        'teams keep what their calls say, but TOLLGATE_ENCRYPTION_KEY is not set: nothing is kept, and nothing can be read',
      ),
    onError,
  });
  const accesses = startJob({ intervalMs: ACCESS_SUMMARY_MS, run: () => options.accessLog.flush() });
  const stops = [
    startWarnings(options),
    startReconcile(options),
    startRelease(options),
    startArchive(options),
    startNotices(options),
    () => upkeep.stop(),
    () => keeping.stop(),
    () => accesses.stop(),
  ];
  return async () => {
    await Promise.all(stops.map((stop) => stop()));
  };
}

function startRelease({ config, log, database, nowMs }: JobsOptions): () => Promise<void> {
  const policy = config.releaseUnknownAfterHours;
  if (policy === null) return async () => {};
  const job = startJob({
    firstAfterMs: Math.min(FIRST_RUN_MS, config.reconcileIntervalMs),
    intervalMs: config.reconcileIntervalMs,
    run: async () => {
      const released = (await releaseByPolicy(database, policy, nowMs())) ?? [];
      for (const { because, calls, cost } of released) {
        const fields = { reason: because, calls, released_usd: formatUsd(cost) };
        log.logger.warn(fields, 'released calls of unknown outcome without evidence, as the policy says');
      }
    },
    onError: (error) => log.logger.error({ err: error }, 'the release failed; it is tried again'),
  });
  return () => job.stop();
}

/** What was spent is in Postgres a quarter of a second later; with this interval it is warned of within two. */
const EVERY_MS = 1000;
/** When nothing moved here, another replica may have moved it and died. */
const LOOK_ANYWAY_MS = 30_000;
/** How often deliveries are looked for when none was due for a minute. */
const DELIVER_ANYWAY_MS = 10_000;
const DELIVERING_MS = 60_000;

/** Starts both jobs; returns how to end them. */
function startWarnings(options: JobsOptions): () => Promise<void> {
  const { config, log, metrics, database, spent, moves } = options;
  const rules = { thresholds: config.warningThresholds, deliver: config.webhookUrl !== null };
  const sending = startSending(options);
  let movedBefore: number | null = null;
  let lookedMs = 0;
  const raising = startJob({
    firstAfterMs: EVERY_MS,
    intervalMs: EVERY_MS,
    run: async () => {
      const movedNow = moves.count;
      const nowMs = performance.now();
      if (movedNow === movedBefore && spent.size === 0 && nowMs - lookedMs < LOOK_ANYWAY_MS) return;
      const seen = await warn(database, rules);
      // Another replica that is at it may have begun before our events were there.
      if (seen !== null) {
        movedBefore = movedNow;
        lookedMs = nowMs;
      }
      const raised = [...(seen ?? []), ...(await spent.raise(database, rules))];
      if (raised.length > 0) sending.soon();
      for (const { teamId, counterId, threshold } of raised) {
        metrics.recordWarning(threshold);
        log.logger.warn(
          { team: teamId, counter: counterId, threshold },
          'a threshold of a budget was reached',
        );
      }
    },
    onError: (error) => log.logger.error({ err: error }, 'warnings could not be raised; it is tried again'),
  });
  return async () => {
    await Promise.all([raising.stop(), sending.stop()]);
  };
}

interface Sending {
  /** A warning was raised. */
  soon(): void;
  stop(): Promise<void>;
}

function startSending({ config, log, metrics, database, nowMs }: JobsOptions): Sending {
  if (config.webhookUrl === null) return { soon: () => {}, stop: async () => {} };
  const webhook = createWebhook({
    url: config.webhookUrl,
    secret: config.webhookSecret,
    allowPrivate: config.webhookAllowPrivate,
  });
  let busyUntilMs = 0;
  let lookedMs = 0;
  const soon = () => {
    busyUntilMs = performance.now() + DELIVERING_MS;
  };
  const sending = startJob({
    firstAfterMs: EVERY_MS,
    intervalMs: EVERY_MS,
    run: async (signal) => {
      const now = performance.now();
      if (now > busyUntilMs && now - lookedMs < DELIVER_ANYWAY_MS) return;
      lookedMs = now;
      await deliver(
        {
          database,
          webhook,
          nowMs,
          onEnd: (outcome, { id, attempts }, problem) => {
            soon();
            metrics.recordDelivery(outcome);
            if (problem === null) return;
            const next = outcome === 'given_up' ? 'it is given up' : 'it is tried again';
            log.logger.warn({ warning: id, attempts, problem }, `a warning could not be sent; ${next}`);
          },
        },
        signal,
      );
    },
    onError: (error) => log.logger.error({ err: error }, 'warnings could not be sent; it is tried again'),
  });
  return {
    soon,
    async stop() {
      await sending.stop();
      await webhook.close();
    },
  };
}
