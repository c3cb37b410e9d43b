/** Plans: the credit, limits and models that a new team gets. A plan's later changes touch no team made before. */
import { and, asc, eq } from 'drizzle-orm';
import { Temporal } from 'temporal-polyfill';
import { type ApiError, apiError } from '../domain/errors.ts';
import { type After, changeCatalog, isAfter, raiseVersion } from './changes.ts';
import type { Database, Queries } from './database.ts';
import { plans } from './schema.ts';

export type PlanRow = typeof plans.$inferSelect;

/** $18 for three months: what the paid API gave every new account. */
const BUILT_IN_PLAN = { name: 'free-tier', grants: [{ amount_usd: '18.00', months: 3 }] };

/** Inserts the built-in plan where it is missing; an admin's change of it stays. Idempotent. */
export function ensureBuiltInPlans(database: Database): Promise<void> {
  return changeCatalog(database, async (tx, createdAt) => {
    await tx
      .insert(plans)
      .values({ ...BUILT_IN_PLAN, createdAt })
      .onConflictDoNothing();
  });
}

/**
 * The same day of the month, so many calendar months later, in UTC; the last day where that month is shorter
 * (30 November + 3 months = 28 or 29 February).
 */
export function addMonths(from: Date, months: number): Date {
  const start = Temporal.Instant.fromEpochMilliseconds(from.getTime()).toZonedDateTimeISO('UTC');
  return new Date(start.add({ months }).epochMilliseconds);
}

export async function findPlan(queries: Queries, name: string): Promise<PlanRow | null> {
  const [row] = await queries.select().from(plans).where(eq(plans.name, name));
  return row ?? null;
}

export function listPlans(database: Database, after: After | null, limit: number): Promise<PlanRow[]> {
  return database.db
    .select()
    .from(plans)
    .where(and(isAfter({ createdAt: plans.createdAt, id: plans.name }, after)))
    .orderBy(asc(plans.createdAt), asc(plans.name))
    .limit(limit);
}

export type PlanContents = Pick<PlanRow, 'grants' | 'limits' | 'models'>;

export function createPlan(
  database: Database,
  name: string,
  contents: PlanContents,
): Promise<PlanRow | ApiError> {
  return changeCatalog(database, async (tx, createdAt) => {
    const [row] = await tx
      .insert(plans)
      .values({ name, ...contents, createdAt })
      .onConflictDoNothing()
      .returning();
    if (!row) return apiError('conflict', `a plan named ${name} exists already`, { param: 'name' });
    await raiseVersion(tx, []);
    return row;
  });
}

export function changePlan(
  database: Database,
  name: string,
  change: { [K in keyof PlanContents]?: PlanContents[K] | undefined },
): Promise<PlanRow | null> {
  return changeCatalog(database, async (tx) => {
    const [row] = await tx.update(plans).set(change).where(eq(plans.name, name)).returning();
    if (!row) return null;
    await raiseVersion(tx, []);
    return row;
  });
}

/** Removes a plan: what it gave stands in the teams' own grants and limits. */
export function deletePlan(database: Database, name: string): Promise<PlanRow | null> {
  return changeCatalog(database, async (tx) => {
    const [row] = await tx.delete(plans).where(eq(plans.name, name)).returning();
    if (!row) return null;
    await raiseVersion(tx, []);
    return row;
  });
}
