/** The two ways in which a call asks: for what its client limited it to, or for its share of what is there. */
import { openEndedOutputTokens, SMALLEST_USEFUL_OUTPUT_TOKENS } from '../../src/domain/admission.ts';
import type { Account, CallKind } from '../../src/domain/budget.ts';
import type { Ask } from '../../src/ledger/ask.ts';

const CENT = 10_000_000_000n;
const PER_TOKEN = CENT / 1000n;
const INPUT_TOKENS = 100;
const PLAIN: CallKind = { model: 'gpt-4o', endUser: null };
const claimOf = (cost: bigint, outputTokens: number) => ({ cost, inputTokens: INPUT_TOKENS, outputTokens });

export function fixedAsk(account: Account, cents: number, kind = PLAIN): Ask {
  const smallest = claimOf(BigInt(cents) * CENT, cents * 100);
  return { account, kind, smallest, size: null, bytes: 100 };
}

export function askFor(account: Account, cost: bigint): Ask {
  return { account, kind: PLAIN, smallest: claimOf(cost, 1), size: null, bytes: 100 };
}

/** A call without an output limit: a cent for its input, ten for each ten thousand tokens that it may say. */
export function openAsk(account: Account, kind = PLAIN): Ask {
  const ask = {
    maxOutputTokens: 32_000,
    costUpTo: (tokens: number) => CENT + BigInt(tokens) * PER_TOKEN,
    outputTokensFor: (amount: bigint) => Number((amount - CENT) / PER_TOKEN),
  };
  return {
    account,
    kind,
    smallest: claimOf(ask.costUpTo(SMALLEST_USEFUL_OUTPUT_TOKENS), SMALLEST_USEFUL_OUTPUT_TOKENS),
    size: ({ pools, crowd, last }) => {
      const money = pools.filter(({ meter }) => meter === 'cost_usd');
      const tokens = money.map(({ free, amount }) => openEndedOutputTokens(ask, free, amount, crowd, last));
      const least = Math.min(...tokens);
      return claimOf(ask.costUpTo(least), least);
    },
    bytes: 100,
  };
}
