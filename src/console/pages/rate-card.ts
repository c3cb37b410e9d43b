/** Which price rows are in force, and which changed what. Pure; the rule is the gateway's: the latest start wins, an override first. */
import type { Price } from '../api/types.ts';

const subjectOf = (price: Price) => `${price.model} ${price.tier}`;
const startOf = (price: Price) => Date.parse(price.effective_from);
/** Rows whose start no source tells begin before any call: then the start says nothing. */
const UNKNOWN_START_MS = Date.parse('2020-06-12');

export function hasKnownStart(price: Price): boolean {
  return startOf(price) >= UNKNOWN_START_MS;
}

/** One row for each model and tier: the one that a call would be priced by now. */
export function inForce(prices: readonly Price[], nowMs: number): Price[] {
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

/** Rows that began at a known moment or were set by an admin, the newest first. */
export function changesOf(prices: readonly Price[]): Price[] {
  return prices
    .filter((price) => price.origin === 'admin' || hasKnownStart(price))
    .sort((a, b) => startOf(b) - startOf(a) || b.created_at.localeCompare(a.created_at) || byModel(a, b));
}

/** The row that this one took over from; null: none is known. */
export function before(price: Price, all: readonly Price[]): Price | null {
  const earlier = all.filter(
    (other) => other !== price && subjectOf(other) === subjectOf(price) && startOf(other) < startOf(price),
  );
  return earlier.sort((a, b) => startOf(b) - startOf(a))[0] ?? null;
}
