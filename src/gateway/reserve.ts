/** Reserve: takes the call's worst case out of every counter it touches, and journals the hold. */
import { openEndedOutputTokens, SMALLEST_USEFUL_OUTPUT_TOKENS } from '../domain/admission.ts';
import { type Fault, fault } from '../domain/errors.ts';
import type { Estimate } from '../domain/estimate.ts';
import { formatUsd } from '../domain/money.ts';
import type { Ask, Denial } from '../ledger/ask.ts';
import type { Hold } from '../ledger/holds.ts';
import type { Call } from './call.ts';
import type { GatewayDeps } from './deps.ts';
import { shuttingDown } from './respond.ts';

/** Answers null when the call holds its money and the journal has it. */
export async function reserve(deps: GatewayDeps, call: Call): Promise<Fault | 'gone' | null> {
  const held = await take(deps, call);
  if (held === 'gone') return 'gone';
  if (held === 'cut') return shuttingDown();
  if ('kind' in held) return refusal(held, call.estimate!);
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
    endUser: operation.endUser,
    priceId: call.estimate!.priceIds[0] ?? null,
    outputLimit: call.outputLimit,
  });
  if (journaled === 'written') return null;
  deps.ledger.cancel(held);
  return unavailable();
}

async function take(deps: GatewayDeps, call: Call): Promise<Hold | Denial | 'gone' | 'cut'> {
  const account = call.account!;
  const estimate = call.estimate!;
  const { operation, body } = call.request!;
  if (!operation.billable) return deps.ledger.reserveFree(account.principal.teamId);
  const ask: Ask = estimate.openEnded
    ? openEndedAsk(call, estimate)
    : { account, smallest: estimate.cost!, size: () => estimate.cost!, bytes: body.length };
  const asked = deps.ledger.reserve(ask);
  if (!('answer' in asked)) return asked;
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

/** The client set no output limit: its share of what is free decides how much it may hold, and is written in. */
function openEndedAsk(call: Call, estimate: Estimate): Ask {
  return {
    account: call.account!,
    bytes: call.request!.body.length,
    smallest: estimate.costUpTo(SMALLEST_USEFUL_OUTPUT_TOKENS),
    size({ free, amount, crowd, last }) {
      const tokens = openEndedOutputTokens(estimate, free, amount, crowd, last);
      call.outputLimit = tokens === estimate.maxOutputTokens ? null : tokens;
      return estimate.costUpTo(tokens);
    },
  };
}

function refusal(denial: Denial, estimate: Estimate): Fault {
  if (denial.kind === 'unavailable') return unavailable();
  const { counter } = denial;
  const which = { limit_id: counter?.sourceId ?? null, limit_type: counter?.source ?? null };
  if (denial.kind === 'held') {
    return fault(
      'rate_limit_exceeded',
      'The budget is held by calls in flight; some of it will come back when they settle.',
      { retryAfterMs: denial.retryAfterMs, details: which },
    );
  }
  const left = denial.ceiling > 0n ? denial.ceiling : 0n;
  const needed = estimate.cost ?? estimate.costUpTo(SMALLEST_USEFUL_OUTPUT_TOKENS);
  return fault(
    'insufficient_quota',
    counter === null
      ? 'This team has no budget: no usable grant and no cost limit. An administrator can add one.'
      : `The ${counter.source} has $${formatUsd(left)} left, and this call may cost up to $${formatUsd(needed)}.`,
    {
      details: {
        ...which,
        remaining_usd: formatUsd(left),
        needed_usd: formatUsd(needed),
        resets_at:
          counter?.source === 'limit' && counter.endsAtMs !== null
            ? new Date(counter.endsAtMs).toISOString()
            : null,
        affordable_output_tokens: estimate.outputTokensFor(left),
      },
    },
  );
}

function unavailable(): Fault {
  return fault('ledger_unavailable', 'The ledger cannot admit calls just now.', { retryAfterMs: 1000 });
}
