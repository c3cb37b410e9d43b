/** What the gateway needs of the store of jobs. */
import type { EventId, TeamId } from '../domain/ids.ts';
import type { JobKind } from '../domain/job.ts';
import type { NamedJob, NewJob } from '../store/hot/jobs.ts';

export interface JobStore {
  add(job: NewJob): Promise<void>;
  name(named: NamedJob, nextMs: number): Promise<void>;
  drop(teamId: TeamId, id: EventId): Promise<void>;
  isGoingOn(teamId: TeamId, kind: JobKind, upstreamId: string): Promise<boolean>;
  lookSoon(teamId: TeamId, kind: JobKind, upstreamId: string): Promise<void>;
}
