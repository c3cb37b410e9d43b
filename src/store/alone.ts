/** Work that only one replica should do at a time. */
import { sql } from 'drizzle-orm';
import type { Database } from './database.ts';

/**
 * Runs `work`, at this moment of Postgres's clock, unless another replica runs under the same lock; then it answers
 * null. The lock is a transaction's, which survives a pooler and ends with the connection. That transaction idles
 * meanwhile, but without a snapshot or an id, so it is in nobody's way. `work` has its own transactions: losing the lock
 * undoes nothing, so it must be idempotent.
 */
export function runAlone<Result>(
  database: Database,
  lock: number,
  work: (now: Date) => Promise<Result>,
): Promise<Result | null> {
  return database.db.transaction(async (tx) => {
    const [row] = await tx.execute<{ alone: boolean; ms: number }>(
      sql`select pg_try_advisory_xact_lock(${lock}::bigint) as alone,
        floor(extract(epoch from tollgate_now()) * 1000)::float8 as ms`,
    );
    return row!.alone ? work(new Date(row!.ms)) : null;
  });
}
