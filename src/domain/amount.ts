/** Amounts of a limit's meter as text: money with its cents, anything else as a whole number. Pure. */
import type { Meter } from './limit.ts';
import { formatUsd } from './quantities.ts';

const UNITS: Record<Meter, string> = {
  cost_usd: 'USD',
  tokens: 'tokens',
  input_tokens: 'input tokens',
  output_tokens: 'output tokens',
  requests: 'requests',
  concurrency: 'calls at once',
};

/** Returns an amount as the admin API writes it: `18.00` USD, `1200` tokens. */
export function formatAmount(meter: Meter, amount: bigint): string {
  return meter === 'cost_usd' ? formatUsd(amount) : formatUsd(amount).replace(/\.00$/, '');
}

/** Returns an amount as a sentence has it: `$18.00`, `1200 tokens`. */
export function amountText(meter: Meter, amount: bigint): string {
  const text = formatAmount(meter, amount);
  return meter === 'cost_usd' ? `$${text}` : `${text} ${UNITS[meter]}`;
}
