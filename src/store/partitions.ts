/**
 * Monthly partitions: of `usage_events` by UTC month of `created_at`, of `objects` by the month in which they expire.
 * Invariant: a row never lacks a place: what no month takes goes to the default partition, and moves out of it when its
 * month is made.
 */

import type { Sql } from './database.ts';

const MONTHS_AHEAD = 3;
/** What is partitioned. */
const TABLES = ['usage_events', 'objects'] as const;
type Partitioned = (typeof TABLES)[number];
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
  const months = TABLES.flatMap((parent) =>
    Array.from({ length: MONTHS_AHEAD + 1 }, (_, ahead) => monthOf(parent, now, ahead)),
  );
  if ((await missing(sql, months)).length === 0) return [];
  return sql.begin({ deadlineMs: MOVE_MS }, async (tx) => {
    await tx`set local lock_timeout = '5s'`;
    const made: string[] = [];
    for (const { parent, table, start } of months) {
      const make = parent === 'objects' ? 'tollgate_make_object_partition' : 'tollgate_make_partition';
      const [row] = await tx<{ is_new: boolean }[]>`select ${tx(make)}(${start}::timestamptz) as is_new`;
      if (row?.is_new) made.push(table);
    }
    return made;
  });
}

/**
 * Drops the partitions of objects all of which the upstream has forgotten by `nowMs`. Returns their names.
 * @throws when they stay locked for five seconds
 */
export async function dropExpiredObjects(sql: Sql, nowMs: number): Promise<string[]> {
  const { table: month } = monthOf('objects', new Date(nowMs), 0);
  const names = await partitionsOf(sql, 'objects');
  if (!names.some((name) => MONTH.test(name) && name < month)) return [];
  return sql.begin(async (tx) => {
    await tx`set local lock_timeout = '5s'`;
    const rows = await tx<{ name: string }[]>`
      select tollgate_drop_expired_objects(${new Date(nowMs).toISOString()}::timestamptz) as name`;
    return rows.map((row) => row.name);
  });
}

const MONTH = /^objects_\d{4}_\d{2}$/;

interface Month {
  parent: Partitioned;
  table: string;
  start: string;
}

function monthOf(parent: Partitioned, now: Date, ahead: number): Month {
  const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + ahead, 1)).toISOString();
  return { parent, table: `${parent}_${start.slice(0, 7).replace('-', '_')}`, start };
}

async function missing(sql: Sql, months: Month[]): Promise<Month[]> {
  const existing = new Set<string>();
  for (const parent of new Set(months.map((month) => month.parent)))
    for (const name of await partitionsOf(sql, parent)) existing.add(name);
  return months.filter((month) => !existing.has(month.table));
}

async function partitionsOf(sql: Sql, parent: Partitioned): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select child.relname as name from pg_inherits
    join pg_class child on child.oid = inhrelid
    where inhparent = ${parent}::text::regclass`;
  return rows.map((row) => row.name);
}
