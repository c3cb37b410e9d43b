/**
 * Claim: what one call takes of every meter that a limit may count. Before the call it is the worst case, afterwards
 * what was used. Pure.
 */
import type { Meter } from './limit.ts';
import type { PicoUsd } from './money.ts';
import type { Quantities } from './quantities.ts';

/** Cost beside quantities: those that limits count are always given. */
export type Claim = Pick<Required<Quantities>, 'input_tokens' | 'output_tokens'> & { cost: PicoUsd };

/** One token, request or slot in the ledger's fixed point: amounts of every meter have twelve decimals, as money has. */
export const UNIT = 1_000_000_000_000n;

/** A call that used nothing but its request. */
export const NOTHING_USED: Claim = { cost: 0n, input_tokens: 0, output_tokens: 0 };

/** How much of a meter a claim takes. */
export function claimed(meter: Meter, claim: Claim): bigint {
  switch (meter) {
    case 'cost_usd':
      return claim.cost;
    case 'tokens':
      return BigInt(claim.input_tokens + claim.output_tokens) * UNIT;
    case 'input_tokens':
      return BigInt(claim.input_tokens) * UNIT;
    case 'output_tokens':
      return BigInt(claim.output_tokens) * UNIT;
    case 'requests':
    case 'concurrency':
      return UNIT;
  }
}

/** How much of a meter is gone for good once the call has ended: its slot is free again. */
export function used(meter: Meter, claim: Claim): bigint {
  return meter === 'concurrency' ? 0n : claimed(meter, claim);
}
