/** What counters say of themselves, for people to see: settled, and held by calls in flight (not what is merely leased). */
import { and, eq, inArray, or, sql } from 'drizzle-orm';
import type { CounterSpec } from '../domain/counter.ts';
import { usd } from '../domain/money.ts';
import type { Transaction } from './catalog-version.ts';
import { counters, instances, leases } from './schema.ts';

export interface Spent {
  settled: bigint;
  /** What calls in flight hold. */
  held: bigint;
}

export const NOTHING: Spent = { settled: 0n, held: 0n };

/**
 * By counter id what is known of these counters; none that no call has needed yet. Holds are in the counter (calls
 * that take long) and in what live instances told of their leases.
 */
export async function readCounters(
  tx: Transaction,
  specs: readonly Pick<CounterSpec, 'teamId' | 'id'>[],
): Promise<Map<string, Spent>> {
  if (specs.length === 0) return new Map();
  const teams = [...new Set(specs.map((spec) => spec.teamId))];
  const lent = tx
    .select({
      teamId: leases.teamId,
      counterId: leases.counterId,
      held: sql<string>`sum(${leases.held})`.as('lent_held'),
    })
    .from(leases)
    .innerJoin(instances, eq(instances.id, leases.instanceId))
    .where(and(inArray(leases.teamId, teams), eq(instances.status, 'live')))
    .groupBy(leases.teamId, leases.counterId)
    .as('lent');
  const named = specs.map((spec) => and(eq(counters.teamId, spec.teamId), eq(counters.id, spec.id)));
  const rows = await tx
    .select({ id: counters.id, settled: counters.settled, held: counters.held, lentHeld: lent.held })
    .from(counters)
    .leftJoin(lent, and(eq(lent.teamId, counters.teamId), eq(lent.counterId, counters.id)))
    .where(or(...named));
  return new Map(
    rows.map((row) => [
      row.id,
      { settled: usd(row.settled), held: usd(row.held) + usd(row.lentHeld ?? '0') },
    ]),
  );
}
