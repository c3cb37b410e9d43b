/** What a call takes, by meter, as the judge counts it. */
import type { Meter } from '../../../src/domain/limit.ts';

export interface Amounts {
  cost: bigint;
  inputTokens: number;
  outputTokens: number;
}

export const NOTHING: Amounts = { cost: 0n, inputTokens: 0, outputTokens: 0 };

/** Twelve decimals, in every meter. */
const ONE = 10n ** 12n;

export function measure(meter: Meter, amounts: Amounts): bigint {
  if (meter === 'cost_usd') return amounts.cost;
  if (meter === 'input_tokens') return BigInt(amounts.inputTokens) * ONE;
  if (meter === 'output_tokens') return BigInt(amounts.outputTokens) * ONE;
  if (meter === 'tokens') return BigInt(amounts.inputTokens + amounts.outputTokens) * ONE;
  return ONE;
}
