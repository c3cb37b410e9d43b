/** Prices as the last release stored them and reckoned with them: what the upgrade is held against. */

import { textPriceOf } from '../../src/domain/price.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

interface OldRates {
  input: string;
  cached_input: string | null;
  cache_write: string | null;
  output: string;
}

export interface OldPrice {
  id: string;
  tier: string;
  perTokens: number;
  rates: OldRates;
  longContext: OldRates | null;
  threshold: number | null;
}

const TEXT = new Set<string>(['input_tokens', 'cached_input_tokens', 'cache_write_tokens', 'output_tokens']);

/** The seed as the last release stored it, and what admins may have added. */
export function oldPrices(): (OldPrice & { model: string; origin: string; effectiveFromMs: number })[] {
  const ratesOf = (lines: Parameters<typeof textPriceOf>[0], band: 'short' | 'long'): OldRates => {
    const text = textPriceOf(lines, band)!;
    const maybe = (rate: bigint | null) => (rate === null ? null : formatUsd(rate));
    return {
      input: formatUsd(text.input),
      cached_input: maybe(text.cachedInput),
      cache_write: maybe(text.cacheWrite),
      output: formatUsd(text.output),
    };
  };
  // It priced text alone.
  const ofText = readSeed().prices.filter(({ lines }) => lines.every(({ meter }) => TEXT.has(meter)));
  const seed = ofText.map((price) => ({
    id: price.id,
    model: price.model,
    tier: price.tier as string,
    origin: 'seed',
    effectiveFromMs: price.effectiveFromMs,
    perTokens: 1_000_000,
    rates: ratesOf(price.lines, 'short'),
    longContext: price.long === null ? null : ratesOf(price.lines, 'long'),
    threshold: price.longContextAboveTokens,
  }));
  const admin = (['default', 'flex', 'priority', 'batch'] as const).map((tier, index) => ({
    id: `admin-${tier}`,
    model: 'house-1',
    tier: tier as string,
    origin: 'admin',
    effectiveFromMs: 1_790_000_000_000,
    perTokens: [1000, 7, 1, 1_000_000_000][index]!,
    rates: {
      input: ['0.0015', '0.000000000001', '1000000', '3.1'][index]!,
      cached_input: [null, '0', '0.333333333333', '0.1'][index] ?? null,
      cache_write: ['0.002', null, null, '9'][index] ?? null,
      output: ['0', '0.000000000003', '0.7', '12.34'][index]!,
    },
    longContext: null,
    threshold: null,
  }));
  return [...seed, ...admin];
}

/** As the last release reckoned. */
export function oldCost(price: OldPrice, [uncached, cached, written, output]: number[]): bigint | null {
  const pico = (text: string) => {
    const [whole, fraction = ''] = text.split('.');
    return BigInt(whole! + fraction.padEnd(12, '0'));
  };
  const isLong = price.threshold !== null && uncached! + cached! + written! > price.threshold;
  const rates = isLong ? price.longContext : price.rates;
  if (rates === null) return null;
  const total =
    BigInt(uncached!) * pico(rates.input) +
    BigInt(cached!) * pico(rates.cached_input ?? rates.input) +
    BigInt(written!) * pico(rates.cache_write ?? rates.input) +
    BigInt(output!) * pico(rates.output);
  const per = BigInt(price.perTokens);
  return (total + per - 1n) / per;
}
