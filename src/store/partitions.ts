/**
 * Monthly partitions of `usage_events`, by UTC month of `created_at`. Invariant: an event never lacks a place: what
 * no month takes goes to the default partition, and moves out of it when its month is made.
 */

import { defined } from '../domain/defined.ts';
import type { Sql, TransactionSql } from './database.ts';

const MONTHS_AHEAD = 3;
/** Moving the events of a month out of the default partition may take long. */
const MOVE_MS = 60_000;
/** Any number, the same in every version of Tollgate. */
const PARTITION_LOCK = 8_655_428_301;

/**
 * Makes the missing partitions from the month of `nowMs` to three months ahead. Repeatable; safe when several run at
 * once. Returns the names of those that it made.
 * @throws when the default partition stays locked for five seconds: rather later than in the way of the flush
 */
export async function ensurePartitions(sql: Sql, nowMs: number): Promise<string[]> {
  const now = new Date(nowMs);
  const months = Array.from({ length: MONTHS_AHEAD + 1 }, (_, ahead) => monthOf(now, ahead));
  if ((await missing(sql, months)).length === 0) return [];
  return sql.begin({ deadlineMs: MOVE_MS }, async (tx) => {
    await tx`set local lock_timeout = '5s'`;
    await tx`select pg_advisory_xact_lock(${PARTITION_LOCK}::bigint)`;
    const made = await missing(tx, months);
    for (const month of made) await createPartition(tx, month);
    return made.map((month) => month.table);
  });
}

/** Events that lie in the default partition: more than none means that the months ahead were not made in time. */
export async function countUnpartitioned(sql: Sql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`select count(*)::float8 as count from usage_events_default`;
  return defined(row, 'the row of the statement').count;
}

interface Month {
  table: string;
  start: string;
  end: string;
}

function monthOf(now: Date, ahead: number): Month {
  const startOf = (months: number) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months, 1)).toISOString();
  const start = startOf(ahead);
  return { table: `usage_events_${start.slice(0, 7).replace('-', '_')}`, start, end: startOf(ahead + 1) };
}

async function missing(sql: Sql | TransactionSql, months: Month[]): Promise<Month[]> {
  const rows = await sql<{ name: string }[]>`
    select child.relname as name from pg_inherits
    join pg_class child on child.oid = inhrelid
    where inhparent = 'usage_events'::regclass`;
  const existing = new Set(rows.map((row) => row.name));
  return months.filter((month) => !existing.has(month.table));
}

/** Attached rather than created in place: that would lock out every reader and writer of the whole table. */
async function createPartition(tx: TransactionSql, { table, start, end }: Month): Promise<void> {
  const name = tx(table);
  // First, so that no event of the month arrives in the default partition while we move the others out.
  await tx`lock table usage_events_default in access exclusive mode`;
  await tx`create table ${name} (like usage_events including all)`;
  await tx`
    with moved as (delete from usage_events_default where created_at >= ${start} and created_at < ${end} returning *)
    insert into ${name} select * from moved`;
  // DDL takes no parameters; both values are ISO dates made above.
  await tx.unsafe(
    `alter table usage_events attach partition "${table}" for values from ('${start}') to ('${end}')`,
  );
}
