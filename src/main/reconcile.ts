/**
 * The job `reconcile`, wired: single calls of unknown outcome by the minute, then whole days by their bill, for each upstream
 * whose admin key is known. Owns: which upstreams those are, and how long one that fails is left alone.
 */
import type { UpstreamSettings } from '../config/file.ts';
import type { Config } from '../config.ts';
import type { RateCards } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import { startJob } from '../jobs/every.ts';
import type { Reconcile } from '../jobs/reconcile.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** Returns the upstreams of the configuration file as they were read last; null: there is none. */
export type FileUpstreamsNow = (() => readonly UpstreamSettings[]) | null;

interface ReconcileJobOptions {
  config: Config;
  log: Log;
  metrics: Metrics;
  database: Database;
  /** Those of the file; null: there is none. */
  fileUpstreams: FileUpstreamsNow;
  rates: () => RateCards;
  /** Postgres's clock. */
  nowMs: () => number;
}

/** An upstream that can be asked what it billed. */
interface Billed {
  /** Null: there is only one. */
  name: string | null;
  baseUrl: string;
  adminKey: string;
  /** That calls are made with. */
  keys: string[];
}

/** Soon enough to show in the log that it works, late enough to be in no start's way. */
const FIRST_RUN_MS = 15_000;
const BACKOFF_MOST_MS = 6 * 3_600_000;

/** Starts the job; returns how to end it. */
export function startReconcile(options: ReconcileJobOptions): () => Promise<void> {
  const { config, log, metrics, fileUpstreams, nowMs } = options;
  if (config.openaiAdminKey === null && fileUpstreams === null) return async () => {};
  // Now, while no call is under way: to load it takes the event loop for a tenth of a second.
  if (billedUpstreams(config, fileUpstreams).length > 0) loadParts().catch(() => {});
  const failures = new Map<string | null, { count: number; untilMs: number }>();
  const runs = new Map<string, (signal: AbortSignal) => Promise<boolean>>();
  const job = startJob({
    firstAfterMs: Math.min(FIRST_RUN_MS, config.reconcileIntervalMs),
    intervalMs: config.reconcileIntervalMs,
    run: async (signal) => {
      for (const upstream of billedUpstreams(config, fileUpstreams)) {
        if ((failures.get(upstream.name)?.untilMs ?? 0) > nowMs()) continue;
        const id = JSON.stringify(upstream);
        const run = runs.get(id) ?? (await loadRun(options, upstream));
        runs.set(id, run);
        try {
          if (await run(signal)) metrics.recordReconcileRun(nowMs());
          failures.delete(upstream.name);
        } catch (error) {
          if (signal.aborted) throw error;
          const count = (failures.get(upstream.name)?.count ?? 0) + 1;
          const pauseMs = Math.min(BACKOFF_MOST_MS, config.reconcileIntervalMs * 2 ** (count - 1));
          failures.set(upstream.name, { count, untilMs: nowMs() + pauseMs });
          log.logger.error({ err: error, upstream: upstream.name }, 'reconcile failed; it is tried again');
        }
      }
    },
    onError: (error) => log.logger.error({ err: error }, 'reconcile failed; it is tried again'),
  });
  return () => job.stop();
}

/** Returns the upstreams that can be asked. */
function billedUpstreams(config: Config, fileUpstreams: FileUpstreamsNow): Billed[] {
  if (fileUpstreams === null) {
    const { openaiAdminKey: adminKey, openaiApiKey: key, openaiBaseUrl: baseUrl } = config;
    return adminKey === null ? [] : [{ name: null, baseUrl, adminKey, keys: key === null ? [] : [key] }];
  }
  return fileUpstreams().flatMap(({ name, base_url: baseUrl, admin_key: adminKey, key }) =>
    adminKey === undefined ? [] : [{ name, baseUrl, adminKey, keys: key === undefined ? [] : [key] }],
  );
}

/** Returns whether anything is reconciled, and which upstreams of the file have no admin key. */
export function reconciliationState(
  config: Config,
  fileUpstreams: FileUpstreamsNow,
): { isOn: boolean; without: string[] } {
  const billed = billedUpstreams(config, fileUpstreams);
  const names = fileUpstreams?.().map(({ name }) => name) ?? [];
  return {
    isOn: billed.length > 0,
    without: names.filter((name) => !billed.some((each) => each.name === name)),
  };
}

/** Loaded only where there is something to ask for: most installations do not reconcile, and OpenAI's SDK is large. */
function loadParts() {
  return Promise.all([
    import('../jobs/reconcile.ts'),
    import('../jobs/usage-report.ts'),
    import('../jobs/day-report.ts'),
    import('../jobs/reconcile-days.ts'),
  ]);
}

async function loadRun(
  { config, log, metrics, database, rates, nowMs }: ReconcileJobOptions,
  { name: upstream, baseUrl, adminKey, keys }: Billed,
): Promise<(signal: AbortSignal) => Promise<boolean>> {
  const [{ createReconcile }, { createUsageReport }, { createDayReport }, { reconcileDays }] =
    await loadParts();
  const shared = {
    ...{ database, upstream, rates, nowMs, reportDelayMs: config.reconcileDelayMs },
    callDurationMs: Math.max(config.reconcileCallDurationMs, config.upstreamTimeoutMs),
  };
  const reconcile: Reconcile = createReconcile({
    ...shared,
    readReport: createUsageReport({ adminKey, baseUrl }),
    onRelease: ({ eventId, teamId, releasedPicoUsd, keptPicoUsd }) => {
      metrics.recordRelease(releasedPicoUsd);
      const money = { released_usd: formatUsd(releasedPicoUsd), kept_usd: formatUsd(keptPicoUsd) };
      log.logger.info({ event: eventId, team: teamId, ...money }, 'reconciled a call of unknown outcome');
    },
  });
  const days = {
    ...shared,
    readDay: createDayReport({ adminKey, baseUrl, keys }),
    finalAfterDays: config.reconcileFinalDays,
    onDay: (day: string, { unexplained }: { unexplained: bigint }, isFinal: boolean) => {
      if (unexplained === 0n || !isFinal) return;
      const fields = { day, upstream, unexplained_usd: formatUsd(unexplained) };
      log.logger.warn(fields, 'a part of the bill of a day is unexplained');
    },
  };
  return async (signal) => {
    const tally = await reconcile.run(signal);
    if (tally !== null) logTally(log, tally);
    const computed = await reconcileDays(days, signal);
    return tally !== null || computed !== null;
  };
}

function logTally({ logger }: Log, tally: { contradicted: number }): void {
  const { contradicted } = tally;
  if (contradicted > 0) {
    logger.warn(
      { calls: contradicted },
      "the upstream's usage report lacks calls that we know of: nothing of these was released",
    );
  }
  logger.debug(tally, 'reconcile ran');
}
