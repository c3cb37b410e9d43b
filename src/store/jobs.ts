/** Jobs as people look at them, newest first. */
import { and, desc, eq, inArray, isNotNull, isNull } from 'drizzle-orm';
import type { TeamId } from '../domain/ids.ts';
import type { JobKind, JobState } from '../domain/job.ts';
import { type After, isAfter } from './changes.ts';
import type { Database } from './database.ts';
import { jobs } from './schema.ts';

export type JobRow = typeof jobs.$inferSelect;

/** Returns a page of jobs. @param isOpen those that have not ended, or have; missing: both */
export function listJobs(
  { db }: Database,
  page: {
    after: After | null;
    limit: number;
    teamIds: readonly TeamId[] | undefined;
    kind: JobKind | undefined;
    state: JobState | undefined;
    isOpen: boolean | undefined;
  },
): Promise<JobRow[]> {
  const { teamIds, kind, state, isOpen } = page;
  return db
    .select()
    .from(jobs)
    .where(
      and(
        isAfter(jobs, page.after, 'desc'),
        teamIds && inArray(jobs.teamId, [...teamIds]),
        kind === undefined ? undefined : eq(jobs.kind, kind),
        state === undefined ? undefined : eq(jobs.state, state),
        isOpen === undefined ? undefined : isOpen ? isNull(jobs.endedAt) : isNotNull(jobs.endedAt),
      ),
    )
    .orderBy(desc(jobs.createdAt), desc(jobs.id))
    .limit(page.limit);
}
