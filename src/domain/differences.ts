/**
 * Differences between the upstream's bill of a UTC day and the ledger: their kinds, and what is compared (reconciliation.ts).
 * Pure.
 */
import type { PicoUsd } from './money.ts';
import type { Price, ServiceTier } from './price.ts';
import type { Quantities } from './quantities.ts';

export const DIFFERENCE_KINDS = [
  'outside_gateway',
  'unpriced_line',
  'price_changed',
  'late_batch',
  'day_boundary',
  'disconnect',
  'unknown_outcome',
  'estimated_outcome',
  'rounding',
  'unexplained',
] as const;
export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

/** Why the ledger does not know what a call cost. */
export const OPEN_STATES = ['disconnect', 'unknown_outcome', 'estimated_outcome'] as const;
export type OpenState = (typeof OPEN_STATES)[number];

/** Calls of one model, tier, price and state, in sum. */
export interface LedgerRow {
  /** As the response named it, else as the request did; empty: several. */
  model: string;
  tier: ServiceTier;
  /** `whole`: it has line items of its own, which are compared in sum. */
  subject: 'text' | 'training' | 'whole' | 'tools' | 'storage';
  state: OpenState | 'reported' | 'voided';
  /** Null: none, or several. */
  price: Price | null;
  /** Billed at the rates of long contexts. */
  isLong: boolean;
  calls: number;
  /** In steps, as events have them. */
  usage: Quantities;
  /** Before corrections. */
  cost: PicoUsd;
  held: PicoUsd;
  /** The sum of corrections, and how many of the calls have one. */
  corrected: PicoUsd;
  correctedCalls: number;
}

/** Calls that the upstream may report under another day than the ledger: at most these. */
export interface Crossing {
  kind: 'late_batch' | 'day_boundary';
  /** It is a training job, which is compared in dollars. */
  isTraining: boolean;
  /** `in`: of another day in the ledger, maybe of this day upstream; `out`: the other way round. */
  direction: 'in' | 'out';
  model: string;
  tier: ServiceTier;
  calls: number;
  /** Null: it has not ended, nothing of it is known but its hold. */
  usage: Quantities | null;
  /** What they cost; of those that go on, their hold. */
  cost: PicoUsd;
}

export interface UsageRow {
  report: string;
  /** Null: the report does not say. */
  apiKeyId: string | null;
  model: string | null;
  /** Null: the report does not say. */
  tier: ServiceTier | null;
  requests: number;
  /** Null: it counts other units. */
  tokens:
    | (Pick<
        Required<Quantities>,
        'input_tokens' | 'cached_input_tokens' | 'cache_write_tokens' | 'output_tokens'
      > &
        Pick<Quantities, 'input_audio_tokens' | 'output_audio_tokens'>)
    | null;
  /** Characters, seconds, images, sessions or bytes. */
  units: number;
}

export interface CostRow {
  lineItem: string | null;
  projectId: string | null;
  apiKeyId: string | null;
  amount: PicoUsd;
  /** Decimals that the report wrote. */
  decimals: number;
  /** Null: the report does not say. */
  quantity: number | null;
}

export interface DayInput {
  ledger: readonly LedgerRow[];
  crossing: readonly Crossing[];
  usage: readonly UsageRow[];
  costs: readonly CostRow[];
  /** Ids of the keys that the gateway calls with; null: it is not known which they are. */
  ownKeys: ReadonlySet<string> | null;
  /** The price of the day. */
  priceOf(model: string, tier: ServiceTier): Price | null;
}

/** Billed less charged. */
export interface Difference {
  /** The same whenever the day is computed again. */
  id: string;
  kind: DifferenceKind;
  /** Others that may be part of it: no number tells them apart. */
  with: DifferenceKind[];
  model: string | null;
  tier: ServiceTier | null;
  lineItem: string | null;
  apiKeyId: string | null;
  /** Tokens, or other units; null: none is known. */
  quantity: number | null;
  amount: PicoUsd;
  /** What corrections of its calls have moved already. */
  corrected: PicoUsd;
  /** Calls of the ledger that it is about; 0: none. */
  calls: number;
}

export interface Reconciled {
  billed: PicoUsd;
  /** Before corrections. */
  charged: PicoUsd;
  corrected: PicoUsd;
  unexplained: PicoUsd;
  differences: Difference[];
}
