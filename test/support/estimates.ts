/** Estimates of open-ended calls, for tests that have no request and no price list to make them from. */
import type { Estimate } from '../../src/domain/estimate.ts';

export interface OpenEstimateOptions {
  inputTokens: number;
  inputCost: bigint;
  /** The cost of one output token. */
  perToken: bigint;
  maxOutputTokens: number | null;
}

/** The estimate of a call with one choice and no output limit. */
export function openEstimate(options: OpenEstimateOptions): Estimate {
  const { inputTokens, inputCost, perToken, maxOutputTokens } = options;
  const costUpTo = (tokens: number) => inputCost + BigInt(tokens) * perToken;
  return {
    bound: { inputTokens, outputTokens: null, choices: 1 },
    openEnded: true,
    maxOutputTokens,
    priceIds: ['price-1'],
    cost: null,
    fullCost: maxOutputTokens === null ? null : costUpTo(maxOutputTokens),
    inputCost,
    costUpTo,
    outputTokensUpTo: (tokens) => tokens,
    outputTokensFor: (amount) => (amount < inputCost ? 0 : Number((amount - inputCost) / perToken)),
  };
}
