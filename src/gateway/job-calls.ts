/**
 * Calls that go on after their response. Owns: that their hold and their row are in Postgres before the upstream is asked, and
 * that what the upstream names is theirs before its id leaves. Does not own: what they cost (job-estimate.ts), how they end
 * (jobs/follow-jobs.ts). Invariant: a job that may run is held, by its maker's journal and by a row that outlives it.
 */
import type { EventId, TeamId } from '../domain/ids.ts';
import { asId } from '../domain/ids.ts';
import type { JobKind } from '../domain/job.ts';
import type { PlannedJob } from '../domain/job-terms.ts';
import type { Hold } from '../ledger/events.ts';
import { jobHoldOf } from '../ledger/job-holds.ts';
import { isObject, type JsonObject, parseJson } from '../openai/body.ts';
import type { NewJob, StoredJobHold } from '../store/hot/jobs.ts';
import { RESPONSE_MS } from '../store/hot/objects.ts';
import { respond, stopped, type UpstreamResponse, warningOf, writeError } from './call.ts';
import { beginSessions } from './containers.ts';
import { ledgerUnavailable } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import { HeldBack } from './held-back.ts';
import { begunAs, keep, keepBegun } from './keep.ts';
import { forward } from './stages/forward.ts';
import { record, recordStopped } from './stages/record.ts';
import type { Reserved } from './stages/reserve.ts';
import { settle } from './stages/settle.ts';
import { recordMade } from './tenancy.ts';

/** How soon a new job is first looked at. */
const FIRST_LOOK_MS = 1000;

/** From the journaled hold of a job to its first response; its end is another's. */
export async function serveJob(deps: GatewayDeps, reserved: Reserved, job: PlannedJob): Promise<void> {
  const { hold, call, account, callKind, descriptor } = reserved;
  const { teamId } = account.principal;
  const id = asId<EventId>(hold.id);
  try {
    const row = rowOf(deps, reserved, job);
    if (!(await isDurable(deps, hold, row))) {
      deps.ledger.end(hold, NOT_ASKED);
      const error = ledgerUnavailable();
      writeError(call, error, hold.id, warningOf(deps, account, callKind));
      recordStopped(deps, stopped(call, error, descriptor.name, account, callKind.endUser));
      return;
    }
    const streamed = job.terms.kind === 'response' ? new StreamedJob(deps, reserved, row) : null;
    const forwarded = await forward(deps, reserved, streamed?.heldBack ?? null);
    if (streamed?.error) throw streamed.error;
    const named = streamed?.named ?? namedIn(forwarded.response, job.terms.kind);
    if (named !== null) {
      if (streamed === null || streamed.named === null) await takeOver(deps, reserved, row, named);
      else if (forwarded.response.stream?.isWhole) lookSoon(deps, teamId, named);
      call.ended('settle');
      respond(deps, reserved, forwarded.response, { outcome: 'settled', provenance: 'reported', cost: 0n });
      return;
    }
    const sessions = reserved.containers === null ? 0 : await beginSessions(deps, forwarded);
    const settled = settle(deps, forwarded, sessions);
    try {
      respond(deps, reserved, settled.response, settled.outcome);
    } finally {
      record(deps, settled);
    }
    if (settled.outcome.outcome !== 'unknown') await deps.jobs.drop(teamId, id);
  } catch (error) {
    deps.ledger.abandon(hold, 'internal_error');
    throw error;
  }
}

/** What the upstream calls a job. */
interface Named {
  readonly kind: JobKind;
  readonly id: string;
  readonly status: string | null;
  readonly json: JsonObject;
}

/** A response in the background whose client wants its events: it is a job before the first of them is passed on. */
class StreamedJob {
  /** Null: it is no job, or not yet. */
  named: Named | null = null;
  /** Why it could not be taken over; null: nothing failed. */
  error: unknown = null;
  readonly heldBack: HeldBack;

  constructor(deps: GatewayDeps, reserved: Reserved, row: NewJob) {
    this.heldBack = new HeldBack(async (json) => {
      const { id, status, background } = json;
      if (typeof id !== 'string') return 'call';
      try {
        // A server that does not know such responses works on them while their stream lasts.
        if (background !== true && status !== 'queued') {
          keepBegun(deps, reserved, begunAs(id));
          return 'call';
        }
        const named = { kind: 'response', id, status: statusIn(json), json } as const;
        await takeOver(deps, reserved, row, named);
        this.named = named;
        return 'job';
      } catch (error) {
        this.error = error;
        return 'failed';
      }
    });
  }
}

/** The job and what it makes are its team's, and any instance ends it from here on. */
async function takeOver(deps: GatewayDeps, reserved: Reserved, row: NewJob, named: Named): Promise<void> {
  const known = { job: row, upstreamId: named.id, status: named.status };
  await deps.jobs.name(known, FIRST_LOOK_MS);
  if (named.kind === 'response') await recordResponse(deps, reserved, named);
  else await recordMade(deps, reserved, named.json);
  deps.ledger.jobs.handOver(reserved.hold, known);
}

/** Its stream has ended, and so has its work. */
function lookSoon({ jobs, log }: GatewayDeps, teamId: TeamId, { kind, id }: Named): void {
  jobs.lookSoon(teamId, kind, id).catch((error: unknown) => {
    log.logger.warn({ err: error }, 'a job that has ended is looked at later');
  });
}

const NOT_ASKED = {
  outcome: 'voided',
  provenance: 'reported',
  reason: 'ledger_unavailable',
  upstreamStatus: null,
  upstreamRequestId: null,
  responseModel: null,
  serviceTier: null,
  usage: null,
  cost: 0n,
  priceId: null,
} as const;

/** Returns whether Postgres has the job and its hold. */
async function isDurable({ jobs, ledger, log }: GatewayDeps, hold: Hold, row: NewJob): Promise<boolean> {
  try {
    await Promise.all([jobs.add(row), ledger.jobs.persist(hold)]);
    return true;
  } catch (error) {
    log.logger.warn({ err: error, job: row.kind }, 'the hold of a job could not be kept');
    return false;
  }
}

function rowOf({ target }: GatewayDeps, { hold, account }: Reserved, { terms, model }: PlannedJob): NewJob {
  const { teamId, keyId } = account.principal;
  const id = asId<EventId>(hold.id);
  const held = { heldPicoUsd: hold.amount, hold: storedHold(hold) };
  return { teamId, id, keyId, kind: terms.kind, upstream: target?.name ?? null, model, ...held, terms };
}

function storedHold(hold: Hold): StoredJobHold {
  const { facts, factsJson, held } = jobHoldOf(hold);
  const { cost, input_tokens, output_tokens } = held.claim;
  let at = 0;
  const pools = held.pools.map(({ meter, leases }) => ({
    meter,
    counters: leases.map(({ spec }) => ({ id: spec.id, held: String(held.amounts[at++] ?? 0n) })),
  }));
  return {
    facts: { ...facts, tags: facts.tags ?? null },
    factsJson,
    claim: { cost: String(cost), input_tokens, output_tokens },
    pools,
  };
}

/** Returns what the upstream calls the job; null: it did not make one, did not say, or has done it already. */
function namedIn({ ending, status, readable }: UpstreamResponse, kind: JobKind): Named | null {
  if (ending !== 'complete' || status >= 300 || readable === null) return null;
  const json = parseJson(readable.toString());
  if (!isObject(json) || typeof json.id !== 'string') return null;
  const stands = statusIn(json);
  if (kind === 'response' && stands !== 'queued' && stands !== 'in_progress') return null;
  return { kind, id: json.id, status: stands, json };
}

function statusIn({ status }: JsonObject): string | null {
  return typeof status === 'string' ? status : null;
}

/** Records a response that goes on: it weighs what it holds. */
async function recordResponse(deps: GatewayDeps, reserved: Reserved, { id }: { id: string }): Promise<void> {
  const kept = keep(deps, reserved, begunAs(id), { outcome: 'unknown', usage: null, responseModel: null });
  const object = kept === null ? undefined : parseJson(kept);
  const nowMs = deps.clock.nowMs();
  await deps.objects.store.addObject(reserved.account.principal.teamId, {
    ...{ kind: 'response', id, createdMs: nowMs, expiresMs: nowMs + RESPONSE_MS },
    weight: isObject(object) && isObject(object.response) ? object.response : {},
    upstream: deps.target?.name ?? null,
  });
}
