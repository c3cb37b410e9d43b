/**
 * Savings: what calls would have cost in another way, by prices alone. Owns: which model is a cheaper one of the same family, and
 * the sums. Does not own: whether it would do as well. Invariant: no more is saved than was spent: what cost less than the
 * standard price (in batches, on a cheaper tier) saves less in the same proportion. Pure.
 */
import type { PicoUsd } from './money.ts';
import { costAt, type Price, type RateCards, type ServiceTier } from './price.ts';
import type { Quantities } from './quantities.ts';

/** Text that calls of one model used together. */
export interface ModelUse {
  model: string;
  calls: number;
  spent: PicoUsd;
  usage: Quantities;
}

/** Words by which models of one family tell their sizes. */
const SIZE = /-(?:pro|mini|nano|sol|luna|terra|astra)(?=-|$)/g;
const SNAPSHOT = /-\d{4}-\d{2}-\d{2}$/;

/** Models of the same text are of one family: `gpt-5`, `gpt-5-mini`, `gpt-5-nano`. Null: it has none (fine-tuned models). */
export function familyOf(model: string): string | null {
  if (model.startsWith('ft:')) return null;
  return model.replace(SNAPSHOT, '').replace(SIZE, '');
}

/** What usage costs at the rates of a tier below the long context; null: it has no price there. */
function costInTier(
  cards: RateCards,
  model: string,
  tier: ServiceTier,
  usage: Quantities,
  atMs: number,
): PicoUsd | null {
  const price: Price | undefined = cards.find(model, atMs)?.tiers[tier];
  return price?.short ? costAt(price.short, usage) : null;
}

export interface Cheaper {
  model: string;
  saving: PicoUsd;
}

/** @param own what it would have cost at standard prices */
function ofSpent(saving: PicoUsd, spent: PicoUsd, own: PicoUsd): PicoUsd {
  return own > spent ? (saving * spent) / own : saving;
}

/**
 * The model of the same family that would have cost least, at standard prices of both; null: none would have cost less.
 * @param names of models with a price
 */
export function cheaperModel(
  cards: RateCards,
  names: readonly string[],
  { model, usage, spent }: ModelUse,
  atMs: number,
): Cheaper | null {
  const family = familyOf(model);
  const own = costInTier(cards, model, 'default', usage, atMs);
  if (family === null || own === null) return null;
  let best: Cheaper | null = null;
  // All of them in the same proportion: the cheapest stays the cheapest.
  for (const name of names) {
    if (name === model || SNAPSHOT.test(name) || familyOf(name) !== family) continue;
    const cost = costInTier(cards, name, 'default', usage, atMs);
    if (cost !== null && own - cost > (best?.saving ?? 0n)) best = { model: name, saving: own - cost };
  }
  return best && { ...best, saving: ofSpent(best.saving, spent, own) };
}

/** What the same usage would have cost less as a batch, at the prices of both tiers; null: one of them has none. */
export function batchSaving(
  cards: RateCards,
  { model, usage, spent }: ModelUse,
  atMs: number,
): PicoUsd | null {
  const own = costInTier(cards, model, 'default', usage, atMs);
  const batch = costInTier(cards, model, 'batch', usage, atMs);
  return own === null || batch === null ? null : ofSpent(own - batch, spent, own);
}

/** Whether input of a model costs less where it comes from the cache. */
export function isCacheable(cards: RateCards, model: string, atMs: number): boolean {
  const million = { input_tokens: 1_000_000 };
  const whole = costInTier(cards, model, 'default', million, atMs);
  const cached = costInTier(cards, model, 'default', { ...million, cached_input_tokens: 1_000_000 }, atMs);
  return whole !== null && cached !== null && cached < whole;
}

/**
 * What a use would cost less if all of its input came from the cache; null: the model has no price for that. What was written to the
 * cache stays.
 */
export function cacheSaving(
  cards: RateCards,
  { model, usage, spent }: ModelUse,
  atMs: number,
): PicoUsd | null {
  const own = costInTier(cards, model, 'default', usage, atMs);
  const { input_tokens: input = 0, cache_write_tokens: written = 0 } = usage;
  const cached = { ...usage, cached_input_tokens: input - written };
  const least = costInTier(cards, model, 'default', cached, atMs);
  return own === null || least === null ? null : ofSpent(own - least, spent, own);
}
