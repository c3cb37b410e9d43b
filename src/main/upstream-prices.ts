/** The prices of one of several upstreams: a percentage of those that all have, and its own. */
import type { UpstreamSettings } from '../config/file.ts';
import { usd } from '../domain/money.ts';
import { type Model, makePrice, type Price, type RateCards, textLines } from '../domain/price.ts';
import type { GatewayDeps } from '../gateway/deps.ts';

/** What a token of input and one of output cost at the standard tier, in pico-USD; null: there is no price. */
export function tokenPrice(rates: RateCards, model: string, nowMs: number): number | null {
  const price = rates.find(model, nowMs)?.tiers.default;
  if (price === undefined) return null;
  const { factors, denominator } = price.short;
  const sum = (factors.get('input_tokens') ?? 0n) + (factors.get('output_tokens') ?? 0n);
  return Number(sum) / Number(denominator);
}

/** The prices of an upstream, which follow those that all have. */
export function ratesOf(shared: GatewayDeps['catalog'], settings: UpstreamSettings): GatewayDeps['catalog'] {
  const { name, price_percent: percent = 100, prices } = settings;
  const own = Object.entries(prices);
  const aliases = new Map(Object.entries(settings.model_names));
  if (percent === 100 && own.length === 0 && aliases.size === 0) return shared;
  const ownRows = {
    prices: own.map(([model, price]) => priceOf(name, model, price)),
    models: own.map(([model, price]) => modelOf(model, price)),
  };
  let of: RateCards | null = null;
  let rates: RateCards | null = null;
  return {
    get rates() {
      if (rates === null || of !== shared.rates) {
        of = shared.rates;
        rates = of.ofUpstream(name, percent, ownRows, aliases);
      }
      return rates;
    },
  };
}

const PER_TOKENS = 1_000_000;

type OwnPrice = UpstreamSettings['prices'][string];

function priceOf(upstream: string, model: string, price: OwnPrice): Price {
  const { input = '0', cached_input: cached, cache_write: written, output = '0', second } = price;
  const text = {
    input: usd(input),
    cachedInput: cached === undefined ? null : usd(cached),
    cacheWrite: written === undefined ? null : usd(written),
    output: usd(output),
  };
  return makePrice({
    id: `${model}@${upstream}`,
    model,
    tier: 'default',
    effectiveFromMs: 0,
    lines: [
      ...textLines(text, PER_TOKENS),
      ...(second === undefined ? [] : [{ meter: 'upstream_seconds' as const, per: 1, rate: usd(second) }]),
    ],
    longContextAboveTokens: null,
    origin: 'admin',
  });
}

function modelOf(model: string, price: OwnPrice): Model {
  return {
    model,
    maxInputTokens: price.max_input_tokens ?? null,
    maxOutputTokens: price.max_output_tokens ?? null,
    imageRule: null,
    unboundedReason: null,
  };
}
