/**
 * Jobs in Postgres. Owns: that one instance at a time follows a job, by a lease with a number that only grows. Invariants: a row is
 * there before the upstream is asked; who lost its lease changes nothing; a job ends once.
 */
import { z } from 'zod';
import type { EventId, KeyId, TeamId } from '../../domain/ids.ts';
import { asId, momentOfUuidV7 } from '../../domain/ids.ts';
import { JOB_KINDS, type JobKind, type JobState } from '../../domain/job.ts';
import type { JobModel, JobTerms } from '../../domain/job-terms.ts';
import { METERS } from '../../domain/limit.ts';
import type { OutcomeName } from '../../domain/outcome.ts';
import { formatUsd } from '../../domain/quantities.ts';
import type { Sql } from '../database.ts';

/** A job before the upstream is asked. */
export interface NewJob {
  teamId: TeamId;
  id: EventId;
  keyId: KeyId;
  kind: JobKind;
  /** By name, among several; null: there is only one. */
  upstream: string | null;
  model: string;
  heldPicoUsd: bigint;
  hold: StoredJobHold;
  terms: JobTerms;
}

/** A job that the upstream has named. */
export interface NamedJob {
  job: NewJob;
  upstreamId: string;
  status: string | null;
}

const count = z.number().int().min(0);
/** The hold of a job (ledger/job-holds.ts), as JSON. */
export const storedJobHold = z.object({
  facts: z.object({
    teamId: z.string(),
    keyId: z.string(),
    operation: z.string(),
    model: z.string(),
    stream: z.boolean(),
    endUser: z.string().nullable(),
    departments: z.string().nullable().default(null),
    tags: z.array(z.string()).readonly().nullable().default(null),
    priceId: z.string().nullable(),
    outputLimit: z.number().nullable(),
  }),
  factsJson: z.string(),
  claim: z.object({ cost: z.string(), input_tokens: count, output_tokens: count }),
  pools: z.array(
    z.object({
      meter: z.enum(METERS),
      counters: z.array(z.object({ id: z.string(), held: z.string() })),
    }),
  ),
});
export type StoredJobHold = z.infer<typeof storedJobHold>;

const storedNamedJob = z.object({
  job: z.object({
    ...{ teamId: z.uuid(), id: z.uuid(), keyId: z.uuid() },
    kind: z.enum(JOB_KINDS),
    upstream: z.string().nullable(),
    model: z.string(),
    heldPicoUsd: z.string().transform(BigInt),
    hold: storedJobHold,
    terms: z.looseObject({ kind: z.enum(JOB_KINDS) }),
  }),
  upstreamId: z.string(),
  status: z.string().nullable(),
});

/** Reads a job as the journal has it (ledger/events.ts). @throws when it is none */
export function namedJobOf(json: unknown): NamedJob {
  const { job, ...named } = storedNamedJob.parse(json);
  const ids = { teamId: asId<TeamId>(job.teamId), id: asId<EventId>(job.id), keyId: asId<KeyId>(job.keyId) };
  // Settling reads the terms as any row of the table has them.
  return { ...named, job: { ...job, ...ids, terms: job.terms as unknown as JobTerms } };
}

/** A job that may be followed, by the number of who followed it last. */
export interface DueJob {
  teamId: TeamId;
  id: EventId;
  fence: string;
}

/** A job that an instance follows. */
export interface FollowedJob {
  teamId: TeamId;
  id: EventId;
  kind: JobKind;
  state: JobState;
  upstream: string | null;
  upstreamId: string | null;
  upstreamStatus: string | null;
  hold: StoredJobHold;
  terms: JobTerms;
  progress: JobProgress;
  failures: number;
  fence: string;
  /** Since when it was due as it was taken, as Postgres writes it. */
  dueAt: string;
  createdAtMs: number;
}

/** What was seen of a job on the way. */
export interface JobProgress {
  /** Between these moments its training loop began, in milliseconds since the epoch. */
  startedAfterMs?: number | undefined;
  startedBeforeMs?: number | undefined;
  /** It was seen at work. */
  hasRun?: boolean | undefined;
  /** The gateway asked for its end, and why. */
  cancelledFor?: string | undefined;
  /** How much of it is done, of how much. */
  done?: number | undefined;
  total?: number | undefined;
  /** What each of its models cost, once it has ended. */
  models?: readonly JobModel[] | undefined;
}

/** Until it is looked at: before, its maker may still wait for the upstream's response. */
const ASKED = '20 seconds';

export class PostgresJobStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** Adds a job, once. */
  async add(job: NewJob): Promise<void> {
    const { teamId, id, keyId, kind, upstream, model, heldPicoUsd, hold, terms } = job;
    const createdAt = new Date(momentOfUuidV7(id)).toISOString();
    await this.#sql`
      insert into jobs (team_id, id, key_id, kind, state, upstream, model, hold, terms, progress, held_usd, created_at, next_poll_at)
      values (${teamId}, ${id}, ${keyId}, ${kind}, 'asked', ${upstream}, ${model}, ${JSON.stringify(hold)}::text::jsonb,
        ${JSON.stringify(terms)}::text::jsonb, '{}', ${formatUsd(heldPicoUsd)}::numeric, ${createdAt}::timestamptz,
        tollgate_now() + ${ASKED}::interval)
      on conflict do nothing`;
  }

  /** The upstream has named a job, which is first looked at after so long. */
  async name({ job: { teamId, id }, upstreamId, status }: NamedJob, nextMs: number): Promise<void> {
    await this.#sql`
      update jobs set state = 'running', upstream_id = ${upstreamId}, upstream_status = ${status},
        next_poll_at = tollgate_now() + ${`${nextMs} ms`}::interval
      where team_id = ${teamId} and id = ${id} and ended_at is null`;
  }

  /** A job that the upstream did not take. */
  async drop(teamId: TeamId, id: EventId): Promise<void> {
    await this.#sql`delete from jobs where team_id = ${teamId} and id = ${id} and state = 'asked'`;
  }

  /**
   * Looks at a job soon: its team asked for a change of it, or it has ended. Who asks about it at this moment may have had the
   * answer of before: by the moved time it sees that the job stays due ({@link note}).
   */
  async lookSoon(teamId: TeamId, kind: JobKind, upstreamId: string): Promise<void> {
    await this.#sql`
      update jobs set next_poll_at = case when followed_until >= tollgate_now() then tollgate_now()
        else least(next_poll_at, tollgate_now()) end
      where team_id = ${teamId} and kind = ${kind} and upstream_id = ${upstreamId} and ended_at is null`;
  }

  /**
   * The same, of a job of any team. Returns whether there is one that goes on.
   * @param upstream its name, among several
   * @param first the name of the one that has the jobs of a time when there was only one; both null: there is only one
   */
  async lookSoonAt(
    { kind, upstreamId }: { kind: JobKind; upstreamId: string },
    upstream: string | null,
    first: string | null,
  ): Promise<boolean> {
    const rows = await this.#sql<{ teamId: TeamId }[]>`
      select team_id as "teamId" from jobs
      where ended_at is null and kind = ${kind} and upstream_id = ${upstreamId}
        and coalesce(upstream, ${first}::text) is not distinct from ${upstream}::text`;
    for (const { teamId } of rows) await this.lookSoon(teamId, kind, upstreamId);
    return rows.length > 0;
  }

  /** Returns whether a job that the upstream calls so goes on, or one that lies in what it calls so. */
  async isGoingOn(teamId: TeamId, kind: JobKind, upstreamId: string): Promise<boolean> {
    const rows = await this.#sql<object[]>`
      select 1 from jobs where team_id = ${teamId} and kind = ${kind} and ended_at is null
        and (upstream_id = ${upstreamId} or terms->>'evalId' = ${upstreamId}) limit 1`;
    return rows.length > 0;
  }

  /** Returns jobs that are due and that no instance follows, at most so many. */
  async due(most: number): Promise<DueJob[]> {
    return await this.#sql<DueJob[]>`
      select team_id as "teamId", id, fence::text from jobs
      where ended_at is null and next_poll_at <= tollgate_now()
        and (followed_until is null or followed_until < tollgate_now())
      order by next_poll_at limit ${most}`;
  }

  /** Takes a job for so long; null: another instance was faster. */
  async follow(
    { teamId, id, fence }: DueJob,
    instanceId: string,
    forMs: number,
  ): Promise<FollowedJob | null> {
    const [row] = await this.#sql<JobColumns[]>`
      update jobs set fence = fence + 1, followed_by = ${instanceId},
        followed_until = tollgate_now() + ${`${forMs} ms`}::interval
      where team_id = ${teamId} and id = ${id} and fence = ${fence}::int8 and ended_at is null
      returning team_id, id, kind, state, upstream, upstream_id, upstream_status, hold, terms, progress, failures,
        fence::text, created_at, next_poll_at::text as due_at`;
    return row === undefined ? null : jobOf(row);
  }

  /** Notes how a job stands, and leaves it until the next time; at once, where it was to be looked at soon since it was taken. */
  async note(
    { teamId, id, fence, dueAt }: FollowedJob,
    seen: {
      status: string | null;
      progress: JobProgress;
      forecastPicoUsd: bigint | null;
      failures: number;
      problem: string | null;
      nextMs: number;
    },
  ): Promise<void> {
    const forecast = seen.forecastPicoUsd === null ? null : formatUsd(seen.forecastPicoUsd);
    await this.#sql`
      update jobs set upstream_status = ${seen.status}, progress = ${JSON.stringify(seen.progress)}::text::jsonb,
        forecast_usd = ${forecast}::text::numeric, failures = ${seen.failures}, problem = ${seen.problem},
        next_poll_at = case when next_poll_at = ${dueAt}::text::timestamptz
          then tollgate_now() + ${`${Math.round(seen.nextMs)} ms`}::interval else next_poll_at end,
        followed_by = null, followed_until = null
      where team_id = ${teamId} and id = ${id} and fence = ${fence}::int8 and ended_at is null`;
  }

  /** Notes what was seen last of a job that this instance goes on to end. */
  async noteLast({ teamId, id, fence }: FollowedJob, progress: JobProgress): Promise<void> {
    await this.#sql`
      update jobs set progress = ${JSON.stringify(progress)}::text::jsonb
      where team_id = ${teamId} and id = ${id} and fence = ${fence}::int8 and ended_at is null`;
  }

  /** Ends a job whose event is in the ledger. Returns whether this did it. */
  async end(
    { teamId, id, fence }: FollowedJob,
    ended: { state: JobState; status: string | null; settledPicoUsd: bigint; problem: string | null },
  ): Promise<boolean> {
    const rows = await this.#sql<{ id: string }[]>`
      update jobs set state = ${ended.state}, upstream_status = ${ended.status},
        settled_usd = ${formatUsd(ended.settledPicoUsd)}::numeric, problem = ${ended.problem}, ended_at = tollgate_now(),
        followed_by = null, followed_until = null
      where team_id = ${teamId} and id = ${id} and fence = ${fence}::int8 and ended_at is null returning id`;
    return rows.length > 0;
  }

  /** Returns how the event of a job stands in the ledger; null: it is not there. */
  async eventOf(teamId: TeamId, id: EventId): Promise<{ outcome: OutcomeName; costUsd: string } | null> {
    const createdAt = new Date(momentOfUuidV7(id)).toISOString();
    const [row] = await this.#sql<{ outcome: OutcomeName; cost_usd: string }[]>`
      select outcome, cost_usd from usage_events
      where team_id = ${teamId} and created_at = ${createdAt}::timestamptz and id = ${id}`;
    return row === undefined ? null : { outcome: row.outcome, costUsd: row.cost_usd };
  }

  /** Of these jobs, returns those that go on. */
  async goingOn(ids: readonly string[]): Promise<Set<string>> {
    return await jobsGoingOn(this.#sql, ids);
  }
}

/**
 * Puts back a job that a journal has and the store may have forgotten. One that it knows stays as it is; of one that it had forgotten the
 * hold was charged meanwhile, and the instance that follows it corrects that.
 */
export async function putBackJob(sql: Sql, named: NamedJob, nextMs: number): Promise<void> {
  const store = new PostgresJobStore(sql);
  await store.add(named.job);
  await store.name(named, nextMs);
}

/** Of these ids, returns those of jobs that the upstream has named and whose end is not in the ledger. */
export async function jobsGoingOn(sql: Sql, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await sql<{ id: string }[]>`
    select id from jobs where id = any(${[...ids]}::text[]::uuid[]) and upstream_id is not null and ended_at is null`;
  return new Set(rows.map(({ id }) => id));
}

interface JobColumns {
  team_id: string;
  id: string;
  kind: JobKind;
  state: JobState;
  upstream: string | null;
  upstream_id: string | null;
  upstream_status: string | null;
  hold: unknown;
  terms: JobTerms;
  progress: JobProgress;
  failures: number;
  fence: string;
  due_at: string;
  created_at: Date;
}

function jobOf(row: JobColumns): FollowedJob {
  return {
    teamId: asId(row.team_id),
    id: asId(row.id),
    kind: row.kind,
    state: row.state,
    upstream: row.upstream,
    upstreamId: row.upstream_id,
    upstreamStatus: row.upstream_status,
    hold: storedJobHold.parse(row.hold),
    terms: row.terms,
    progress: row.progress,
    failures: row.failures,
    fence: row.fence,
    dueAt: row.due_at,
    createdAtMs: row.created_at.getTime(),
  };
}
