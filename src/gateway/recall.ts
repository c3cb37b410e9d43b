/**
 * Recall: what a call names of what the upstream keeps becomes weights in its estimate. Owns: when Postgres is asked. Does
 * not own: the weights' arithmetic (domain/kept.ts) nor their rows (store/hot/objects.ts), nor what a call leaves (keep.ts). Invariant: what neither knows is refused where only its id stands
 * in the request, and weighs the model's window where it was sent along.
 */
import { type ApiError, apiError } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import {
  addCall,
  addHistory,
  addItems,
  type ItemUse,
  type KeptInput,
  noWeight,
  type Weight,
} from '../domain/kept.ts';
import type { BeyondText, Operation, Reference, SentReasoning } from '../domain/operation.ts';
import { uuidV7 } from '../ledger/events.ts';
import { sealOf } from '../openai/kept.ts';
import { type Stopped, stoppedAs } from './call.ts';
import { ledgerUnavailable } from './denial-error.ts';
import type { GatewayDeps } from './deps.ts';
import { lookAgain, type Remembered } from './objects.ts';
import type { Parsed } from './stages/parse.ts';

export interface KnownNames {
  get(name: string): Pick<Remembered, 'response' | 'item'> | null;
}

/** What the references of one call stand for. */
class Found implements KnownNames {
  readonly #deps: GatewayDeps;
  readonly #teamId: TeamId;
  /** By name: what memory may forget meanwhile. */
  readonly #known = new Map<string, Remembered>();
  /** Names of items that only other teams' responses have. */
  #others: ReadonlySet<string> = new Set();

  constructor(deps: GatewayDeps, teamId: TeamId) {
    this.#deps = deps;
    this.#teamId = teamId;
  }

  get(name: string): Remembered | null {
    return this.#known.get(name) ?? null;
  }

  isOthers(name: string): boolean {
    return this.#others.has(name);
  }

  /**
   * Returns those that are not known.
   * @param shown those of the names that are items which the request has whole
   */
  inMemory(names: readonly string[], shown: ReadonlySet<string>): string[] {
    const { memory } = this.#deps.objects;
    return names.filter((name) => {
      const known = memory.find(this.#teamId, name);
      if (known !== null) this.#known.set(name, known);
      return known === null && !(shown.has(name) && memory.isUnstored(this.#teamId, name));
    });
  }

  /**
   * Asks Postgres for names, and returns those that it does not know. Rejects when it is away.
   * @param shown those of the names of which it is asked, too, whether they are other teams'
   */
  async inStore(names: readonly string[], shown: readonly string[] = []): Promise<string[]> {
    if (names.length === 0) return [];
    const { store, memory } = this.#deps.objects;
    const { responses, others } =
      shown.length === 0
        ? { responses: await store.findResponses(this.#teamId, names), others: [] }
        : await store.findItems(this.#teamId, names, shown);
    this.#others = new Set([...this.#others, ...others]);
    for (const { id, response } of responses) {
      memory.add(this.#teamId, id, response);
      this.#known.set(id, { response, item: null, upstream: undefined });
      for (const item of response.items)
        for (const name of item.names) this.#known.set(name, { response, item, upstream: undefined });
    }
    return names.filter((name) => !this.#known.has(name));
  }
}

/** Weighs what the call names; its operation then says all that may be billed. */
export async function recall(deps: GatewayDeps, parsed: Parsed): Promise<Parsed | Stopped> {
  const error = await recalled(deps, parsed);
  return error === null ? parsed : stoppedAs(parsed, error);
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
    const other = othersItem(found, references);
    if (other !== null) return notKnown(other);
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

/** Returns the name under which what a reference stands for is known. */
export function nameOf({ kind, name }: Reference): string {
  return kind === 'sealed' ? sealOf(name) : name;
}

/** Returns the first reference that must be known and is not; null: there is none. */
async function lookUp(
  deps: GatewayDeps,
  found: Found,
  references: readonly Reference[],
): Promise<Reference | null> {
  const inStore = references.filter(({ kind }) => kind !== 'conversation');
  const shown = new Set(inStore.flatMap(({ kind, name }) => (kind === 'shown' ? [name] : [])));
  const missing = found.inMemory([...new Set(inStore.map(nameOf))], shown);
  const isRequired = ({ kind }: Reference) => kind === 'response' || kind === 'item';
  const required = new Set(inStore.filter(isRequired).map(nameOf));
  const strange = missing.filter((name) => shown.has(name));
  const isNeeded = strange.length > 0 || missing.some((name) => required.has(name));
  const unknown = new Set(
    // What was sent along has a bound without Postgres, unless it may be another team's.
    await found.inStore(missing, strange).catch((error: unknown) => {
      if (isNeeded) throw error;
      return missing;
    }),
  );
  const isUnknown = (reference: Reference) => isRequired(reference) && unknown.has(nameOf(reference));
  if (!inStore.some(isUnknown)) return null;
  // It may be an event that is on its way: of this instance, or of another.
  let first: Reference | null = null;
  await lookAgain(deps.ledger.flusher, async () => {
    const still = new Set(await found.inStore([...unknown]));
    first = inStore.find((reference) => isRequired(reference) && still.has(nameOf(reference))) ?? null;
    return first === null;
  });
  return first;
}

/**
 * Returns the first call of a tool of the upstream that another team's response has: by its id the upstream may read what it keeps of
 * it, for any team that sends the id. One that no team is known to have is what its client says; null: there is no other.
 */
function othersItem(found: Found, references: readonly Reference[]): Reference | null {
  return (
    references.find(
      ({ kind, name }) => kind === 'shown' && found.get(name) === null && found.isOthers(name),
    ) ?? null
  );
}

const WAY_OUT =
  "It did not pass through here, belongs to another team, or has expired. Send the whole history in 'input', with " +
  '"store": false and "include": ["reasoning.encrypted_content"]; docs/CLIENTS.md says how in each client.';

function notKnown({ kind, name, param }: Reference): ApiError {
  const what = kind === 'sealed' || kind === 'shown' ? 'item' : kind;
  return apiError('not_found', `No ${what} '${name}' of this team is known. ${WAY_OUT}`, { param });
}

/** Adds what responses and items weigh. */
export function weigh(operation: Operation, beyondText: BeyondText, found: KnownNames, weight: Weight): void {
  const { model, kept } = operation;
  const uses: ItemUse[] = [];
  for (const reference of beyondText.references ?? []) {
    const { kind, name, isSent } = reference;
    if (kind === 'conversation') continue;
    const known = found.get(nameOf(reference));
    if (isSent) beyondText.reasoning.push(reasoningOf(reference, known, model ?? ''));
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

/** What is no reasoning, or was counted for another model, has no number of tokens here. */
function reasoningOf(
  reference: Reference,
  known: ReturnType<KnownNames['get']>,
  model: string,
): SentReasoning {
  const { item } = reference;
  const name = nameOf(reference);
  const isKnown = known?.item?.hidden === 'reasoning' && known.response.history.models.includes(model);
  if (!isKnown) return { item, name, response: null, tokens: null };
  return { item, name, response: known.response, tokens: known.response.reasoningTokens };
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
  kept.conversation = { id: name, call: callId, order: view.order };
  addHistory(weight, view.conversation.history, model ?? '', kept.reasoningContext);
  for (const call of view.calls) addCall(weight, call, model ?? '');
  return null;
}

/**
 * A call that waited for its money may find in its conversation what a later one wrote meanwhile, which it does not hold.
 * Returns why it may not be sent then; null: no later one began.
 */
export async function whyOvertaken(
  { objects, log }: GatewayDeps,
  teamId: TeamId,
  { id, order }: NonNullable<KeptInput['conversation']>,
): Promise<ApiError | null> {
  try {
    if ((await objects.store.callsBegun(teamId, id)) <= order) return null;
  } catch (error) {
    log.logger.warn({ err: error }, 'a conversation could not be looked up');
    return ledgerUnavailable();
  }
  return OVERTAKEN;
}

const OVERTAKEN = apiError(
  'ledger_unavailable',
  'Another call began in the conversation while this one waited for its budget: repeat it.',
  { retryAfterMs: 500 },
);

/** Whether a call was stopped for what {@link whyOvertaken} says, so that it may be recalled once more. */
export function isOvertaken({ error }: Stopped): boolean {
  return error === OVERTAKEN;
}

/** Returns a call as it is before it is recalled: that adds to what it is here. */
export function beforeRecall(parsed: Parsed): Parsed {
  const { operation } = parsed.request;
  const { beyondText, kept } = operation;
  const copy = {
    ...operation,
    beyondText: beyondText && {
      ...beyondText,
      images: [...beyondText.images],
      reasoning: [...beyondText.reasoning],
    },
    kept: kept && { ...kept },
  };
  return { ...parsed, request: { ...parsed.request, operation: copy } };
}

/** A call that is not forwarded leaves its conversation. */
export async function cancelRecall(
  { objects, log }: GatewayDeps,
  { account, request }: Parsed,
): Promise<void> {
  const conversation = request.operation.kept?.conversation ?? null;
  if (conversation === null) return;
  await objects.store
    .cancelConversationCall(account.principal.teamId, conversation.id, conversation.call)
    // It then counts as under way for a day, which is more than it is.
    .catch((error: unknown) => log.logger.warn({ err: error }, 'a call could not leave its conversation'));
}
