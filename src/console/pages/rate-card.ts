/**
 * Which price rows apply, and which replaced which. Pure; the gateway's rule: an override first, then the latest start.
 */
import type { Price } from '../api/types.ts';

const subjectOf = (price: Price) => `${price.model} ${price.tier}`;
const startOf = (price: Price) => Date.parse(price.effective_from);
/** Rows without a known start begin before this time, and so before any call. */
const UNKNOWN_START_MS = Date.parse('2020-06-12');

export function hasKnownStart(price: Price): boolean {
  return startOf(price) >= UNKNOWN_START_MS;
}

/** Returns the row of each model and tier that prices a call at `nowMs`. */
export function currentPrices(prices: readonly Price[], nowMs: number): Price[] {
  const best = new Map<string, Price>();
  for (const price of prices) {
    if (price.deleted_at !== null || startOf(price) > nowMs) continue;
    const other = best.get(subjectOf(price));
    if (!other || isStronger(price, other)) best.set(subjectOf(price), price);
  }
  return [...best.values()];
}

function isStronger(price: Price, other: Price): boolean {
  if (price.origin !== other.origin) return price.origin === 'admin';
  return (
    startOf(price) > startOf(other) ||
    (startOf(price) === startOf(other) && price.created_at > other.created_at)
  );
}

export function byModel(a: Price, b: Price): number {
  return a.model.localeCompare(b.model, undefined, { numeric: true }) || a.tier.localeCompare(b.tier);
}

/** Returns the rows with a known start and those of admins, the newest first. */
export function changesOf(prices: readonly Price[]): Price[] {
  return prices
    .filter((price) => price.origin === 'admin' || hasKnownStart(price))
    .sort((a, b) => startOf(b) - startOf(a) || b.created_at.localeCompare(a.created_at) || byModel(a, b));
}

/** Returns the row that this one replaced; null: none is known. */
export function before(price: Price, all: readonly Price[]): Price | null {
  const earlier = all.filter(
    (other) => other !== price && subjectOf(other) === subjectOf(price) && startOf(other) < startOf(price),
  );
  return earlier.sort((a, b) => startOf(b) - startOf(a))[0] ?? null;
}
