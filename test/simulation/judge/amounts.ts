/** What a call takes, by meter, as the judge counts it. */
import type { Meter } from '../../../src/domain/limit.ts';

export interface Amounts {
  cost: bigint;
  input_tokens: number;
  output_tokens: number;
}

export const NOTHING: Amounts = { cost: 0n, input_tokens: 0, output_tokens: 0 };

/** Twelve decimals, in every meter. */
const ONE = 10n ** 12n;

export function measure(meter: Meter, amounts: Amounts): bigint {
  if (meter === 'cost_usd') return amounts.cost;
  if (meter === 'input_tokens') return BigInt(amounts.input_tokens) * ONE;
  if (meter === 'output_tokens') return BigInt(amounts.output_tokens) * ONE;
  if (meter === 'tokens') return BigInt(amounts.input_tokens + amounts.output_tokens) * ONE;
  return ONE;
}
