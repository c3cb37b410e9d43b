/**
 * Fail-over: whether a call that cost nothing is sent to another upstream, and what its end says of the one that it took;
 * and the one list that comes from all upstreams, that of models.
 * Does not own: which other one (upstreams/routing.ts). Invariant: a call is sent again only when the upstream before
 * surely billed nothing for it: it could not be reached, or said itself that it did no work.
 */
import { ApiError, apiError } from '../domain/errors.ts';
import { uuidV7 } from '../ledger/events.ts';
import type { JsonObject } from '../openai/body.ts';
import type { KeptAt } from '../store/hot/objects.ts';
import { listModels, modelsOf } from '../upstreams/probe.ts';
import type { Target } from '../upstreams/target.ts';
import { type Stopped, stoppedAs, type UpstreamHeaders, type UpstreamResponse } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { lookAgain, type Remembered } from './objects.ts';
import { nameOf as referenceName } from './recall.ts';
import type { Forwarded } from './stages/forward.ts';
import type { Parsed } from './stages/parse.ts';
import type { Reserved } from './stages/reserve.ts';
import type { Settled } from './stages/settle.ts';

/** How long an upstream is left alone that is at its rate limit and does not say for how long. */
const REST_MS = 1_000;

/** Returns the call as another upstream may try it; null: its client gets what came. */
export function elsewhere(
  { upstreams }: GatewayDeps,
  { again, call }: Reserved,
  { outcome, response }: Settled,
): Parsed | null {
  if (upstreams === null || again === null || again.via.target === null) return null;
  if (outcome.outcome !== 'voided' || call.clientGone || call.isCut || !isOfUpstream(response)) return null;
  const { name, health } = again.via.target;
  const tried = [...again.tried, name];
  const via = upstreams.choose(again.request, again.account.principal, tried);
  if (via instanceof ApiError) return null;
  health.totalsOf(again.account.principal.teamId).movedOn++;
  return { ...again, via, tried, attempt: again.attempt + 1 };
}

/** Returns a call of which nothing was sent, for another upstream; null: there is none. */
export function atAnotherUpstream(parsed: Parsed): Parsed | null {
  const { via, request, account } = parsed;
  if (via.upstreams === null || via.target === null || namesKept(request)) return null;
  const tried = [...parsed.tried, via.target.name];
  const other = via.upstreams.choose(request, account.principal, tried);
  return other instanceof ApiError ? null : { ...parsed, via: other, tried };
}

/** What another upstream may do better: not what the request itself has wrong. */
function isOfUpstream({ ending, status }: UpstreamResponse): boolean {
  if (ending === 'unreachable' || ending === 'busy') return true;
  if (ending !== 'complete') return false;
  return status >= 500 || status === 401 || status === 403 || status === 404 || status === 429;
}

/** Whether a request names anything that an upstream keeps. */
export function namesKept({ objects, operation }: Parsed['request']): boolean {
  return (
    objects !== null || (operation.beyondText?.references ?? null) !== null || isMadeUpstream(operation.model)
  );
}

/** A fine-tuned model is at the upstream that made it. */
function isMadeUpstream(model: string | null): model is string {
  return model?.startsWith('ft:') ?? false;
}

/**
 * Returns the call at the upstream that keeps what it names; as it was where that is not known here, so that it is refused
 * as such, and stopped where there is no such upstream any more. Rejects when Postgres is away.
 */
export async function atKeeper(deps: GatewayDeps, parsed: Parsed): Promise<Parsed | Stopped> {
  const { upstreams } = deps;
  const { request, account } = parsed;
  if (upstreams === null) return parsed;
  const { teamId } = account.principal;
  const names = namesOf(request);
  let keepers: KeptAt[] = names
    .flatMap((name) => deps.objects.memory.find(teamId, name) ?? [])
    .filter(isKept);
  if (keepers.length === 0) keepers = await deps.objects.store.findKeepers(teamId, names);
  if (keepers.length === 0 && mustBeKnown(request)) {
    // It may be an event that is on its way.
    await lookAgain(deps.ledger.flusher, async () => {
      keepers = await deps.objects.store.findKeepers(teamId, names);
      return keepers.length > 0;
    });
  }
  const [keeper, ...others] = new Set(keepers.map(({ upstream }) => upstream));
  if (keeper === undefined) return parsed;
  const lane = keeper === null ? upstreams.all[0] : upstreams.find(keeper);
  const isUsable = lane?.servesTeam(account.principal) ?? false;
  if (lane && isUsable && others.length === 0) return { ...parsed, via: lane.deps };
  const message =
    others.length > 0
      ? 'What the request names is kept by several upstreams, so that none has all of it.'
      : 'The upstream that keeps what the request names is not in use for this team any more.';
  return stoppedAs(parsed, apiError('not_found', message));
}

/** What is sent along need not be known: it only weighs more then. */
function mustBeKnown({ objects, operation }: Parsed['request']): boolean {
  const references = operation.beyondText?.references ?? [];
  return objects !== null || references.some(({ kind, isSent }) => kind !== 'sealed' && !isSent);
}

function isKept(found: Remembered): found is Remembered & KeptAt {
  return found.upstream !== undefined;
}

/** Everything of what an upstream keeps that a request names. */
function namesOf({ objects, operation }: Parsed['request']): string[] {
  const references = operation.beyondText?.references ?? [];
  const model = isMadeUpstream(operation.model) ? [operation.model] : [];
  return [...(objects ?? []).map(({ id }) => id), ...references.map(referenceName), ...model];
}

/** Takes how a call ended for the health of its upstream. @param nowMs on the monotonic clock */
export function noteEnd({ health }: Target, settled: Settled, nowMs: number): void {
  const { outcome, response, state, reserved } = settled;
  const { ending, status, headers } = response;
  const totals = health.totalsOf(reserved.account.principal.teamId);
  totals.calls[outcome.outcome]++;
  totals.cost += outcome.cost;
  // What the client or this gateway broke off says nothing of the upstream.
  if (ending === 'unsent' || ending === 'busy' || ending === 'abandoned' || ending === 'cut') return;
  if (status === 429) {
    health.rests(restOf(headers), nowMs);
    return;
  }
  const isBroken = ending !== 'complete' || state === 'failed' || outcome.outcome === 'unknown';
  if (isBroken || status >= 500 || status === 401 || status === 403) health.failed(nowMs);
  else if (status < 400) health.succeeded();
}

/** How long an upstream at its limit wants to be left alone, by its headers. */
function restOf(headers: UpstreamHeaders): number {
  const ms = Number(headers['retry-after-ms'] ?? Number.NaN);
  const seconds = Number(headers['retry-after'] ?? Number.NaN);
  const rest = Number.isFinite(ms) ? ms : seconds * 1000;
  return rest > 0 ? rest : REST_MS;
}

/**
 * Returns a list of models with those of the other upstreams that serve the team, by the names that clients call them by.
 * Which of them the key may use, and has a price for, is found after (tenancy.ts).
 */
export async function withOtherModels(deps: GatewayDeps, forwarded: Forwarded): Promise<Forwarded> {
  const { reserved, response } = forwarded;
  if (deps.upstreams === null || reserved.call.clientGone) return forwarded;
  const lanes = deps.upstreams.of(reserved.account.principal);
  const lists = await Promise.all(
    lanes.map(async (lane) => {
      if (lane.target === deps.target) return { lane, models: modelsOf(response.readable) };
      const { upstream, upstreamApiKey: apiKey, target, clock } = lane.deps;
      // One that does not respond would be waited for.
      if (upstream === null || lane.target.health.state === 'down') return { lane, models: [] };
      const path = target?.pathOf('/models', null);
      const makeId = () => uuidV7(clock.nowMs());
      return { lane, models: await listModels({ upstream, apiKey, headers: target?.headers, makeId, path }) };
    }),
  );
  const data = new Map<string, JsonObject>();
  for (const { lane, models } of lists) {
    const { modelNames } = lane.target;
    const named = new Map([...modelNames].map(([name, there]) => [there, name]));
    for (const model of models) {
      const id = named.get(model.id) ?? model.id;
      if (lane.serves(id) && !data.has(id)) data.set(id, { ...model, id });
    }
    // A deployment is not among the models that the upstream lists.
    for (const id of modelNames.keys())
      if (!data.has(id)) data.set(id, { id, object: 'model', created: 0, owned_by: lane.target.name });
  }
  if (data.size === 0) return forwarded;
  const body = Buffer.from(JSON.stringify({ object: 'list', data: [...data.values()] }));
  const headers = { 'content-type': 'application/json' };
  const union = { ...response, ending: 'complete', status: 200, headers, body, readable: body } as const;
  return { ...forwarded, response: union };
}
