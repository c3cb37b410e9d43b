/** The rate cards as the gateway uses them: all price rows and models of the database, seed and admin's alike. */

import { makePrice, type Price, RateCards, type ServiceTier } from '../domain/price.ts';
import type { Sql } from './database.ts';
import { parsePriceLines } from './price-lines.ts';
import { readImageRules } from './seed/read-seed.ts';

interface PriceRow {
  id: string;
  model: string;
  tier: ServiceTier;
  effective_from_ms: number;
  lines: unknown;
  long_context_above_tokens: number | null;
  origin: 'seed' | 'admin';
}

/**
 * Reads the rate book. `compiled` holds prices by id between reads, since the lines of a row never change: the book is read
 * at every change of the catalog, and compiling all of it takes some milliseconds.
 */
export async function readRateBook(sql: Sql, compiled: Map<string, Price> = new Map()): Promise<RateCards> {
  const prices = await sql<PriceRow[]>`
    select ${columns(sql)} from prices where deleted_at is null order by created_at, id`;
  const models = await sql<
    {
      model: string;
      max_input_tokens: number | null;
      max_output_tokens: number | null;
      image_rule: string | null;
      unbounded_reason: string | null;
    }[]
  >`select model, max_input_tokens, max_output_tokens, image_rule, unbounded_reason from models`;
  const imageRules = readImageRules();
  const current = prices.map((row) => compiled.get(row.id) ?? priceOf(row));
  compiled.clear();
  for (const price of current) compiled.set(price.id, price);
  return new RateCards(
    current,
    models.map((row) => ({
      model: row.model,
      maxInputTokens: row.max_input_tokens,
      maxOutputTokens: row.max_output_tokens,
      imageRule: imageRules.get(row.image_rule ?? '') ?? null,
      unboundedReason: row.unbounded_reason,
    })),
  );
}

/** Reads the rate book, and of each of its prices the model and where it was published or agreed. */
export async function readSourcedPrices(
  sql: Sql,
): Promise<{ cards: RateCards; rows: { id: string; model: string; source: string }[] }> {
  const cards = await readRateBook(sql);
  const rows = await sql<{ id: string; model: string; source: string }[]>`
    select id, model, source from prices where deleted_at is null`;
  return { cards, rows };
}

/** Price rows by id, those that were deleted since too: calls were priced by them. */
export async function readPrices(sql: Sql, ids: readonly string[]): Promise<Map<string, Price>> {
  const rows = await sql<PriceRow[]>`select ${columns(sql)} from prices where id = any(${[...ids]})`;
  return new Map(rows.map((row) => [row.id, priceOf(row)]));
}

function columns(sql: Sql) {
  return sql`id, model, tier, (extract(epoch from effective_from) * 1000)::float8 as effective_from_ms,
    lines, long_context_above_tokens, origin`;
}

function priceOf(row: PriceRow): Price {
  return makePrice({
    id: row.id,
    model: row.model,
    tier: row.tier,
    effectiveFromMs: row.effective_from_ms,
    lines: parsePriceLines(row.lines),
    longContextAboveTokens: row.long_context_above_tokens,
    origin: row.origin,
  });
}
