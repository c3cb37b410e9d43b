/** Notices to team leads, wired: one job finds what is worth telling, another sends it. */
import type { Config } from '../config.ts';
import { startJob } from '../jobs/every.ts';
import type { Database } from '../store/database.ts';
import type { Log } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

interface NoticeJobOptions {
  config: Config;
  log: Log;
  metrics: Metrics;
  database: Database;
  /** Postgres's clock. */
  nowMs: () => number;
}

const FIRST_RUN_MS = 5_000;
const INTERVAL_MS = 10_000;

/** Starts both jobs; returns how to end them. */
export function startNotices({ config, log: { logger }, metrics, database, nowMs }: NoticeJobOptions) {
  const { spikeTimes, smtpUrl, mailFrom, publicUrl, webhookAllowPrivate: allowPrivate } = config;
  const consoleUrl = publicUrl === null ? null : `${publicUrl}/console`;
  // Now, while no call is under way: to load what sends mails takes the event loop for a twentieth of a second.
  if (smtpUrl !== null) import('nodemailer').catch(() => {});
  const finding = startJob({
    firstAfterMs: FIRST_RUN_MS,
    intervalMs: INTERVAL_MS,
    run: async () => {
      const { notify } = await import('../jobs/notify.ts');
      const raised = (await notify({ database, spikeTimes })) ?? [];
      for (const { teamId, kind, topic } of raised)
        logger.info({ team: teamId, kind, topic }, 'raised a notice');
    },
    onError: (error) => logger.error({ err: error }, 'notices could not be raised; it is tried again'),
  });
  const sending = startJob({
    firstAfterMs: FIRST_RUN_MS,
    intervalMs: INTERVAL_MS,
    run: async (signal) => {
      const { sendNotices } = await import('../jobs/send-notices.ts');
      const mail = { smtpUrl, mailFrom, consoleUrl, allowPrivate };
      await sendNotices(
        {
          ...{ database, ...mail, nowMs },
          onEnd: (outcome, { id, attempts, recipient }, problem) => {
            metrics.recordNotice(recipient.kind, outcome);
            if (problem === null) return;
            const next = outcome === 'given_up' ? 'it is given up' : 'it is tried again';
            logger.warn({ notice: id, attempts, problem }, `a notice could not be sent; ${next}`);
          },
        },
        signal,
      );
    },
    onError: (error) => logger.error({ err: error }, 'notices could not be sent; it is tried again'),
  });
  return async () => {
    await Promise.all([finding.stop(), sending.stop()]);
  };
}
