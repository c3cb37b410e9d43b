/** The prices that the planner reckons with, at any date, whether they come from the database or from the seed. Pure. */
import { type ApiError, apiError } from '../domain/errors.ts';
import { quote } from '../domain/input-bound.ts';
import type { RateCard, RateCards, TrainingPrice } from '../domain/price.ts';

export interface PriceBook {
  cards: RateCards;
  /** The names that have a price of their own. */
  models: readonly string[];
  /** As published; a price of the model with a line of the meter overrides it. */
  training: readonly TrainingPrice[];
  /** Where a price was published or agreed, by its id. */
  sources: ReadonlyMap<string, string>;
}

/** Makes a book of cards and what is known of the rows behind them. */
export function priceBook(
  cards: RateCards,
  rows: Iterable<{ id: string; model: string; source: string }>,
  training: readonly TrainingPrice[],
): PriceBook {
  const sources = new Map<string, string>();
  const models = new Set<string>();
  for (const { id, model, source } of rows) {
    sources.set(id, source);
    models.add(model);
  }
  return { cards, models: [...models], training, sources };
}

/** Returns the card of a model at a moment; an error when it had no price then. */
export function cardOf({ cards }: PriceBook, model: string, atMs: number): RateCard | ApiError {
  const card = cards.find(model, atMs);
  if (card?.tiers.default !== undefined) return card;
  const day = new Date(atMs).toISOString().slice(0, 10);
  return apiError('unknown_price', `No price of the model ${quote(model)} is known on ${day}.`, {
    param: 'model',
  });
}
