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
  return {
    hosted: null,
    priceId: 'price-1',
    inputTokens,
    choices: 1,
    extraOutputTokens: 0,
    openEnded: true,
    outputTokensPerChoice: null,
    wholeAnswerTokens: null,
    maxOutputTokens,
    outputCeiling: null,
    upstreamMs: null,
    billing: { fixed: Number(inputCost), perOutputToken: Number(perToken), denominator: 1, exact: null },
    otherBillings: [],
  };
}
