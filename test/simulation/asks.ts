/** The two ways in which a call asks: for what its client limited it to, or for its share of what is there. */
import type { ReservationRequest } from '../../src/admission/decide.ts';
import type { Account, CallKind } from '../../src/domain/budget.ts';
import { openEstimate } from '../support/estimates.ts';

const CENT = 10_000_000_000n;
const INPUT_TOKENS = 100;
const PLAIN: CallKind = { model: 'gpt-4o', endUser: null };
/** A cent for the input, ten for each ten thousand tokens that it may say. */
const OPEN_ENDED = openEstimate({
  inputTokens: INPUT_TOKENS,
  inputCost: CENT,
  perToken: CENT / 1000n,
  maxOutputTokens: 32_000,
});

function askOf(account: Account, kind: CallKind, size: ReservationRequest['size']): ReservationRequest {
  return { account, kind, isFree: false, size, waitedMs: 0, bytes: 100 };
}

export function fixedAsk(account: Account, cents: number, kind = PLAIN): ReservationRequest {
  const claim = { cost: BigInt(cents) * CENT, input_tokens: INPUT_TOKENS, output_tokens: cents * 100 };
  return askOf(account, kind, { type: 'fixed', claim });
}

export function askFor(account: Account, cost: bigint): ReservationRequest {
  return askOf(account, PLAIN, {
    type: 'fixed',
    claim: { cost, input_tokens: INPUT_TOKENS, output_tokens: 1 },
  });
}

/** A call without an output limit. */
export function openAsk(account: Account, kind = PLAIN): ReservationRequest {
  return askOf(account, kind, { type: 'open_ended', estimate: OPEN_ENDED });
}
