/**
 * Prices: the rows of the rate card. Invariant: the rates of a row never change, because usage events name it; a new
 * price is a new row, which an admin's overrides the seed's.
 */
import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt, isNull, sql } from 'drizzle-orm';
import { type Fault, fault } from '../domain/errors.ts';
import { formatUsd, usd } from '../domain/money.ts';
import type { Model, Price, ServiceTier, TokenRates } from '../domain/price.ts';
import { type After, changeCatalog, isAfter, raiseVersion, type Transaction } from './catalog-version.ts';
import type { Database } from './database.ts';
import { models, prices } from './schema.ts';

export type PriceRow = typeof prices.$inferSelect;

/** {@link TokenRates} as they are stored: decimal text of USD per `per_tokens`. */
export interface StoredRates {
  input: string;
  cached_input: string | null;
  cache_write: string | null;
  output: string;
}

export interface NewPrice {
  model: string;
  tier: ServiceTier;
  perTokens: number;
  rates: Omit<StoredRates, 'output'> & { output: string | null };
  /** Null: now. */
  effectiveFrom: Date | null;
  /** Null: as it is known, or not. */
  maxOutputTokens: number | null;
  source: string;
}

/** What admins wrote is marked, so that a newer seed leaves it alone. */
export const ADMIN_SOURCE = 'admin: ';

/** Adds an admin's price. Without an output rate the model must be one that has no output, as far as is known. */
export function createPrice(database: Database, price: NewPrice): Promise<PriceRow | Fault> {
  const { maxOutputTokens, ...row } = price;
  return changeCatalog(database, async (tx, now) => {
    const { output } = row.rates;
    if (output === null && (maxOutputTokens !== null || (await hasOutput(tx, row.model)))) {
      return fault('invalid_request', `the model ${row.model} has output: it needs a price`, {
        param: 'output_usd',
      });
    }
    if (maxOutputTokens !== null) await keepMaxOutput(tx, row.model, maxOutputTokens, row.source);
    const [made] = await tx
      .insert(prices)
      .values({
        ...row,
        rates: { ...row.rates, output: output ?? '0.00' },
        id: randomUUID(),
        effectiveFrom: row.effectiveFrom ?? now,
        origin: 'admin',
        createdAt: now,
      })
      .returning();
    await raiseVersion(tx, []);
    return made!;
  });
}

async function hasOutput(tx: Transaction, model: string): Promise<boolean> {
  const priced = await tx
    .select({ id: prices.id })
    .from(prices)
    .where(and(eq(prices.model, model), sql`(${prices.rates} ->> 'output')::numeric > 0`))
    .limit(1);
  const known = await tx
    .select({ model: models.model })
    .from(models)
    .where(and(eq(models.model, model), gt(models.maxOutputTokens, 0)));
  return priced.length > 0 || known.length > 0;
}

async function keepMaxOutput(tx: Transaction, model: string, maxOutputTokens: number, source: string) {
  const known = { maxOutputTokens, source: ADMIN_SOURCE + source };
  await tx
    .insert(models)
    .values({ model, ...known })
    .onConflictDoUpdate({ target: models.model, set: known });
}

export async function findPrice(database: Database, id: string): Promise<PriceRow | null> {
  const [row] = await database.db.select().from(prices).where(eq(prices.id, id));
  return row ?? null;
}

export function listPrices(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean; model: string | undefined },
): Promise<PriceRow[]> {
  return database.db
    .select()
    .from(prices)
    .where(
      and(
        isAfter(prices, page.after),
        page.model === undefined ? undefined : eq(prices.model, page.model),
        page.deleted ? undefined : isNull(prices.deletedAt),
      ),
    )
    .orderBy(asc(prices.createdAt), asc(prices.id))
    .limit(page.limit);
}

/** Changes where an admin's price came from: its rates never change. */
export function changePrice(
  database: Database,
  id: string,
  source: string,
): Promise<PriceRow | Fault | null> {
  return changeAdminPrice(database, id, () => ({ source }));
}

/** Deletes an admin's price: what it overrode applies again. Deleting it again changes nothing. */
export async function deletePrice(database: Database, id: string): Promise<PriceRow | Fault | null> {
  const row = await findPrice(database, id);
  return row?.deletedAt ? row : changeAdminPrice(database, id, (now) => ({ deletedAt: now }));
}

function changeAdminPrice(
  database: Database,
  id: string,
  change: (now: Date) => { source: string } | { deletedAt: Date },
): Promise<PriceRow | Fault | null> {
  return changeCatalog(database, async (tx, now) => {
    const [price] = await tx.select().from(prices).where(eq(prices.id, id)).for('update');
    if (!price) return null;
    if (price.origin !== 'admin') {
      return fault('conflict', 'this price comes with Tollgate: add a price to override it');
    }
    if (price.deletedAt) return fault('conflict', 'the price was deleted');
    const [row] = await tx.update(prices).set(change(now)).where(eq(prices.id, id)).returning();
    await raiseVersion(tx, []);
    return row!;
  });
}

/** All that a rate book is made of: every price that was not deleted, and what is known of the models. */
export async function readRates(database: Database): Promise<{ prices: Price[]; models: Model[] }> {
  const [priceRows, modelRows] = await Promise.all([
    database.db.select().from(prices).where(isNull(prices.deletedAt)),
    database.db.select().from(models),
  ]);
  return { prices: priceRows.map(toPrice), models: modelRows };
}

function toPrice(row: PriceRow): Price {
  return {
    id: row.id,
    model: row.model,
    tier: row.tier as ServiceTier,
    effectiveFromMs: row.effectiveFrom.getTime(),
    perTokens: BigInt(row.perTokens),
    standard: fromStoredRates(row.rates as StoredRates),
    longContext: row.longContext === null ? null : fromStoredRates(row.longContext as StoredRates),
    longContextAboveTokens: row.longContextAboveTokens,
    origin: row.origin as 'seed' | 'admin',
  };
}

function fromStoredRates(rates: StoredRates): TokenRates {
  return {
    input: usd(rates.input),
    cachedInput: rates.cached_input === null ? null : usd(rates.cached_input),
    cacheWrite: rates.cache_write === null ? null : usd(rates.cache_write),
    output: usd(rates.output),
  };
}

export function toStoredRates(rates: TokenRates): StoredRates {
  return {
    input: formatUsd(rates.input),
    cached_input: rates.cachedInput === null ? null : formatUsd(rates.cachedInput),
    cache_write: rates.cacheWrite === null ? null : formatUsd(rates.cacheWrite),
    output: formatUsd(rates.output),
  };
}
