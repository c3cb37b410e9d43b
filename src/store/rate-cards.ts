/** The rate cards as the gateway uses them: all price rows and models of the database, seed and admin's alike. */
import type { Sql } from 'postgres';
import { usd } from '../domain/money.ts';
import {
  makePrice,
  type Price,
  RateCards,
  type ServiceTier,
  type TextPrice,
  textLines,
} from '../domain/price.ts';

/** Decimal USD per `per_tokens` tokens, as `prices.rates` and `prices.long_context` hold them. */
export interface StoredRates {
  input: string;
  cached_input: string | null;
  cache_write: string | null;
  output: string;
}

interface PriceRow {
  id: string;
  model: string;
  tier: ServiceTier;
  effective_from_ms: number;
  per_tokens: number;
  rates: StoredRates;
  long_context: StoredRates | null;
  long_context_above_tokens: number | null;
  origin: 'seed' | 'admin';
}

export async function readRateBook(sql: Sql): Promise<RateCards> {
  const prices = await sql<PriceRow[]>`
    select ${columns(sql)} from prices where deleted_at is null order by created_at, id`;
  const models = await sql<
    {
      model: string;
      max_input_tokens: number | null;
      max_output_tokens: number | null;
      unbounded_reason: string | null;
    }[]
  >`select model, max_input_tokens, max_output_tokens, unbounded_reason from models`;
  return new RateCards(
    prices.map(priceOf),
    models.map((row) => ({
      model: row.model,
      maxInputTokens: row.max_input_tokens,
      maxOutputTokens: row.max_output_tokens,
      unboundedReason: row.unbounded_reason,
    })),
  );
}

/** Price rows by id, those that were deleted since too: calls were priced by them. */
export async function readPrices(sql: Sql, ids: readonly string[]): Promise<Map<string, Price>> {
  const rows = await sql<PriceRow[]>`select ${columns(sql)} from prices where id = any(${[...ids]})`;
  return new Map(rows.map((row) => [row.id, priceOf(row)]));
}

function columns(sql: Sql) {
  return sql`id, model, tier, (extract(epoch from effective_from) * 1000)::float8 as effective_from_ms,
    per_tokens::float8 as per_tokens, rates, long_context, long_context_above_tokens, origin`;
}

function priceOf(row: PriceRow): Price {
  const short = textLines(ratesOf(row.rates), row.per_tokens, 'short');
  const long = row.long_context === null ? [] : textLines(ratesOf(row.long_context), row.per_tokens, 'long');
  return makePrice({
    id: row.id,
    model: row.model,
    tier: row.tier,
    effectiveFromMs: row.effective_from_ms,
    lines: [...short, ...long],
    longContextAboveTokens: row.long_context_above_tokens,
    origin: row.origin,
  });
}

function ratesOf(rates: StoredRates): TextPrice {
  return {
    input: usd(rates.input),
    cachedInput: rates.cached_input === null ? null : usd(rates.cached_input),
    cacheWrite: rates.cache_write === null ? null : usd(rates.cache_write),
    output: usd(rates.output),
  };
}
