/**
 * What a limit does with a call instead of denying it: lets it wait, slows it down, or has it made with a cheaper model. Owns: which of
 * these becomes of a call. Does not own: rules, prices and money. Invariant: what goes on is estimated and held like any other call.
 */
import type { Denial } from '../admission/decide.ts';
import type { LeasedPool } from '../admission/leases.ts';
import { type Account, touches } from '../domain/budget.ts';
import { sourceIdOf } from '../domain/counter.ts';
import { ApiError, apiError } from '../domain/errors.ts';
import { smallestClaim } from '../domain/estimate.ts';
import type { Limit, OnExhausted } from '../domain/limit.ts';
import { takesStructuredOutput } from '../domain/structured-output.ts';
import { type ParsedRequest, readRequest, renderBody } from '../openai/request.ts';
import { INLINE_BYTES } from '../openai/scan.ts';
import { unknownField } from '../upstreams/profile.ts';
import { type Stopped, stoppedAs } from './call.ts';
import { shuttingDown } from './ending-error.ts';
import { findAccount } from './stages/authenticate.ts';
import { estimate } from './stages/estimate.ts';
import { type Parsed, whyNotAllowed } from './stages/parse.ts';
import type { Reserved } from './stages/reserve.ts';

type Admit = (parsed: Parsed) => Stopped | Promise<Reserved | Stopped>;
type Rule<Action> = Extract<OnExhausted, { action: Action }>;

/** Admits a call of an account of which some limit does something else than to deny. */
export async function orInstead(parsed: Parsed, admit: Admit): Promise<Reserved | Stopped> {
  const refused = await atItsPace(parsed, admit);
  const limit = limitOf(refused);
  if (refused.kind === 'reserved' || limit === null) return refused;
  const { onExhausted: rule } = limit;
  if (rule?.action === 'wait') return (await afterWait(parsed, refused, limit, rule, admit)) ?? refused;
  if (rule?.action === 'cheaper_model') return withCheaperModel(parsed, refused, limit, rule, admit);
  return refused;
}

/** Admits a call when it is its turn, as limits that slow calls down say. */
async function atItsPace(parsed: Parsed, admit: Admit): Promise<Reserved | Stopped> {
  const { call, request, via } = parsed;
  try {
    const slow = request.operation.billable ? await slowedDown(parsed) : null;
    return slow ?? (await admit(parsed));
  } finally {
    via.patience.heard(call);
  }
}

/** The limit that denied a call because its amount is used up or its rate reached; null: it was not denied for that. */
function limitOf(end: Reserved | Stopped): Limit | null {
  if (end.kind === 'reserved' || end.denial === undefined) return null;
  const { denial } = end;
  if ((denial.reason !== 'insufficient' && denial.reason !== 'rate_limit') || denial.counter === null)
    return null;
  const id = sourceIdOf(denial.counter.id);
  return end.account?.limits.find((limit) => limit.id === id) ?? null;
}

/** Null: too many wait already. */
function afterWait(
  parsed: Parsed,
  refused: Stopped,
  limit: Limit,
  { maxSeconds }: Rule<'wait'>,
  admit: Admit,
): Promise<Reserved | Stopped | null> {
  const { call, account, request, via } = parsed;
  const startedMs = via.clock.monotonicMs();
  const wait = async () => {
    let last: Stopped = refused;
    for (;;) {
      const waitedMs = via.clock.monotonicMs() - startedMs;
      const leftMs = maxSeconds * 1000 - waitedMs;
      if (leftMs <= 0) return last;
      const mostMs = Math.min(leftMs, comesBackInMs(last.denial, via.clock.nowMs()));
      const left = await pause(parsed, mostMs, last.account);
      if (left !== null) return left;
      const seconds = secondsSince(startedMs, via.clock.monotonicMs());
      call.instead = { action: 'wait', limit_id: limit.id, seconds };
      const end = await admit(parsed);
      if (end.kind === 'reserved') return end;
      call.instead = null;
      if (limitOf(end)?.id !== limit.id) return end;
      last = end;
    }
  };
  return via.patience.during(account.principal.teamId, request.body.length, wait);
}

const secondsSince = (startedMs: number, nowMs: number) => Math.round((nowMs - startedMs) / 100) / 10;

/** Until the limit has a new window, or something of its rate comes back, in milliseconds. */
function comesBackInMs(denial: Denial | undefined, nowMs: number): number {
  if (denial?.reason === 'rate_limit') return denial.retryAfterMs;
  const endsAtMs = denial?.reason === 'insufficient' ? (denial.counter?.endsAtMs ?? null) : null;
  return endsAtMs === null ? Number.POSITIVE_INFINITY : Math.max(0, endsAtMs - nowMs);
}

/** How often a waiting call looks whether the rules have changed: a limit was raised, a grant made. */
const LOOK_MS = 250;

/**
 * Waits so long, or until the rules have changed that this account was read with, or the gateway stops: the call may pass elsewhere.
 * Null: it waits so long. Returns the end of a call that did not stay; null: it did.
 */
function pause(parsed: Parsed, mostMs: number, account: Account | null): Promise<Stopped | null> {
  const { call, via } = parsed;
  const { keys, clock, patience } = via;
  let { generation } = keys;
  const untilMs = clock.monotonicMs() + mostMs;
  call.hasPaused = true;
  // Changes of other teams let none of this one pass.
  const hasChanged = () => {
    if (account === null || keys.generation === generation) return false;
    generation = keys.generation;
    return findAccount(via, call) !== account;
  };
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const end = (stays: boolean) => {
      clearTimeout(timer);
      call.unwatch();
      resolve(stays ? null : stoppedAs(parsed, call.clientGone ? null : shuttingDown()));
    };
    const look = () => {
      const leftMs = untilMs - clock.monotonicMs();
      if (account !== null && patience.isOver) end(false);
      else if (leftMs <= 0 || hasChanged()) end(true);
      else timer = setTimeout(look, Math.min(leftMs, LOOK_MS));
    };
    call.watch(() => end(false));
    if (call.clientGone || call.isCut) end(false);
    else look();
  });
}

/** A call waits at most so long for its turn. */
const TURN_MS = 10_000;

/** Waits for the call's turn where a limit slows it down. Returns why it cannot go on; null: it can. */
async function slowedDown(parsed: Parsed): Promise<Stopped | null> {
  const { account, call, callKind, via } = parsed;
  for (const limit of account.limits) {
    const { onExhausted: rule } = limit;
    if (rule?.action !== 'slow_down' || !touches(limit, callKind)) continue;
    // Each instance lets its part of the rate through.
    const intervalMs = (60_000 * via.ledger.leases.instances) / rule.callsPerMinute;
    const startedMs = via.clock.monotonicMs();
    if (mustHear(parsed, limit)) {
      const heard = await whileWaiting(parsed, () => afterFirst(parsed, limit));
      if (heard === null) return stoppedAs(parsed, tooFast(limit, rule, intervalMs));
      if (heard.end !== null) return heard.end;
    }
    const pool = poolOf(parsed, limit);
    if (pool === null || !isUsed(pool, rule.fromPercent)) continue;
    const turnMs = via.patience.paces.take(pool.key, intervalMs, via.clock.monotonicMs(), TURN_MS);
    if (turnMs === 0) continue;
    const left = turnMs === null ? null : await whileWaiting(parsed, () => pause(parsed, turnMs, null));
    if (left === null) return stoppedAs(parsed, tooFast(limit, rule, intervalMs));
    if (left.end !== null) return left.end;
    const seconds = secondsSince(startedMs, via.clock.monotonicMs());
    call.instead = { action: 'slow_down', limit_id: limit.id, seconds };
  }
  return null;
}

/** Waits where there is room for one more call of the team; null: there is none. */
function whileWaiting(
  { account, request, via }: Parsed,
  wait: () => Promise<Stopped | null>,
): Promise<{ end: Stopped | null } | null> {
  const { teamId } = account.principal;
  return via.patience.during(teamId, request.body.length, async () => ({ end: await wait() }));
}

/** The pool of a limit that touches the call, at this moment. */
function poolOf({ account, callKind, via }: Parsed, limit: Limit): LeasedPool | null {
  const { pools } = via.ledger.leases.poolsOf(account, callKind, via.clock.nowMs());
  return pools.find(({ id }) => sourceIdOf(id) === limit.id) ?? null;
}

/** How often a call looks whether another one has heard of a budget. */
const HEARD_LOOK_MS = 10;

/** Returns the end of a call that did not stay until the first one had heard of the limit's budget; null: it did, or waited long enough. */
async function afterFirst(parsed: Parsed, limit: Limit): Promise<Stopped | null> {
  const { clock } = parsed.via;
  const untilMs = clock.monotonicMs() + TURN_MS;
  let end: Stopped | null = null;
  while (end === null && mustHear(parsed, limit) && clock.monotonicMs() < untilMs)
    end = await pause(parsed, HEARD_LOOK_MS, null);
  return end;
}

/**
 * Of a budget that this instance has not heard of it does not know what others have spent: the first call asks Postgres for it with its
 * hold, and those that come meanwhile must wait for the reply, or a burst would go through at full speed. Returns whether this one must.
 */
function mustHear(parsed: Parsed, limit: Limit): boolean {
  const pool = poolOf(parsed, limit);
  if (pool === null || pool.leases.every(({ state }) => state !== null)) return false;
  return !parsed.via.patience.beFirst(pool.key, parsed.call);
}

/** Whether so much of a budget is spent, as far as this instance knows. */
function isUsed({ amount, left }: LeasedPool, percent: number): boolean {
  return (amount - left) * 100n >= amount * BigInt(percent);
}

function tooFast(
  { id, name }: Limit,
  { callsPerMinute, fromPercent }: Rule<'slow_down'>,
  intervalMs: number,
): ApiError {
  const message =
    `The limit${name === null ? '' : ` ${JSON.stringify(name)}`} has used ${fromPercent} percent of its amount, and lets ` +
    `${callsPerMinute} calls a minute through from there on.`;
  return apiError('rate_limit_exceeded', message, {
    retryAfterMs: Math.round(Math.min(20_000, Math.max(1_000, intervalMs)) + Math.random() * 1_000),
    details: { limit_id: id, limit_type: 'limit', ...(name === null ? {} : { limit_name: name }) },
  });
}

/** Tries the models in their order. A call that can be made with none of them is denied as it was. */
async function withCheaperModel(
  parsed: Parsed,
  refused: Stopped,
  limit: Limit,
  { models }: Rule<'cheaper_model'>,
  admit: Admit,
): Promise<Reserved | Stopped> {
  const { call, request } = parsed;
  const { model } = request.operation;
  if (model === null || !mayChangeModel(request)) return refused;
  const isStructured = hasStructuredOutput(request.body);
  for (const name of models) {
    if (isStructured && !takesStructuredOutput(name)) continue;
    const other = asModel(parsed, refused, name);
    if (other === null || !isCheaper(other, parsed)) continue;
    // It stands in a header, and in a text of Postgres.
    const instead_of = encodeURI(model.toWellFormed());
    call.instead = { action: 'cheaper_model', limit_id: limit.id, instead_of };
    const end = await admit(other);
    if (end.kind === 'reserved' || end.error === null) return end;
  }
  call.instead = null;
  return refused;
}

/**
 * Only a plain call for text: what continues a stored response or conversation stays with its model, and so does what asks for a
 * fine-tuned one; tools of the upstream, documents and audio are not what every model takes.
 */
function mayChangeModel({
  descriptor,
  operation,
  objects,
  form,
  modelFromPath,
  body,
}: ParsedRequest): boolean {
  const { model, beyondText: beyond, hosted, kept, job } = operation;
  if (!descriptor.takesOtherModels) return false;
  if (modelFromPath || form !== null || objects !== null || body.length > INLINE_BYTES) return false;
  if (model?.startsWith('ft:') || hosted !== null || job !== undefined) return false;
  if ((kept?.conversation ?? null) !== null || (kept?.recalled ?? null) !== null) return false;
  if (operation.otherBounds) return false;
  return (
    beyond === null ||
    (beyond.references === null &&
      beyond.windowParam === null &&
      !beyond.hasFiles &&
      beyond.audioTokens === 0)
  );
}

/** Whether the answer, or the arguments of a tool, must follow a schema. */
function hasStructuredOutput(body: Buffer): boolean {
  const { response_format, text, tools } = JSON.parse(body.toString()) as {
    response_format?: { type?: unknown } | null;
    text?: { format?: { type?: unknown } | null } | null;
    tools?: ({ strict?: unknown; function?: { strict?: unknown } | null } | null)[] | null;
  };
  if (response_format?.type === 'json_schema' || text?.format?.type === 'json_schema') return true;
  return tools?.some((tool) => tool?.strict === true || tool?.function?.strict === true) ?? false;
}

/** The same call for another model, as if its client had asked for that; null: it may not, or cannot, be made with it. */
function asModel(parsed: Parsed, { account }: Stopped, model: string): Parsed | null {
  const { request, callKind, via } = parsed;
  const { descriptor, path } = request;
  const body = renderBody(request, { model });
  const bytes = Buffer.isBuffer(body) ? body : Buffer.concat(body);
  const route = { descriptor, path, model: null, objects: null };
  const read = readRequest(route, bytes, via.bodyBounds, null, request.inputParts === null ? 'none' : 'all');
  if (read instanceof ApiError || account === null) return null;
  if (whyNotAllowed(account, read, { ...callKind, model }) !== null) return null;
  const chosen = via.upstreams === null ? via : via.upstreams.choose(read, account.principal, []);
  if (chosen instanceof ApiError) return null;
  if (read.fieldNames !== null && unknownField(chosen.profile, descriptor, read.fieldNames) !== null)
    return null;
  return { ...parsed, request: read, callKind: { ...callKind, model }, via: chosen, tried: [], attempt: 1 };
}

/** Whether a call may cost less than another, at least. Of a model that sees no images it must have none. */
function isCheaper(call: Parsed, than: Parsed): boolean {
  const [mine, others] = [estimate(call.via, call), estimate(than.via, than)];
  if (mine.kind === 'stopped' || others.kind === 'stopped') return false;
  const images = call.request.operation.beyondText?.images.length ?? 0;
  if (images > 0 && (mine.card?.limits.imageRule ?? null) === null) return false;
  return smallestClaim(mine.estimate).cost < smallestClaim(others.estimate).cost;
}
