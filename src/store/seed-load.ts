/**
 * Brings the seed rate card into Postgres. Invariant: a seed row is immutable by its id, because usage events name it;
 * a price that changed must come with a new date, hence a new id, or the start fails.
 */
import { isDeepStrictEqual } from 'node:util';
import { eq, sql } from 'drizzle-orm';
import { changeCatalog, raiseVersion } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { toStoredLine } from './price-lines.ts';
import { ADMIN_SOURCE } from './prices.ts';
import { models, prices } from './schema.ts';
import { readSeed, type Seed, type SeedModel, type SeedPrice } from './seed/read-seed.ts';

/**
 * Adds the rows of the seed that are missing and renews what it says of models, except where an admin said otherwise.
 * Raises the catalog's version when anything changed. Idempotent, also with several replicas at once.
 * @throws when a row of the seed has other rates than the row of the same id in the database
 */
export function loadSeed(
  database: Database,
  seed: Pick<Seed, 'prices' | 'models'> = readSeed(),
): Promise<void> {
  return changeCatalog(database, async (tx, now) => {
    const added = await addPrices(tx, seed.prices, now);
    const renewed = await renewModels(tx, seed.models);
    if (added + renewed > 0) await raiseVersion(tx, []);
  });
}

async function addPrices(tx: Transaction, seed: SeedPrice[], now: Date): Promise<number> {
  const rows = seed.map((price) => toRow(price, now)).sort((a, b) => (a.id < b.id ? -1 : 1));
  if (rows.length === 0) return 0;
  const added = await tx.insert(prices).values(rows).onConflictDoNothing().returning({ id: prices.id });
  if (added.length === rows.length) return added.length;
  const kept = await tx.select().from(prices).where(eq(prices.origin, 'seed'));
  const keptById = new Map(kept.map((row) => [row.id, row]));
  for (const row of rows) {
    const known = keptById.get(row.id);
    if (!known || !isDeepStrictEqual(billedBy(known), billedBy(row))) {
      throw new Error(
        `the seed changes the price ${row.id}, which events may name: give the new rates a new date`,
      );
    }
  }
  return added.length;
}

function toRow(price: SeedPrice, now: Date): typeof prices.$inferInsert & { id: string } {
  return {
    id: price.id,
    model: price.model,
    tier: price.tier,
    effectiveFrom: new Date(price.effectiveFromMs),
    lines: price.lines.map(toStoredLine),
    longContextAboveTokens: price.longContextAboveTokens,
    source: price.source,
    origin: price.origin,
    createdAt: now,
  };
}

/** Everything of a row that decides a bill. */
function billedBy(row: typeof prices.$inferInsert) {
  const { model, tier, effectiveFrom, lines, longContextAboveTokens } = row;
  return { model, tier, effectiveFrom, lines, longContextAboveTokens };
}

async function renewModels(tx: Transaction, seed: SeedModel[]): Promise<number> {
  const rows = seed
    .map(({ imageRuleName, ...model }) => ({ ...model, imageRule: imageRuleName }))
    .sort((a, b) => (a.model < b.model ? -1 : 1));
  if (rows.length === 0) return 0;
  const renewed = await tx
    .insert(models)
    .values(rows)
    .onConflictDoUpdate({
      target: models.model,
      set: {
        maxInputTokens: sql`excluded.max_input_tokens`,
        maxOutputTokens: sql`excluded.max_output_tokens`,
        imageRule: sql`excluded.image_rule`,
        unboundedReason: sql`excluded.unbounded_reason`,
        source: sql`excluded.source`,
      },
      setWhere: sql`not starts_with(${models.source}, ${ADMIN_SOURCE}) and
        (${models.maxInputTokens}, ${models.maxOutputTokens}, ${models.imageRule}, ${models.unboundedReason}, ${models.source})
        is distinct from (excluded.max_input_tokens, excluded.max_output_tokens, excluded.image_rule, excluded.unbounded_reason, excluded.source)`,
    })
    .returning({ model: models.model });
  return renewed.length;
}
