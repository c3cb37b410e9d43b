/**
 * Prices. Owns: the shape of a rate card, which price a call is billed at, and the exact cost of usage.
 * Does not own: where prices come from (store/seed, admin overrides). Invariants: integers only; one rounding, up,
 * per event; no price means no call.
 */
import type { PicoUsd } from './money.ts';

/** A processing tier as the API names it in `service_tier`; `default` is the standard price. */
export type ServiceTier = 'default' | 'flex' | 'priority' | 'batch';

/** Prices in pico-USD per `perTokens` tokens. Null: the card lists none (cached and cache-written input then cost as input). */
export interface TokenRates {
  input: PicoUsd;
  cachedInput: PicoUsd | null;
  cacheWrite: PicoUsd | null;
  output: PicoUsd;
}

/** One dated price row: a model in one tier from a moment on. Its id is stored on every event that it priced. */
export interface Price {
  id: string;
  model: string;
  tier: ServiceTier;
  /** Milliseconds since the epoch; the newest row at or before the call's admission applies. */
  effectiveFromMs: number;
  /** The divisor of the rates: published prices are per 1,000,000 tokens. */
  perTokens: bigint;
  standard: TokenRates;
  /** Rates of the whole request once its input passes `longContextAboveTokens`; null: one band only. */
  longContext: TokenRates | null;
  longContextAboveTokens: number | null;
}

/** What is known of a model beside its prices; null means no source gives it, so it must not be assumed. */
export interface ModelLimits {
  maxInputTokens: number | null;
  maxOutputTokens: number | null;
}

/** All that prices a call to one model at one moment: the price rows by tier and the model's limits. */
export interface RateCard {
  model: string;
  limits: ModelLimits;
  tiers: Partial<Record<ServiceTier, Price>>;
}
