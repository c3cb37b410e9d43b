/** The job that follows jobs, wired. */
import { isApiError } from '../domain/errors.ts';
import { startJob } from '../jobs/every.ts';
import { followJobs, jobFields } from '../jobs/follow-jobs.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { PostgresJobStore } from '../store/hot/jobs.ts';
import { PostgresObjectStore } from '../store/hot/objects.ts';
import { noteItems } from '../store/hot/response-items.ts';
import { correctCall } from '../store/unknown.ts';
import { UpstreamReader } from '../upstreams/read.ts';
import type { JobsOptions } from './jobs.ts';
import type { ConfiguredUpstream } from './upstream.ts';
import type { FileUpstreams } from './upstreams.ts';

export interface FollowParts {
  instanceId: string;
  ledger: Ledger;
  upstream: ConfiguredUpstream;
  /** Null: there is only one. */
  file: FileUpstreams | null;
}

/** How often due jobs are looked for, at most. */
const LOOK_MS_MAX = 1000;

/** Starts to follow jobs; returns how to end it. */
export function startFollowing(
  { config, log, database, nowMs }: JobsOptions,
  { instanceId, ledger, upstream, file }: FollowParts,
): () => Promise<void> {
  if (upstream.upstream === null) return async () => {};
  const { logger } = log;
  const objects = new PostgresObjectStore(database.sql);
  const options = {
    instanceId,
    ledger,
    store: new PostgresJobStore(database.sql),
    readerOf: (name: string | null) => readerOf(name, upstream, file, config.upstreamTimeoutMs),
    addObject: objects.addObject.bind(objects),
    noteItems: (teamId, responseId, items) => noteItems(database.sql, teamId, responseId, items),
    beginSessions: objects.beginSessions.bind(objects),
    correct: async (eventId, { cost, reason }) => {
      const why = `the job has ended: ${reason ?? 'its usage was reported'}`;
      const corrected = await correctCall(database, { eventId, cost, reason: why, actor: 'follow-jobs' });
      if (isApiError(corrected))
        logger.warn({ event: eventId, problem: corrected.message }, 'a job was not corrected');
    },
    intervalMs: config.jobPollMs,
    nowMs,
    onEnd: (job, end) => logger.info(jobFields(job, end), 'a job has ended'),
    onError: (error, id) =>
      logger.warn({ err: error, event: id }, 'a job could not be followed; it is tried again'),
  } satisfies Parameters<typeof followJobs>[0];
  const job = startJob({
    firstAfterMs: Math.min(LOOK_MS_MAX, config.jobPollMs),
    intervalMs: Math.min(LOOK_MS_MAX, config.jobPollMs),
    run: (signal) => followJobs(options, signal),
    onError: (error) => logger.warn({ err: error }, 'jobs could not be followed; it is tried again'),
  });
  return () => job.stop();
}

/**
 * Returns how the gateway asks an upstream; null: there is none of that name.
 * @param name of an upstream of the file; null: of a time when there was only one
 */
export function readerOf(
  name: string | null,
  { upstream, upstreamApiKey }: ConfiguredUpstream,
  file: FileUpstreams | null,
  timeoutMs: number,
): UpstreamReader | null {
  const { router } = file ?? {};
  const lane = name === null ? (router?.all[0] ?? null) : (router?.find(name) ?? null);
  const there = lane?.deps.upstream ?? null;
  if (lane !== null && there !== null) {
    const { target } = lane;
    const pathOf = (path: string) => target.pathOf(path, null);
    return new UpstreamReader({ upstream: there, headers: target.headers, pathOf, timeoutMs });
  }
  if (name !== null || upstream === null) return null;
  return new UpstreamReader({ upstream, headers: ['authorization', `Bearer ${upstreamApiKey}`], timeoutMs });
}
