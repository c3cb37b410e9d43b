/**
 * Recall: what a call names of what the upstream keeps becomes weights in its estimate, and what a call leaves there is
 * remembered. Owns: the memory of this instance, and when Postgres is asked. Does not own: the weights' arithmetic
 * (domain/kept.ts) nor their rows (store/hot/objects.ts). Invariant: what neither knows is refused where only its id stands
 * in the request, and weighs the model's window where it was sent along.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import {
  addCall,
  addHistory,
  addItems,
  type ItemUse,
  type KeptAnswer,
  keptResponse,
  noWeight,
  type Weight,
} from '../domain/kept.ts';
import type { BeyondText, Operation, Reference } from '../domain/operation.ts';
import type { MeteredResponse } from '../domain/usage.ts';
import { type Outcome, uuidV7 } from '../ledger/events.ts';
import { sealOf } from '../openai/kept.ts';
import { type Stopped, stopped } from './call.ts';
import { ledgerUnavailable } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import type { Remembered } from './objects.ts';
import type { Parsed } from './stages/parse.ts';
import type { Reserved } from './stages/reserve.ts';

/** Replicas flush ten times a second: by then what a client knows of is in Postgres. */
const OTHERS_FLUSH_MS = 300;

/** What the references of one call stand for. */
class Found {
  readonly #deps: GatewayDeps;
  readonly #teamId: TeamId;
  /** By name: what memory may forget meanwhile. */
  readonly #known = new Map<string, Remembered>();

  constructor(deps: GatewayDeps, teamId: TeamId) {
    this.#deps = deps;
    this.#teamId = teamId;
  }

  get(name: string): Remembered | null {
    return this.#known.get(name) ?? null;
  }

  /** Returns those that are not known. */
  inMemory(names: readonly string[]): string[] {
    return names.filter((name) => {
      const known = this.#deps.objects.memory.find(this.#teamId, name);
      if (known !== null) this.#known.set(name, known);
      return known === null;
    });
  }

  /** Asks Postgres for names, and returns those that it does not know. Rejects when it is away. */
  async inStore(names: readonly string[]): Promise<string[]> {
    if (names.length === 0) return [];
    const { store, memory } = this.#deps.objects;
    for (const { id, response } of await store.findResponses(this.#teamId, names)) {
      memory.add(this.#teamId, id, response);
      this.#known.set(id, { response, item: null });
      for (const item of response.items)
        for (const name of item.names) this.#known.set(name, { response, item });
    }
    return names.filter((name) => !this.#known.has(name));
  }
}

/** Whether a call names anything that the upstream keeps. */
export function namesKept({ request }: Parsed): boolean {
  return (request.operation.beyondText?.references ?? null) !== null;
}

/** Weighs what the call names; its operation then says all that may be billed. */
export async function recall(deps: GatewayDeps, parsed: Parsed): Promise<Parsed | Stopped> {
  const { call, account, request, callKind } = parsed;
  const error = await recalled(deps, parsed);
  return error === null ? parsed : stopped(call, error, request.descriptor.name, account, callKind.endUser);
}

async function recalled(deps: GatewayDeps, parsed: Parsed): Promise<ApiError | null> {
  const { operation } = parsed.request;
  const { beyondText } = operation;
  const references = beyondText?.references ?? [];
  const { teamId } = parsed.account.principal;
  const found = new Found(deps, teamId);
  try {
    const unknown = await lookUp(deps, found, references);
    if (unknown !== null) return notKnown(unknown);
    const weight = noWeight();
    if (beyondText !== null) weigh(operation, beyondText, found, weight);
    const conversation = references.find(({ kind }) => kind === 'conversation');
    if (conversation !== undefined) {
      const error = await joinConversation(deps, parsed, conversation, weight);
      if (error !== null) return error;
    }
    if (beyondText !== null) apply(operation, beyondText, weight, references[0]?.param ?? null);
    return null;
  } catch (error) {
    deps.log.logger.warn({ err: error }, 'what the upstream keeps could not be looked up');
    return ledgerUnavailable();
  }
}

function nameOf({ kind, name }: Reference): string {
  return kind === 'sealed' ? sealOf(name) : name;
}

/** Returns the first reference that must be known and is not; null: there is none. */
async function lookUp(
  deps: GatewayDeps,
  found: Found,
  references: readonly Reference[],
): Promise<Reference | null> {
  const inStore = references.filter(({ kind }) => kind !== 'conversation');
  const missing = found.inMemory([...new Set(inStore.map(nameOf))]);
  const isRequired = ({ kind }: Reference) => kind === 'response' || kind === 'item';
  const required = new Set(inStore.filter(isRequired).map(nameOf));
  const isNeeded = missing.some((name) => required.has(name));
  const unknown = new Set(
    // What was sent along has a bound without Postgres.
    await found.inStore(missing).catch((error: unknown) => {
      if (isNeeded) throw error;
      return missing;
    }),
  );
  const isUnknown = (reference: Reference) => isRequired(reference) && unknown.has(nameOf(reference));
  if (!inStore.some(isUnknown)) return null;
  // It may be an event that is on its way: of this instance, or of another.
  await Promise.all([deps.ledger.flusher.drain(), delay(OTHERS_FLUSH_MS)]);
  const still = new Set(await found.inStore([...unknown]));
  return inStore.find((reference) => isRequired(reference) && still.has(nameOf(reference))) ?? null;
}

const WAY_OUT =
  "It did not pass through here, belongs to another team, or has expired. Send the whole history in 'input', with " +
  '"store": false and "include": ["reasoning.encrypted_content"]; docs/CLIENTS.md says how in each client.';

function notKnown({ kind, name, param }: Reference): ApiError {
  const what = kind === 'sealed' || kind === 'shown' ? 'item' : kind;
  return apiError('not_found', `No ${what} '${name}' of this team is known. ${WAY_OUT}`, { param });
}

/** Adds what responses and items weigh. */
function weigh(operation: Operation, beyondText: BeyondText, found: Found, weight: Weight): void {
  const { model, kept } = operation;
  const uses: ItemUse[] = [];
  for (const reference of beyondText.references ?? []) {
    const { kind, name, isSent } = reference;
    if (kind === 'conversation') continue;
    const known = found.get(nameOf(reference));
    if (known === null) {
      weight.window = true;
      weight.hasHidden = true;
      if (kind === 'sealed') weight.isReasoningKnown = false;
    } else if (known.item === null) {
      addHistory(weight, known.response.history, model ?? '', kept?.reasoningContext ?? null);
    } else {
      uses.push({ response: known.response, item: known.item, isSent });
      // Its text says nothing of its tokens, which are counted.
      if (kind === 'sealed') weight.tokens -= name.length;
    }
  }
  addItems(weight, uses, model ?? '');
}

function apply(operation: Operation, beyondText: BeyondText, weight: Weight, param: string | null): void {
  operation.inputTokensBound += weight.tokens;
  beyondText.images.push(...weight.images);
  if (weight.images.length > 0) beyondText.imageParam ??= param;
  if (weight.window) beyondText.windowParam ??= param;
  beyondText.hasFiles ||= weight.isOpen;
  if (operation.kept !== null) operation.kept.recalled = weight;
}

/** The call stands among those of its conversation from now on, on every replica. */
async function joinConversation(
  deps: GatewayDeps,
  { account, request: { operation } }: Parsed,
  reference: Reference,
  weight: Weight,
): Promise<ApiError | null> {
  const { kept, model, outputTokensLimit } = operation;
  if (kept === null) return notKnown(reference);
  const { name } = reference;
  const { teamId } = account.principal;
  const nowMs = deps.clock.nowMs();
  const callId = uuidV7(nowMs);
  const card = model === null ? null : deps.catalog.rates.find(model, nowMs);
  const own = {
    model: model ?? '',
    bytes: kept.bytes + weight.bytes,
    images: [...kept.images, ...weight.allImages],
    hasHidden: kept.hasHidden || weight.hasHidden,
    isOpen: kept.isOpen || weight.isOpen,
    outputTokens: outputTokensLimit ?? card?.limits.maxOutputTokens ?? null,
  };
  const view = await deps.objects.store.beginConversationCall(teamId, name, callId, own);
  if (view === null) return notKnown(reference);
  kept.conversation = { id: name, call: callId };
  addHistory(weight, view.conversation.history, model ?? '', kept.reasoningContext);
  for (const call of view.calls) addCall(weight, call, model ?? '');
  return null;
}

/** A call that is not forwarded leaves its conversation. */
export function cancelRecall({ objects, log }: GatewayDeps, { account, request }: Parsed): void {
  const conversation = request.operation.kept?.conversation ?? null;
  if (conversation === null) return;
  objects.store
    .cancelConversationCall(account.principal.teamId, conversation.id, conversation.call)
    // It then counts as under way for a day, which is more than it is.
    .catch((error: unknown) => log.logger.warn({ err: error }, 'a call could not leave its conversation'));
}

const NO_ANSWER: KeptAnswer = { id: null, items: [], reasoningContext: null };

/** Remembers what a call left upstream. Returns it as JSON for the call's event; null: nothing. */
export function keep(
  { objects }: GatewayDeps,
  reserved: Reserved,
  metered: MeteredResponse,
  { outcome, usage, responseModel }: Pick<Outcome, 'outcome' | 'usage' | 'responseModel'>,
): string | null {
  const { kept, account, callKind, estimate, hold } = reserved;
  if (kept === null) return null;
  const { conversation } = kept;
  if (outcome === 'voided') {
    return conversation === null ? null : JSON.stringify({ id: null, response: null, conversation });
  }
  const answer = metered.kept ?? NO_ANSWER;
  const { input_tokens = 0, output_tokens = 0, reasoning_tokens = 0 } = usage ?? {};
  const counted =
    usage === null
      ? null
      : { inputTokens: input_tokens, outputTokens: output_tokens, reasoningTokens: reasoning_tokens };
  const heldOutput = hold.claim.output_tokens;
  const held = {
    inputTokens: estimate.inputTokens,
    outputTokens: heldOutput,
    reasoningTokens: heldOutput,
  };
  const models = [callKind.model, responseModel ?? ''].filter(isPlainName);
  const response = keptResponse(kept, answer, models, counted, held);
  const id = kept.isStored ? answer.id : null;
  objects.memory.add(account.principal.teamId, id, response);
  // Until its end is known it may add to its conversation at any time.
  const left = isOver(metered) ? conversation : null;
  if (id === null && left === null) return null;
  return JSON.stringify({ id, response, conversation: left });
}

function isOver({ usage, state }: MeteredResponse): boolean {
  return usage !== null || state === 'complete' || state === 'failed';
}

/** What Postgres takes in JSON. */
function isPlainName(name: string): boolean {
  return /^[\x20-\x7e]{1,256}$/.test(name);
}
