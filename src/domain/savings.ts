/**
 * Savings: what calls would have cost in another way, by prices alone. Owns: which model is a cheaper one of the same family, and
 * the sums. Does not own: whether it would do as well. Pure.
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
export function costInTier(
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

/**
 * The model of the same family that would have cost least, at standard prices of both; null: none would have cost less.
 * @param names of models with a price
 */
export function cheaperModel(
  cards: RateCards,
  names: readonly string[],
  { model, usage }: ModelUse,
  atMs: number,
): Cheaper | null {
  const family = familyOf(model);
  const own = costInTier(cards, model, 'default', usage, atMs);
  if (family === null || own === null) return null;
  let best: Cheaper | null = null;
  for (const name of names) {
    if (name === model || SNAPSHOT.test(name) || familyOf(name) !== family) continue;
    const cost = costInTier(cards, name, 'default', usage, atMs);
    if (cost !== null && own - cost > (best?.saving ?? 0n)) best = { model: name, saving: own - cost };
  }
  return best;
}

/** What the same usage would have cost less as a batch, at the prices of both tiers; null: one of them has none. */
export function batchSaving(cards: RateCards, { model, usage }: ModelUse, atMs: number): PicoUsd | null {
  const own = costInTier(cards, model, 'default', usage, atMs);
  const batch = costInTier(cards, model, 'batch', usage, atMs);
  return own === null || batch === null ? null : own - batch;
}

/** What input would cost less if all of it came from the cache; null: the model has no price for that. */
export function cacheSaving(cards: RateCards, model: string, tokens: number, atMs: number): PicoUsd | null {
  const whole = costInTier(cards, model, 'default', { input_tokens: tokens }, atMs);
  const cached = costInTier(
    cards,
    model,
    'default',
    { input_tokens: tokens, cached_input_tokens: tokens },
    atMs,
  );
  return whole === null || cached === null ? null : whole - cached;
}
