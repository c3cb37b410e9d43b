/**
 * Monthly partitions of `usage_events`, by UTC month of `created_at`. Invariant: an event never lacks a place: what
 * no month takes goes to the default partition, and moves out of it when its month is made.
 */

import { defined } from '../domain/defined.ts';
import type { Sql } from './database.ts';

const MONTHS_AHEAD = 3;
/** Moving the events of a month out of the default partition may take long. */
const MOVE_MS = 60_000;

/**
 * Makes the missing partitions from the month of `nowMs` to three months ahead. Repeatable; safe when several run at
 * once. Returns the names of those that it made. A function of the database makes them, with the rights of its owner: the
 * role that serves needs none to make tables.
 * @throws when the default partition stays locked for five seconds: rather later than in the way of the flush
 */
export async function ensurePartitions(sql: Sql, nowMs: number): Promise<string[]> {
  const now = new Date(nowMs);
  const months = Array.from({ length: MONTHS_AHEAD + 1 }, (_, ahead) => monthOf(now, ahead));
  if ((await missing(sql, months)).length === 0) return [];
  return sql.begin({ deadlineMs: MOVE_MS }, async (tx) => {
    await tx`set local lock_timeout = '5s'`;
    const made: string[] = [];
    for (const { table, start } of months) {
      const [row] = await tx<
        { is_new: boolean }[]
      >`select tollgate_make_partition(${start}::timestamptz) as is_new`;
      if (row?.is_new) made.push(table);
    }
    return made;
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
}

function monthOf(now: Date, ahead: number): Month {
  const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)).toISOString();
  return { table: `usage_events_${start.slice(0, 7).replace('-', '_')}`, start };
}

async function missing(sql: Sql, months: Month[]): Promise<Month[]> {
  const rows = await sql<{ name: string }[]>`
    select child.relname as name from pg_inherits
    join pg_class child on child.oid = inhrelid
    where inhparent = 'usage_events'::regclass`;
  const existing = new Set(rows.map((row) => row.name));
  return months.filter((month) => !existing.has(month.table));
}
