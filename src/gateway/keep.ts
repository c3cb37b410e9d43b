/** Keep: what a call leaves upstream is remembered here, and goes with its event to Postgres, where others recall it. */
import { type KeptAnswer, keptResponse } from '../domain/kept.ts';
import type { MeteredResponse } from '../domain/usage.ts';
import type { Outcome } from '../ledger/events.ts';
import type { GatewayDeps } from './deps.ts';
import type { Reserved } from './stages/reserve.ts';

/** A response of which nothing but its id is known. */
export function begunAs(id: string): MeteredResponse {
  const kept = { ...NO_ANSWER, id };
  return { usage: null, usageAtLeast: null, state: 'broken', serviceTier: null, model: null, id, kept };
}

const NO_ANSWER: KeptAnswer = { id: null, isStored: true, items: [], reasoningContext: null };

/** Remembers what a call left upstream. Returns it as JSON for the call's event; null: nothing. */
export function keep(
  { objects, target }: GatewayDeps,
  reserved: Reserved,
  metered: MeteredResponse,
  { outcome, usage, responseModel }: Pick<Outcome, 'outcome' | 'usage' | 'responseModel'>,
): string | null {
  const { kept, account, callKind, descriptor, estimate, hold } = reserved;
  if (kept === null) return null;
  if (descriptor.makes?.kind === 'stored_completion') return storedCompletion(metered.id, outcome);
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
  const id = kept.isStored && answer.isStored ? answer.id : null;
  // On a WebSocket the upstream goes on from what it does not store.
  const name = descriptor.socket === null ? id : answer.id;
  objects.memory.add(account.principal.teamId, name, response, target?.name ?? null);
  // Until its end is known it may add to its conversation at any time.
  const left = isOver(metered) ? conversation : null;
  if (id === null && left === null) return null;
  return JSON.stringify({ id, response, conversation: left });
}

/**
 * Journals whose the response is that a stream has begun, before its id reaches the client: a gateway that is killed then
 * leaves it to its team. It weighs what the call holds, until more is known.
 */
export function keepBegun(deps: GatewayDeps, reserved: Reserved, begun: MeteredResponse): void {
  const unknown = { outcome: 'unknown', usage: null, responseModel: begun.model } as const;
  const object = keep(deps, reserved, { ...begun, usage: null, state: 'broken' }, unknown);
  if (object !== null) deps.ledger.keep(reserved.hold, object);
}

/** Only whose it is: nothing comes back to it as input. */
function storedCompletion(id: string | undefined, outcome: Outcome['outcome']): string | null {
  if (outcome === 'voided' || id === undefined || !isPlainName(id)) return null;
  return JSON.stringify({ id, kind: 'stored_completion', response: null, conversation: null });
}

function isOver({ usage, state }: MeteredResponse): boolean {
  return usage !== null || state === 'complete' || state === 'failed';
}

/** What Postgres takes in JSON. */
function isPlainName(name: string): boolean {
  return /^[\x20-\x7e]{1,256}$/.test(name);
}
