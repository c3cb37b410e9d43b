/** Warnings, wired: they are raised on every installation, and sent where a webhook is set. */
import type { Config } from '../config.ts';
import { deliver } from '../jobs/deliver.ts';
import { startJob } from '../jobs/every.ts';
import { type SpentBudgets, warn } from '../jobs/warn.ts';
import { createWebhook } from '../jobs/webhook.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export interface WarningsOptions {
  config: Config;
  log: Log;
  metrics: Metrics;
  database: Database;
  spent: SpentBudgets;
  /** Postgres's clock. */
  nowMs: () => number;
}

/** What was spent is in Postgres a quarter of a second later; together with this it is told within two. */
const EVERY_MS = 1000;

/** Starts both jobs; answers how to end them. */
export function startWarnings(options: WarningsOptions): () => Promise<void> {
  const { config, log, metrics, database, spent } = options;
  const rules = { thresholds: config.warningThresholds, deliver: config.webhookUrl !== null };
  const raising = startJob({
    firstAfterMs: EVERY_MS,
    intervalMs: EVERY_MS,
    run: async () => {
      const raised = [...(await warn(database, rules)), ...(await spent.raise(database, rules))];
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
  const stopSending = startSending(options);
  return async () => {
    await Promise.all([raising.stop(), stopSending()]);
  };
}

function startSending({ config, log, metrics, database, nowMs }: WarningsOptions): () => Promise<void> {
  if (config.webhookUrl === null) return async () => {};
  const webhook = createWebhook({
    url: config.webhookUrl,
    secret: config.webhookSecret,
    allowPrivate: config.webhookAllowPrivate,
  });
  const sending = startJob({
    firstAfterMs: EVERY_MS,
    intervalMs: EVERY_MS,
    run: (signal) =>
      deliver(
        {
          database,
          webhook,
          nowMs,
          onEnd: (outcome, { id, attempts }, problem) => {
            metrics.recordDelivery(outcome);
            if (problem === null) return;
            const next = outcome === 'given_up' ? 'it is given up' : 'it is tried again';
            log.logger.warn({ warning: id, attempts, problem }, `a warning could not be sent; ${next}`);
          },
        },
        signal,
      ),
    onError: (error) => log.logger.error({ err: error }, 'warnings could not be sent; it is tried again'),
  });
  return async () => {
    await sending.stop();
    await webhook.close();
  };
}
