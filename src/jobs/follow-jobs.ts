/**
 * The job `follow-jobs`: asks the upstream how jobs stand, and settles those that are over. Owns: when each is asked about, backoff, the
 * end of what runs longer than it is held for. Does not own: what an end costs (job-ends.ts), who follows a job (store/hot/jobs.ts), that it
 * ends once (ledger/job-holds.ts). Invariants: a job is noted as ended only when its event is in Postgres; whatever fails,
 * another try, here or on another instance, does the same.
 */

import { usedContainers } from '../domain/hosted.ts';
import type { EventId, TeamId } from '../domain/ids.ts';
import { asId } from '../domain/ids.ts';
import { type HostedTerms, type JobEnd, priceOfTerm } from '../domain/job-terms.ts';
import type { KeptItem } from '../domain/kept.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { Outcome } from '../ledger/events.ts';
import type { JobHold, JobHolds } from '../ledger/job-holds.ts';
import type { JsonObject } from '../openai/body.ts';
import { isObject } from '../openai/body.ts';
import { LineSplitter } from '../planner/lines.ts';
import type { UsedContainer } from '../store/hot/containers.ts';
import type { DueJob, FollowedJob, JobProgress, NamedJob, NewJob } from '../store/hot/jobs.ts';
import type { NewObject } from '../store/hot/objects.ts';
import { NO_END_MS } from '../store/hot/objects.ts';
import type { UpstreamReader } from '../upstreams/read.ts';
import {
  BatchBill,
  batchEnd,
  evalRunEnd,
  fineTuningEnd,
  isOver,
  meterBackground,
  responseEnd,
  unknownEnd,
} from './job-ends.ts';

/** What this needs of the store of jobs. */
export interface FollowStore {
  due(most: number): Promise<DueJob[]>;
  follow(job: DueJob, instanceId: string, forMs: number): Promise<FollowedJob | null>;
  note(job: FollowedJob, seen: Noted): Promise<void>;
  noteLast(job: FollowedJob, progress: JobProgress): Promise<void>;
  end(
    job: FollowedJob,
    ended: {
      state: JobEnd['outcome'];
      status: string | null;
      settledPicoUsd: bigint;
      problem: string | null;
    },
  ): Promise<boolean>;
  eventOf(teamId: TeamId, id: EventId): Promise<{ outcome: JobEnd['outcome']; costUsd: string } | null>;
  goingOn(ids: readonly string[]): Promise<Set<string>>;
  add(job: NewJob): Promise<void>;
  name(named: NamedJob, nextMs: number): Promise<void>;
}

interface Noted {
  status: string | null;
  progress: JobProgress;
  forecastPicoUsd: bigint | null;
  failures: number;
  problem: string | null;
  nextMs: number;
}

export interface FollowOptions {
  instanceId: string;
  store: FollowStore;
  ledger: { jobs: JobHolds; flusher: { drain(): Promise<void> } };
  /** Returns what asks an upstream; null: it is not in use any more. @param name null: the only one */
  readerOf(upstream: string | null): UpstreamReader | null;
  addObject(teamId: TeamId, object: NewObject): Promise<void>;
  /** Notes what a response of a team holds. */
  noteItems(teamId: TeamId, responseId: string, items: readonly KeptItem[]): Promise<void>;
  /** Begins sessions of containers that a job used; returns those that began, in GiB, or null where that is not known. */
  beginSessions(
    teamId: TeamId,
    used: readonly UsedContainer[],
    atMs: number,
    callId: string,
  ): Promise<number | null>;
  /** Charges what is known now where the ledger has the job at its hold already. */
  correct(id: EventId, end: JobEnd): Promise<void>;
  intervalMs: number;
  /** Postgres's clock. */
  nowMs(): number;
  onEnd(job: FollowedJob, end: JobEnd): void;
  onError(error: unknown, id: string): void;
}

/** By then who follows a job is taken for dead. If it is not, both do the same. */
const FOLLOWED_MS_LEAST = 5000;
/** Jobs that one run asks about, and at the same time. */
const JOBS_MAX = 100;
const AT_ONCE = 4;
const BACKOFF_MS_MAX = 300_000;
/** So often the upstream says that it knows no such job before that is believed. */
const UNKNOWN_AFTER = 20;
/** A finished line of a batch holds a whole response. */
const LINE_BYTES_MAX = 16 * 1024 * 1024;
/** What ending a job takes beside one interval, in seconds. */
const CANCEL_SECONDS = 30;
const PATHS = { fine_tuning: '/fine_tuning/jobs', batch: '/batches', response: '/responses' } as const;

/** Where a job stands upstream. */
function pathOf({ terms, upstreamId }: Pick<FollowedJob, 'terms' | 'upstreamId'>): string {
  const root =
    terms.kind === 'eval_run' ? `/evals/${encodeURIComponent(terms.evalId)}/runs` : PATHS[terms.kind];
  return `${root}/${encodeURIComponent(upstreamId ?? '')}`;
}

/** Asks about all jobs that are due. */
export async function followJobs(options: FollowOptions, signal: AbortSignal): Promise<void> {
  await remember(options);
  const { store, instanceId, intervalMs } = options;
  const left = (await store.due(JOBS_MAX)).values();
  const forMs = Math.max(FOLLOWED_MS_LEAST, 2 * intervalMs);
  const work = async () => {
    for (const job of left) {
      if (signal.aborted) return;
      try {
        const followed = await store.follow(job, instanceId, forMs);
        if (followed !== null) await followJob(options, followed);
      } catch (error) {
        // Its lease runs out, and it is asked about again.
        options.onError(error, job.id);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** Jobs that began here: those that ended elsewhere are forgotten, and those that the store has forgotten are put back. */
async function remember({ store, ledger, intervalMs }: FollowOptions): Promise<void> {
  const { handedOver } = ledger.jobs;
  if (handedOver.size === 0) return;
  const goingOn = await store.goingOn([...handedOver.keys()]);
  for (const [id, { teamId, job }] of handedOver) {
    if (goingOn.has(id) || job === null) continue;
    if ((await store.eventOf(teamId, asId(id))) !== null) ledger.jobs.forget(id);
    else {
      await store.add(job.job);
      await store.name(job, intervalMs);
    }
  }
}

async function followJob(options: FollowOptions, job: FollowedJob): Promise<void> {
  const { store, intervalMs } = options;
  const reader = options.readerOf(job.upstream);
  const { upstreamId, failures, progress } = job;
  const event = await store.eventOf(job.teamId, job.id);
  if (event !== null && (event.outcome !== 'unknown' || upstreamId === null)) {
    await noteEnd(options, job, job.upstreamStatus);
    return;
  }
  const again = (problem: string | null, failed = 1) =>
    store.note(job, {
      ...{ status: job.upstreamStatus, progress, forecastPicoUsd: null, problem },
      failures: failures + failed,
      nextMs: Math.min(BACKOFF_MS_MAX, intervalMs * 2 ** Math.min(failures + failed, 10)),
    });
  // Its maker still waits for the upstream, or its journal is adopted by and by.
  if (upstreamId === null) return again('the upstream has not named it yet', 0);
  if (reader === null) return again('its upstream is not in use any more');
  const { status, json } = await reader.ask('GET', pathOf(job));
  if (status === 404 && failures >= UNKNOWN_AFTER) {
    await settle(options, job, 'not_found', unknownEnd(heldOf(job), 'upstream_error'), event !== null);
    return;
  }
  if (status !== 200 || json === null)
    return again(status === 0 ? 'the upstream did not reply' : `the upstream replied ${status}`);
  const stands = typeof json.status === 'string' ? json.status : null;
  if (!isOver(json)) {
    const seen = await watch(options, reader, job, json);
    await store.note(job, { status: stands, ...seen, failures: 0, problem: null, nextMs: intervalMs });
    return;
  }
  const end = await endOf(options, reader, job, json);
  if (end === null) return again('its files could not be read');
  await settle(options, job, stands, end, event !== null);
}

function heldOf({ hold }: FollowedJob): bigint {
  return BigInt(hold.claim.cost);
}

/** How far a job is. One that has run as long as it is held for is ended. */
async function watch(
  { nowMs, intervalMs }: FollowOptions,
  reader: UpstreamReader,
  job: FollowedJob,
  json: JsonObject,
): Promise<{ progress: JobProgress; forecastPicoUsd: bigint | null }> {
  const { terms, progress: before, hold } = job;
  const now = nowMs();
  const isRunning = json.status === 'running' || json.status === 'in_progress';
  const progress: JobProgress = { ...before };
  if (isRunning) {
    progress.hasRun = true;
    progress.startedBeforeMs ??= now;
  } else if (progress.hasRun !== true) progress.startedAfterMs = now;
  const counts = json.request_counts;
  if (isObject(counts)) {
    progress.done = numberOf(counts.completed) + numberOf(counts.failed);
    progress.total = numberOf(counts.total);
  }
  const graded = json.result_counts;
  if (terms.kind === 'eval_run' && isObject(graded)) {
    progress.done = numberOf(graded.passed) + numberOf(graded.failed) + numberOf(graded.errored);
    progress.total = terms.items;
  }
  const held = BigInt(hold.claim.cost);
  const forecast = forecastOf(held, counts);
  if (terms.kind !== 'fine_tuning' || terms.secondsMax === null || !isRunning)
    return { progress, forecastPicoUsd: forecast };
  const ranSeconds = (now - (progress.startedAfterMs ?? progress.startedBeforeMs ?? now)) / 1000;
  if (
    ranSeconds + (2 * intervalMs) / 1000 + Math.min(CANCEL_SECONDS, terms.secondsMax / 10) >=
    terms.secondsMax
  ) {
    progress.cancelledFor = 'max_hours';
    await reader.ask('POST', `${pathOf(job)}/cancel`);
  }
  return { progress, forecastPicoUsd: forecast };
}

/** Lines that failed cost nothing. */
function forecastOf(held: bigint, counts: unknown): bigint {
  if (!isObject(counts as JsonObject)) return held;
  const { total, failed } = counts as JsonObject;
  const all = numberOf(total);
  return all === 0 ? held : (held * BigInt(all - Math.min(all, numberOf(failed)))) / BigInt(all);
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/** Returns how a job ended; null: what it made could not be read now. */
async function endOf(
  options: FollowOptions,
  reader: UpstreamReader,
  job: FollowedJob,
  json: JsonObject,
): Promise<JobEnd | null> {
  const { terms } = job;
  const held = heldOf(job);
  if (terms.kind === 'fine_tuning') {
    const seconds = terms.secondsMax === null ? null : await secondsOf(reader, job, json);
    return fineTuningEnd(json, terms, held, job.progress, seconds);
  }
  if (terms.kind === 'eval_run') return evalRunEnd(json, terms, held);
  const prices = new Map(Object.entries(terms.prices).map(([name, term]) => [name, priceOfTerm(term)]));
  if (terms.kind === 'response') {
    const metered = meterBackground(json);
    const items = metered.kept?.items ?? [];
    if (items.length > 0) await options.noteItems(job.teamId, job.upstreamId ?? '', items);
    const sessions = await sessionsOf(options, job, terms.hosted, metered.hosted?.containers ?? [], json);
    return responseEnd(metered, terms, held, prices, sessions);
  }
  const bill = new BatchBill(prices);
  if (typeof json.output_file_id === 'string' && json.output_file_id !== '') {
    const lines = new LineSplitter((line) => bill.add(line), LINE_BYTES_MAX);
    if (!(await reader.file(json.output_file_id, (piece) => lines.push(piece)))) return null;
    lines.end();
  }
  const [only, another] = prices.values();
  return batchEnd(json, bill, held, another === undefined ? (only?.id ?? null) : null);
}

/**
 * Returns the sessions of containers that a response began, counted by their GiB; null: it is not known. They began with it at the
 * earliest, however late it is asked about.
 */
async function sessionsOf(
  { beginSessions, nowMs }: FollowOptions,
  { teamId, id, upstream }: FollowedJob,
  hosted: HostedTerms | undefined,
  used: readonly string[],
  { created_at: createdAt }: JsonObject,
): Promise<number | null> {
  if (used.length === 0) return 0;
  if (hosted === undefined) return null;
  const atMs = numberOf(createdAt) * 1000 || nowMs();
  const all = usedContainers(used, hosted.containers).map((each) => ({ ...each, upstream }));
  return await beginSessions(teamId, all, atMs, id);
}

/** How long the loop of a job ran, by its events, else by when it was seen at work; null: it never was. */
async function secondsOf(reader: UpstreamReader, job: FollowedJob, json: JsonObject): Promise<number | null> {
  const { progress } = job;
  const endS = numberOf(json.finished_at);
  const path = `${pathOf(job)}/events?limit=100`;
  const { json: list } = await reader.ask('GET', path);
  const events = Array.isArray(list?.data) ? list.data.filter(isObject) : [];
  const began = events.find(({ message }) => /\bstarted\b/i.test(String(message)))?.created_at;
  const beganS =
    numberOf(began) || Math.floor((progress.startedAfterMs ?? progress.startedBeforeMs ?? 0) / 1000);
  if (endS === 0 || beganS === 0) return null;
  return Math.max(0, endS - beganS);
}

/** Records what the job made, brings its event into the ledger, and only then notes its end. */
async function settle(
  options: FollowOptions,
  job: FollowedJob,
  status: string | null,
  end: JobEnd,
  isBooked: boolean,
): Promise<void> {
  const { ledger, store, addObject, correct, nowMs } = options;
  const { models } = end;
  if (models !== undefined) await store.noteLast(job, { ...job.progress, models });
  for (const { kind, id } of end.made) {
    const object = { kind, id, createdMs: nowMs(), expiresMs: NO_END_MS, weight: {}, upstream: job.upstream };
    await addObject(job.teamId, object);
  }
  if (isBooked) await correct(job.id, end);
  else ledger.jobs.settle(holdOf(job), outcomeOf(end));
  await ledger.flusher.drain();
  // What was corrected stands in the ledger as it was booked, and beside it what the job cost.
  const known = isBooked ? { outcome: end.outcome, cost: end.cost } : null;
  if (await noteEnd(options, job, status, known)) options.onEnd(job, end);
}

/** Notes that the event of a job is in the ledger. Returns whether this instance was the one that did. */
async function noteEnd(
  { store, ledger }: FollowOptions,
  job: FollowedJob,
  status: string | null,
  corrected: Pick<JobEnd, 'outcome' | 'cost'> | null = null,
): Promise<boolean> {
  const event = await store.eventOf(job.teamId, job.id);
  if (event === null) throw new Error('the event of a job is not in the ledger');
  const { outcome: state, cost: settledPicoUsd } = corrected ?? {
    outcome: event.outcome,
    cost: usd(event.costUsd),
  };
  const isFirst = await store.end(job, { state, status, settledPicoUsd, problem: null });
  ledger.jobs.forget(job.id);
  return isFirst;
}

function holdOf({ hold, createdAtMs }: FollowedJob): JobHold {
  const { facts, factsJson, claim, pools } = hold;
  const { cost, ...tokens } = claim;
  return {
    facts: { ...facts, teamId: asId(facts.teamId), keyId: asId(facts.keyId) },
    factsJson,
    atMs: createdAtMs,
    held: {
      pools: pools.map(({ meter, counters }) => ({
        meter,
        leases: counters.map(({ id }) => ({ spec: { id: asId(id) } })),
      })),
      amounts: pools.flatMap(({ counters }) => counters.map(({ held }) => BigInt(held))),
      claim: { cost: BigInt(cost), ...tokens },
    },
  };
}

function outcomeOf({ made: _made, models: _models, ...end }: JobEnd): Outcome {
  return { ...end, upstreamStatus: 200, upstreamRequestId: null };
}

/** For the log. */
export function jobFields({ id, teamId, kind, upstreamId }: FollowedJob, { outcome, cost }: JobEnd) {
  return { event: id, team: teamId, kind, job: upstreamId, outcome, cost_usd: formatUsd(cost) };
}
