/** The two ways in which a call asks: for what its client limited it to, or for its share of what is there. */
import { openEndedOutputTokens, SMALLEST_USEFUL_OUTPUT_TOKENS } from '../../src/domain/admission.ts';
import type { Account } from '../../src/domain/budget.ts';
import type { Ask } from '../../src/ledger/ask.ts';

const CENT = 10_000_000_000n;
const PER_TOKEN = CENT / 1000n;
const KIND = { model: 'gpt-4o', endUser: null };
const claimOf = (cost: bigint) => ({ cost, inputTokens: 10, outputTokens: 20 });

export function fixedAsk(account: Account, cents: number): Ask {
  return askFor(account, BigInt(cents) * CENT);
}

export function askFor(account: Account, cost: bigint): Ask {
  return { account, kind: KIND, smallest: claimOf(cost), size: null, bytes: 100 };
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
    kind: KIND,
    smallest: claimOf(ask.costUpTo(SMALLEST_USEFUL_OUTPUT_TOKENS)),
    size: ({ pools, crowd, last }) => {
      const tokens = pools.map(({ free, amount }) => openEndedOutputTokens(ask, free, amount, crowd, last));
      return claimOf(ask.costUpTo(Math.min(...tokens)));
    },
    bytes: 100,
  };
}
