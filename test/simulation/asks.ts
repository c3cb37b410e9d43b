/** The two ways in which a call asks: for what its client limited it to, or for its share of what is there. */
import { openEndedOutputTokens, SMALLEST_USEFUL_OUTPUT_TOKENS } from '../../src/domain/admission.ts';
import type { Account } from '../../src/domain/budget.ts';
import type { Ask } from '../../src/ledger/ask.ts';
import type { Hold } from '../../src/ledger/holds.ts';
import type { Amounts } from './judge/amounts.ts';

const CENT = 10_000_000_000n;
const PER_TOKEN = CENT / 1000n;

export function fixedAsk(account: Account, cents: number): Ask {
  return fixedAskOf(account, BigInt(cents) * CENT);
}

export function fixedAskOf(account: Account, amount: bigint): Ask {
  return { account, smallest: amount, size: () => amount, bytes: 100 };
}

/** A call without an output limit: a cent for its input, ten for each ten thousand tokens that it may say. */
export function openAsk(account: Account): Ask {
  const ask = {
    maxOutputTokens: 32_000,
    costUpTo: (tokens: number) => CENT + BigInt(tokens) * PER_TOKEN,
    outputTokensFor: (amount: bigint) => Number((amount - CENT) / PER_TOKEN),
  };
  return {
    account,
    smallest: ask.costUpTo(SMALLEST_USEFUL_OUTPUT_TOKENS),
    size: ({ free, amount, crowd, last }) =>
      ask.costUpTo(openEndedOutputTokens(ask, free, amount, crowd, last)),
    bytes: 100,
  };
}

/** The least with which a call is of use, as the judge counts it. */
export function smallestOf(ask: Ask): Amounts {
  return { cost: ask.smallest, inputTokens: 0, outputTokens: 0 };
}

export function heldBy(hold: Hold): Amounts {
  return { cost: hold.amount, inputTokens: 0, outputTokens: 0 };
}
