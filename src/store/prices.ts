/**
 * Prices: the rows of the rate card. Invariant: the rates of a row never change, because usage events name it; a new
 * price is a new row, which an admin's overrides the seed's.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, isNull } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import type { ServiceTier } from '../domain/price.ts';
import { type After, changeCatalog, isAfter, raiseVersion } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import type { StoredPriceLine } from './price-lines.ts';
import { models, prices } from './schema.ts';

export type PriceRow = typeof prices.$inferSelect;

export interface NewPrice {
  model: string;
  tier: ServiceTier;
  lines: StoredPriceLine[];
  longContextAboveTokens: number | null;
  /** Null: now. */
  effectiveFrom: Date | null;
  /** What the admin says of the model itself; what is missing stays as it is. */
  limits: { maxInputTokens?: number; maxOutputTokens?: number; imageRule?: string };
  source: string;
}

/** What admins wrote is marked, so that a newer seed leaves it alone. */
export const ADMIN_SOURCE = 'admin: ';

/** Adds an admin's price. */
export function createPrice(database: Database, price: NewPrice): Promise<PriceRow | ApiError> {
  const { limits, ...row } = price;
  return changeCatalog(database, async (tx, now) => {
    if (Object.keys(limits).length > 0) await keepLimits(tx, row.model, limits, row.source);
    const [made] = await tx
      .insert(prices)
      .values({
        ...row,
        id: randomUUID(),
        effectiveFrom: row.effectiveFrom ?? now,
        origin: 'admin',
        createdAt: now,
      })
      .returning();
    await raiseVersion(tx, []);
    return defined(made, 'the row that was made');
  });
}

async function keepLimits(tx: Transaction, model: string, limits: NewPrice['limits'], source: string) {
  const known = { ...limits, source: ADMIN_SOURCE + source };
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
): Promise<PriceRow | ApiError | null> {
  return changeAdminPrice(database, id, () => ({ source }));
}

/** Deletes an admin's price: what it overrode applies again. Deleting it again changes nothing. */
export async function deletePrice(database: Database, id: string): Promise<PriceRow | ApiError | null> {
  const row = await findPrice(database, id);
  return row?.deletedAt ? row : changeAdminPrice(database, id, (now) => ({ deletedAt: now }));
}

function changeAdminPrice(
  database: Database,
  id: string,
  change: (now: Date) => { source: string } | { deletedAt: Date },
): Promise<PriceRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const [price] = await tx.select().from(prices).where(eq(prices.id, id)).for('update');
    if (!price) return null;
    if (price.origin !== 'admin') {
      return apiError('conflict', 'this price comes with Tollgate: add a price to override it');
    }
    if (price.deletedAt) return apiError('conflict', 'the price was deleted');
    const [row] = await tx.update(prices).set(change(now)).where(eq(prices.id, id)).returning();
    await raiseVersion(tx, []);
    return defined(row, 'the row of the statement');
  });
}
