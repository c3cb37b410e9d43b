/**
 * Tenants apart: which objects of the upstream a team may name, and which it is shown. Owns: the refusal of others' objects
 * before anything is sent, and that a new object is recorded before its id leaves. Does not own: what names an object
 * (openai/), the rows (store/hot/objects.ts), lists (lists.ts). Invariant: nothing of an object that is not recorded for a
 * team, or for every team, reaches that team.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { KeyId, TeamId } from '../domain/ids.ts';
import type { JobKind } from '../domain/job.ts';
import { historyOf, type KeptResponse, newConversation } from '../domain/kept.ts';
import type { NamedObject, RecordedKind } from '../domain/objects.ts';
import { includesModel } from '../domain/price.ts';
import type { Shutdown } from '../domain/shutdown.ts';
import { isStorable, storable } from '../domain/storable.ts';
import { isObject, type Json, type JsonObject, parseJson } from '../openai/body.ts';
import { memoryGib } from '../openai/hosted-tools.ts';
import { readPutItems } from '../openai/kept.ts';
import { withoutModels } from '../openai/response.ts';
import type { FileCount } from '../planner/file-count.ts';
import { SESSION_MS } from '../store/hot/containers.ts';
import { NO_END_MS, RESPONSE_MS } from '../store/hot/objects.ts';
import { modelsOf } from '../upstreams/probe.ts';
import { type Stopped, stoppedAs } from './call.ts';
import { errorResponse, ledgerUnavailable } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import { withOtherModels } from './fail-over.ts';
import { isForm } from './forms.ts';
import { forwardList } from './lists.ts';
import { lookAgain } from './objects.ts';
import { type Forwarded, forward } from './stages/forward.ts';
import type { Parsed } from './stages/parse.ts';
import type { Reserved } from './stages/reserve.ts';
import { forwardUpload } from './uploads.ts';

/** Recorded with the event of the call that made them: in the journal before its response, in Postgres a moment after it. */
const RECORDED_WITH_EVENT: ReadonlySet<string> = new Set([
  'response',
  'item',
  'stored_completion',
  'container',
]);

interface Ownership {
  readonly isShared: boolean;
  /** Of a container; null: it is none, or not known. */
  readonly memoryGib: number | null;
}

const OWN: Ownership = { isShared: false, memoryGib: null };

/** Stops a call that names an object which its team may not use. Returns null when it may use all of them. */
export async function refuseStrangers(deps: GatewayDeps, parsed: Parsed): Promise<Stopped | null> {
  const { teamId } = parsed.account.principal;
  const error = await whyNot(deps, teamId, parsed).catch((cause: unknown) => {
    deps.log.logger.warn({ err: cause }, 'whose an object is could not be looked up');
    return ledgerUnavailable();
  });
  return error === null ? null : stoppedAs(parsed, error);
}

async function whyNot(deps: GatewayDeps, teamId: TeamId, { request }: Parsed): Promise<ApiError | null> {
  const objects = request.objects ?? [];
  const { descriptor, operation } = request;
  // No object is called so: a look-up would fail, and for good.
  const unstorable = objects.find(({ id }) => !isStorable(id));
  if (unstorable !== undefined) return notKnown(unstorable);
  let known = await ownersOf(deps, teamId, objects);
  const isMissing = (object: NamedObject) => object.isSent !== true && !known.has(nameOf(object));
  if (objects.some((object) => isMissing(object) && RECORDED_WITH_EVENT.has(object.kind))) {
    // It may be an event that is on its way: of this instance, or of another.
    await lookAgain(deps.ledger.flusher, async () => {
      known = await ownersOf(deps, teamId, objects);
      return !objects.some(isMissing);
    });
  }
  const sent = objects.filter((object) => object.isSent === true && !known.has(nameOf(object)));
  const others = await othersOf(deps, teamId, sent);
  for (const object of objects) {
    const owner = known.get(nameOf(object));
    if (owner === undefined && object.isSent === true && !others.has(object.id)) continue;
    if (owner === undefined) return notKnown(object);
    const isChanged = descriptor.method !== 'GET' && Object.hasOwn(descriptor.pathObjects, object.param);
    if (owner.isShared && isChanged) return notOwn(object);
  }
  if (descriptor.ends && descriptor.movesJob !== null) {
    const ended = objects.at(-1);
    if (ended !== undefined && (await deps.jobs.isGoingOn(teamId, descriptor.movesJob, ended.id)))
      return notOver(ended);
  }
  for (const container of operation.hosted?.containers ?? []) {
    if (container.id === null) continue;
    container.memoryGib = known.get(nameOf({ kind: 'container', id: container.id }))?.memoryGib ?? null;
  }
  const conversation = objects.find(({ param }) => param === 'conversation_id');
  if (operation.itemTokens !== undefined && conversation !== undefined)
    await deps.objects.store.addItems(teamId, conversation.id, operation.itemTokens);
  return null;
}

function nameOf({ kind, id }: Pick<NamedObject, 'kind' | 'id'>): string {
  return `${kind} ${id}`;
}

/** Returns the ids of those items that are other teams' alone. */
async function othersOf(
  { objects: { store } }: GatewayDeps,
  teamId: TeamId,
  items: readonly NamedObject[],
): Promise<ReadonlySet<string>> {
  if (items.length === 0) return new Set();
  return new Set(await store.othersItems(teamId, [...new Set(items.map(({ id }) => id))]));
}

/** Returns those objects that the team may use. */
async function ownersOf(
  { objects: { memory, store } }: GatewayDeps,
  teamId: TeamId,
  objects: readonly NamedObject[],
): Promise<Map<string, Ownership>> {
  const owners = new Map<string, Ownership>();
  const kinds = new Set<RecordedKind>();
  const ids: string[] = [];
  const items: string[] = [];
  for (const { kind, id } of objects) {
    const isKept = kind === 'response' || kind === 'item';
    const remembered = isKept ? memory.find(teamId, id) : null;
    if (remembered !== null && (remembered.item === null) === (kind === 'response')) {
      owners.set(nameOf({ kind, id }), OWN);
    } else if (kind === 'item') items.push(id);
    else {
      kinds.add(kind);
      ids.push(id);
    }
  }
  const [found, responses] = await Promise.all([
    ids.length === 0 ? [] : store.findObjects(teamId, [...kinds], ids),
    items.length === 0 ? [] : store.findResponses(teamId, items),
  ]);
  for (const { kind, id, isOwn, memoryGib } of found)
    owners.set(nameOf({ kind, id }), { isShared: !isOwn, memoryGib });
  for (const { response } of responses)
    for (const name of response.items.flatMap((item) => item.names))
      owners.set(nameOf({ kind: 'item', id: name }), OWN);
  return owners;
}

function notKnown({ kind, id, param }: NamedObject): ApiError {
  const what = kind.replace('_', ' ');
  const message =
    `No ${what} '${id.slice(0, 200)}' of this team is known. It belongs to another team, has ended, or was made without ` +
    'Tollgate; an administrator can give it to the team (POST /admin/v1/objects).';
  return apiError('not_found', message, { param });
}

/** What is deleted while a job of it runs says no more what the job costs. */
function notOver({ kind, id, param }: NamedObject): ApiError {
  const message = `A run of the ${kind.replace('_', ' ')} '${id.slice(0, 200)}' goes on: cancel it, and delete it when it has ended.`;
  return apiError('conflict', message, { param });
}

function notOwn({ kind, id, param }: NamedObject): ApiError {
  const message = `The ${kind.replace('_', ' ')} '${id.slice(0, 200)}' is shared by all teams, so none of them may change it.`;
  return apiError('not_allowed', message, { param });
}

/** Stops a call that names a model which another team's job has made. Returns null when its team may use it. */
export async function refuseOthersModel(deps: GatewayDeps, parsed: Parsed): Promise<Stopped | null> {
  const model = parsed.request.operation.model ?? '';
  const error = await whyNotModel(deps, parsed.account.principal.teamId, model);
  return error === null ? null : stoppedAs(parsed, error);
}

/** What the name of a model begins with that a job has made, and ends in when it stands for a step of its training. */
const TRAINED = 'ft:';
const CHECKPOINT = /:ckpt-step-\d+$/;

/** Returns why a team may not use a model; null: it may. One that no job here has made is as any other. */
export async function whyNotModel(
  deps: GatewayDeps,
  teamId: TeamId,
  model: string,
): Promise<ApiError | null> {
  if (!model.startsWith(TRAINED)) return null;
  const others = await othersModels(deps, teamId, [model]);
  if (others === null) return ledgerUnavailable();
  return others.size > 0 ? notKnown({ kind: 'model', id: model, param: 'model' }) : null;
}

/** Returns those of the models that only other teams may use, by their names without a step; null: Postgres is away. */
async function othersModels(
  { objects, log }: GatewayDeps,
  teamId: TeamId,
  models: readonly string[],
): Promise<ReadonlySet<string> | null> {
  try {
    const names = new Set(models.map((model) => model.replace(CHECKPOINT, '')));
    return new Set(await objects.store.othersModels(teamId, [...names]));
  } catch (error) {
    log.logger.warn({ err: error }, 'whose a trained model is could not be looked up');
    return null;
  }
}

/** Free of charge, so they need no price. */
const FREE_MODELS = /moderation/;

/** Returns a list of models with those alone that the caller may use and that have a price; notes which of all will end. */
async function withOwnModels(deps: GatewayDeps, forwarded: Forwarded): Promise<Forwarded> {
  const { reserved, response } = forwarded;
  const { status, readable } = response;
  if (status !== 200 || readable === null) return forwarded;
  const { principal } = reserved.account;
  const trained = modelsOf(readable).flatMap(({ id }) => (id.startsWith(TRAINED) ? [id] : []));
  const others = trained.length === 0 ? new Set() : await othersModels(deps, principal.teamId, trained);
  if (others === null) return { ...forwarded, response: errorResponse(ledgerUnavailable(), response) };
  const { catalog, clock, shutdowns, upstreams } = deps;
  const noted: Shutdown[] = [];
  const body = withoutModels(readable, (id, day) => {
    if (others.has(id.replace(CHECKPOINT, ''))) return false;
    noted.push({ model: id, day });
    if (!includesModel(principal.models, id) || !includesModel(principal.teamModels, id)) return false;
    if (upstreams?.hasPrice(id, principal)) return true;
    const card = catalog.rates.find(id, clock.nowMs());
    return FREE_MODELS.test(id) || (card !== null && card.unboundedReason === null);
  });
  shutdowns.note(noted);
  const headers = { ...response.headers, 'content-encoding': undefined };
  return { ...forwarded, response: { ...response, headers, body, readable: body } };
}

/** Forwards a call that costs nothing, and keeps the record of objects. */
export async function forwardOwned(deps: GatewayDeps, reserved: Reserved): Promise<Forwarded> {
  const { descriptor } = reserved;
  if (descriptor.lists !== null) return await forwardList(deps, reserved, descriptor.lists);
  const { count = null, ...forwarded }: Forwarded & { count?: FileCount | null } =
    await (descriptor.request === 'multipart' && isForm(reserved.call.exchange)
      ? forwardUpload(deps, reserved)
      : forward(deps, reserved));
  if (descriptor.listsModels) return await withOwnModels(deps, await withOtherModels(deps, forwarded));
  const putsItems = descriptor.addsItems && descriptor.makes === null;
  if (descriptor.makes === null && !descriptor.ends && descriptor.movesJob === null && !putsItems)
    return forwarded;
  const { ending, status, readable } = forwarded.response;
  if (ending !== 'complete' || status >= 300) return forwarded;
  if (descriptor.movesJob !== null) lookSoon(deps, reserved, descriptor.movesJob);
  try {
    if (descriptor.ends) await end(deps, reserved);
    else if (putsItems) await recordItems(deps, reserved, readable);
    else
      await recordMade(deps, reserved, readable === null ? undefined : parseJson(readable.toString()), count);
    return forwarded;
  } catch (error) {
    deps.log.logger.error(
      { err: error, operation: descriptor.name },
      'whose an object is could not be recorded',
    );
    return { ...forwarded, response: errorResponse(ledgerUnavailable(), forwarded.response) };
  }
}

/** How a job ends now is seen all the same, only later. */
function lookSoon({ jobs, log }: GatewayDeps, { account, objects }: Reserved, kind: JobKind): void {
  const id = objects?.at(-1)?.id;
  if (id === undefined) return;
  jobs.lookSoon(account.principal.teamId, kind, id).catch((error: unknown) => {
    log.logger.warn({ err: error }, 'a job that was changed is looked at later');
  });
}

async function end({ objects }: GatewayDeps, { account, objects: named }: Reserved): Promise<void> {
  const ended = named?.at(-1);
  if (ended === undefined || ended.kind === 'item') return;
  await objects.store.endObject(account.principal.teamId, ended.kind, ended.id);
}

/** Items that were put into a conversation may be named by their ids, as those of a response are. */
async function recordItems(
  { clock, objects, target }: GatewayDeps,
  { account, objects: named }: Reserved,
  readable: Buffer | null,
): Promise<void> {
  const conversation = named?.find(({ param }) => param === 'conversation_id');
  const list = readable === null ? null : parseJson(readable.toString());
  const items = isObject(list) ? readPutItems(list) : [];
  const [first] = items.flatMap(({ names }) => names);
  if (conversation === undefined || first === undefined) return;
  const response = { history: historyOf(null), inputTokens: 0, outputTokens: 0, reasoningTokens: 0, items };
  await objects.store.addObject(account.principal.teamId, {
    kind: 'response',
    // No request can name it: ids have no such letter.
    id: `${conversation.id}/${first}`,
    createdMs: clock.nowMs(),
    expiresMs: NO_END_MS,
    names: items.flatMap(({ names }) => names),
    weight: response satisfies KeptResponse,
    upstream: target?.name ?? null,
  });
}

export async function recordMade(
  deps: GatewayDeps,
  { account, descriptor, itemTokens }: Reserved,
  json: Json | undefined,
  count: FileCount | null = null,
): Promise<void> {
  const { makes } = descriptor;
  if (makes === null || !isObject(json)) return;
  const object = makes.at === 'id' ? json : json[makes.at];
  if (!isObject(object) || typeof object.id !== 'string') return;
  const nowMs = deps.clock.nowMs();
  const { kind } = makes;
  await deps.objects.store.addObject(account.principal.teamId, {
    kind,
    id: object.id,
    createdMs: nowMs,
    expiresMs: expiryOf(kind, object, nowMs),
    upstream: deps.target?.name ?? null,
    weight:
      kind === 'conversation'
        ? newConversation(historyOf(itemTokens === undefined ? 0 : itemTokens))
        : {
            ...shownOf(kind, object, { nowMs, keyId: account.principal.keyId }),
            ...(count === null ? null : { count }),
          },
  });
}

/** What ends by itself is known for some time longer, in which it may still be named. */
function expiryOf(kind: RecordedKind, { expires_at: endsAt }: JsonObject, nowMs: number): number {
  if (typeof endsAt === 'number' && endsAt > 0 && endsAt * 1000 + RESPONSE_MS < NO_END_MS)
    return endsAt * 1000 + RESPONSE_MS;
  return kind === 'upload_part' || kind === 'container' ? nowMs + RESPONSE_MS : NO_END_MS;
}

/** The size and purpose of a file, which repeats what a client wrote; of a container its memory, and the session that began with it; by which key a store was made. */
function shownOf(
  kind: RecordedKind,
  { bytes, purpose, memory_limit: memory }: JsonObject,
  { nowMs, keyId }: { nowMs: number; keyId: KeyId },
): object {
  if (kind === 'container') return { memory_gib: memoryGib(memory), session_ends_ms: nowMs + SESSION_MS };
  if (kind === 'vector_store') return { key_id: keyId };
  return {
    ...(typeof bytes === 'number' ? { bytes } : null),
    ...(typeof purpose === 'string' ? { purpose: storable(purpose.slice(0, 64)) } : null),
  };
}
