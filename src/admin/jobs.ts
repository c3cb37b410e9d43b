/** Route: jobs, with what they hold and cost. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { z } from 'zod';
import { type JobRow, listJobs } from '../store/jobs.ts';
import { type Job, Jobs, JobsQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf, pageOf } from './page.ts';
import { route } from './route.ts';

export function jobsRoute(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'List training jobs, batches and background responses, newest first';
  route(
    app,
    { method: 'get', path: '/jobs', summary, query: JobsQuery, response: Jobs },
    async ({ query: { kind, state, open, ...query }, teams: teamIds }) =>
      pageOf(query, {
        list: (page) =>
          listJobs(database, {
            ...page,
            teamIds,
            kind,
            state,
            isOpen: open === undefined ? undefined : open === 'true',
          }),
        idOf: (row) => row.id,
        view: toJob,
      }),
  );
}

const progress = z.object({ done: z.int().optional(), total: z.int().optional() });

function toJob(row: JobRow): z.input<typeof Job> {
  const { done = null, total = null } = progress.safeParse(row.progress).data ?? {};
  return {
    id: row.id,
    team_id: row.teamId,
    key_id: row.keyId,
    kind: row.kind,
    state: row.state,
    upstream: row.upstream,
    upstream_id: row.upstreamId,
    upstream_status: row.upstreamStatus,
    model: row.model,
    held_usd: moneyOf(row.heldUsd),
    forecast_usd: row.forecastUsd === null ? null : moneyOf(row.forecastUsd),
    settled_usd: row.settledUsd === null ? null : moneyOf(row.settledUsd),
    done,
    total,
    failures: row.failures,
    problem: row.problem,
    created_at: instantOf(row.createdAt),
    next_look_at: row.endedAt === null ? instantOf(row.nextPollAt) : null,
    ended_at: instantOf(row.endedAt),
  };
}
