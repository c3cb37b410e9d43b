/** Reserve: takes the call's worst case out of every counter it touches, and journals the hold. */
import { NOTHING_USED } from '../domain/claim.ts';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { openEndedClaim, smallestClaim } from '../domain/open-ended.ts';
import type { Ask, Denial } from '../ledger/ask.ts';
import type { Hold } from '../ledger/holds.ts';
import { authenticate, whyNotAllowed } from './authenticate.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { refusalOf, unavailable } from './refusal.ts';
import { shuttingDown } from './respond.ts';

/** Answers null when the call holds its money and the journal has it. */
export async function reserve(deps: GatewayDeps, call: Call): Promise<ApiError | 'gone' | null> {
  const held = await takeUnderTheRules(deps, call);
  if (held === 'gone') return 'gone';
  if (held === 'cut') return shuttingDown();
  if (isApiError(held)) return held;
  if ('kind' in held) {
    if (held.kind === 'insufficient' && held.counter !== null) deps.onSpent(held.counter);
    return refusalOf(held, call.estimate!);
  }
  if (call.clientGone) {
    deps.ledger.cancel(held);
    return 'gone';
  }
  call.hold = held;
  const { operation } = call.request!;
  const { teamId, keyId } = call.account!.principal;
  const journaled = await deps.ledger.begin(held, {
    teamId,
    keyId,
    operation: operation.name,
    model: operation.model ?? '',
    stream: operation.stream,
    endUser: call.endUser,
    priceId: call.estimate!.priceId,
    outputLimit: call.outputLimit,
  });
  if (journaled === 'written') return null;
  deps.ledger.cancel(held);
  return unavailable();
}

/** The rules and the key may change while the body comes or the call waits: what holds is what they are at the hold. */
async function takeUnderTheRules(
  deps: GatewayDeps,
  call: Call,
): Promise<Hold | Denial | ApiError | 'gone' | 'cut'> {
  const startedMs = deps.clock.monotonicMs();
  for (;;) {
    const refused = (await authenticate(deps, call)) ?? whyNotAllowed(call);
    if (refused) return refused;
    const answer = await take(deps, call, deps.clock.monotonicMs() - startedMs);
    if (typeof answer === 'string' || !('kind' in answer) || answer.kind !== 'changed') return answer;
  }
}

async function take(
  deps: GatewayDeps,
  call: Call,
  waitedMs: number,
): Promise<Hold | Denial | 'gone' | 'cut'> {
  const asked = deps.ledger.reserve({ ...askOf(call), waitedMs });
  if (!('answer' in asked)) return asked;
  call.waited = true;
  // Its client may leave while the call waits, and the gateway may stop: it then leaves the queue, holding nothing.
  const over = new Promise<'gone' | 'cut'>((resolve) => {
    call.onClientGone = () => resolve('gone');
    call.onCut = () => resolve('cut');
    if (call.clientGone) resolve('gone');
  });
  const answer = await Promise.race([asked.answer, over]);
  call.onClientGone = null;
  call.onCut = null;
  if (answer === 'gone' || answer === 'cut') asked.leave();
  return answer;
}

function askOf(call: Call): Ask {
  const { operation, body } = call.request!;
  const estimate = call.estimate!;
  const common = {
    account: call.account!,
    kind: call.kind,
    bytes: body.length,
  };
  if (!operation.billable) return { ...common, smallest: NOTHING_USED, size: null, isFree: true };
  if (!estimate.openEnded) return { ...common, smallest: smallestClaim(estimate), size: null };
  return {
    ...common,
    smallest: smallestClaim(estimate),
    // The client set no output limit: its share of what is free decides how much it may hold, and is written in.
    size(room) {
      const { claim, outputTokens } = openEndedClaim(estimate, room);
      call.outputLimit = outputTokens === estimate.maxOutputTokens ? null : outputTokens;
      return claim;
    },
  };
}
