/** The two ways in which a call asks: for what its client limited it to, or for its share of what is there. */
import type { Account, CallKind } from '../../src/domain/budget.ts';
import type { Estimate } from '../../src/domain/estimate.ts';
import { openEndedClaim, smallestClaim } from '../../src/domain/open-ended.ts';
import type { Ask } from '../../src/ledger/ask.ts';

const CENT = 10_000_000_000n;
const PER_TOKEN = CENT / 1000n;
const INPUT_TOKENS = 100;
const PLAIN: CallKind = { model: 'gpt-4o', endUser: null };
const claimOf = (cost: bigint, outputTokens: number) => ({
  cost,
  input_tokens: INPUT_TOKENS,
  output_tokens: outputTokens,
});

export function fixedAsk(account: Account, cents: number, kind = PLAIN): Ask {
  const smallest = claimOf(BigInt(cents) * CENT, cents * 100);
  return { account, kind, smallest, size: null, bytes: 100 };
}

export function askFor(account: Account, cost: bigint): Ask {
  return { account, kind: PLAIN, smallest: claimOf(cost, 1), size: null, bytes: 100 };
}

/** A call without an output limit: a cent for its input, ten for each ten thousand tokens that it may say. */
const OPEN: Estimate = {
  priceId: null,
  inputTokens: INPUT_TOKENS,
  choices: 1,
  extraOutputTokens: 0,
  openEnded: true,
  outputTokensPerChoice: null,
  maxOutputTokens: 32_000,
  billing: { fixed: Number(CENT), perOutputToken: Number(PER_TOKEN), denominator: 1, exact: null },
  otherBillings: [],
};

export function openAsk(account: Account, kind = PLAIN): Ask {
  return {
    account,
    kind,
    smallest: smallestClaim(OPEN),
    size: ({ pools, crowd, last }) => {
      const money = pools.filter(({ meter }) => meter === 'cost_usd');
      return openEndedClaim(OPEN, { pools: money, crowd, last }).claim;
    },
    bytes: 100,
  };
}
