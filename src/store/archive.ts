/**
 * The archive: months of events that left the ledger for files, with what reports need of them. Owns: which months are old,
 * what keeps one from being archived, reading its rows, and the one transaction that drops it. Does not own: the files
 * (jobs/archive.ts). Invariants: a month is dropped only as it was written, with the same number of events and the same
 * sum; in that transaction its charges are summed for the exports, so no report changes.
 */
import { asc } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import type { ParquetColumns, ParquetType } from '../domain/parquet.ts';
import type { Database, Sql, TransactionSql } from './database.ts';
import { archivedMonths } from './schema.ts';

/** A month in UTC, of which events have a partition. */
export interface Month {
  /** `2026-08`. */
  name: string;
  start: Date;
  /** Exclusive. */
  end: Date;
}

export type ArchivedMonth = typeof archivedMonths.$inferSelect;

/** Every month that was archived or waits for it, oldest first. */
export function listArchive({ db }: Database): Promise<ArchivedMonth[]> {
  return db.select().from(archivedMonths).orderBy(asc(archivedMonths.month));
}

/** Returns from which moment on events are in the ledger; null: none were archived. */
export function eventsSince(months: readonly ArchivedMonth[]): Date | null {
  const last = months.findLast(({ archivedAt }) => archivedAt !== null)?.month;
  return last === undefined ? null : new Date(Date.UTC(last.getUTCFullYear(), last.getUTCMonth() + 1));
}

const PARTITION = /^usage_events_(\d{4})_(\d{2})$/;

/** Returns the months that ended at least so many months ago and are still in the ledger, oldest first. */
export async function oldMonths(sql: Sql, keepMonths: number, now: Date): Promise<Month[]> {
  const rows = await sql<{ name: string }[]>`
    select child.relname as name from pg_inherits join pg_class child on child.oid = inhrelid
    where inhparent = 'usage_events'::regclass order by 1`;
  const cutoff = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - keepMonths);
  return rows.flatMap(({ name }) => {
    const [, year, month] = PARTITION.exec(name) ?? [];
    if (year === undefined || month === undefined) return [];
    const start = new Date(Date.UTC(Number(year), Number(month) - 1));
    const end = new Date(Date.UTC(Number(year), Number(month)));
    return end.getTime() <= cutoff ? [{ name: `${year}-${month}`, start, end }] : [];
  });
}

/** What a month waits for, by its number. */
export interface Waiting {
  unknown: number;
  jobs: number;
  holds: number;
  quarantined: number;
  instances: number;
}

/**
 * Returns what may still come to a month, or is not settled in it. None of these can grow once a month is over, so all of
 * them 0 stays true. Instances are those that lived in the month and whose journals were never adopted.
 */
export async function waitsFor(sql: Sql, { start, end }: Month): Promise<Waiting> {
  const [from, to] = [start.toISOString(), end.toISOString()];
  const [row] = await sql<Waiting[]>`
    select (select count(*)::float8 from usage_events e where outcome = 'unknown'
        and created_at >= ${from}::timestamptz and created_at < ${to}::timestamptz
        and not exists (select 1 from adjustments c where c.team_id = e.team_id and c.event_id = e.id)) as unknown,
      (select count(*)::float8 from jobs where ended_at is null and created_at < ${to}::timestamptz) as jobs,
      (select count(*)::float8 from holds where created_at < ${to}::timestamptz) as holds,
      (select count(*)::float8 from quarantined_events where id < ${idAt(end)}::uuid) as quarantined,
      (select count(*)::float8 from instances where ended_at is null and started_at < ${to}::timestamptz
        and heartbeat_at >= ${from}::timestamptz
        and not (status = 'live' and heartbeat_at > tollgate_now() - interval '10 minutes')) as instances`;
  return defined(row, 'the row of the counts');
}

/** The least id of an event of a moment (UUIDv7 begins with it). */
function idAt(moment: Date): string {
  const hex = moment.getTime().toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

export interface EventSums {
  events: number;
  /** Exact decimal text. */
  costUsd: string;
}

/** Returns how many events a range has, and their cost. */
export async function sumsOf(sql: Sql, start: Date, end: Date): Promise<EventSums> {
  const [row] = await sql.within(READ_MS)<EventSums[]>`
    select count(*)::float8 as events, coalesce(sum(cost_usd), 0)::text as "costUsd" from usage_events
    where created_at >= ${start.toISOString()}::timestamptz and created_at < ${end.toISOString()}::timestamptz`;
  return defined(row, 'the row of the sums');
}

/** A whole month of events is read and summed. */
const READ_MS = 600_000;
/** Rows read at once. */
const ROWS = 2_000;

const TYPES: Record<string, ParquetType> = {
  timestamptz: 'moment',
  numeric: 'decimal',
  int2: 'count',
  int4: 'count',
  int8: 'count',
  bool: 'flag',
};

/** Returns every column that events have, whatever release added it: what is no number, moment or flag is text. */
export async function eventColumns(sql: Sql): Promise<ParquetColumns> {
  const rows = await sql<{ name: string; type: string }[]>`
    select attname as name, t.typname as type from pg_attribute join pg_type t on t.oid = atttypid
    where attrelid = 'usage_events'::regclass and attnum > 0 and not attisdropped order by attnum`;
  return Object.fromEntries(rows.map(({ name, type }) => [name, TYPES[type] ?? 'text']));
}

type Row = Record<string, unknown> & { created_at: Date; id: string };

/** Yields the events of a range in the order of their admission, a few thousand at a time. */
export async function* readEvents(
  sql: Sql,
  columns: ParquetColumns,
  start: Date,
  end: Date,
): AsyncGenerator<Row[]> {
  const list = Object.entries(columns).map(([name, type]) =>
    type === 'moment' || type === 'flag' ? `"${name}"` : `"${name}"::text`,
  );
  let [afterMs, afterId] = [start.getTime(), '00000000-0000-0000-0000-000000000000'];
  for (;;) {
    const rows = await sql.unsafe<Row[]>(
      `select ${list.join(', ')} from usage_events where created_at >= $1::timestamptz and created_at < $2::timestamptz
        and (created_at, id) > ($1::timestamptz, $3::uuid) order by created_at, id limit ${ROWS}`,
      [new Date(afterMs).toISOString(), end.toISOString(), afterId],
    );
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    if (rows.length < ROWS) return;
    [afterMs, afterId] = [last.created_at.getTime(), last.id];
  }
}

/** What is known of a month that was written. */
export interface WrittenMonth extends EventSums {
  month: Month;
  files: number;
  folder: string;
  /** Of the manifest, in hex. */
  manifestSha256: string;
}

/**
 * Drops the partition of a month that was written, and keeps its charges. Returns `dropped`; `changed`: it has other events
 * by now; `gone`: another replica dropped it.
 * @throws when the table stays locked for two seconds: rather later than in the way of the flush
 */
export async function dropMonth(sql: Sql, written: WrittenMonth): Promise<'dropped' | 'changed' | 'gone'> {
  const { month, events, costUsd, files, folder, manifestSha256 } = written;
  return sql.begin({ deadlineMs: READ_MS }, async (tx) => {
    await tx`set local lock_timeout = '2s'`;
    const [row] = await tx<{ end: 'dropped' | 'changed' | 'gone' }[]>`
      select tollgate_drop_archived(${month.start.toISOString()}::timestamptz, ${String(events)}::int8,
        ${costUsd}::numeric, ${String(files)}::int4, ${folder}, ${manifestSha256}) as end`;
    return defined(row, 'the row of the function').end;
  });
}

/** Notes what a month waits for. */
export async function noteWaiting(sql: Sql, { start }: Month, problem: string): Promise<void> {
  await sql`
    insert into archived_months (month, events, cost_usd, files, folder, waits_for)
    values (${start.toISOString()}::timestamptz, 0, 0, 0, '', ${problem})
    on conflict (month) do update set waits_for = excluded.waits_for where archived_months.archived_at is null`;
}

/** Whether the ledger is spread over a cluster, whose partitions the archive leaves alone. */
export async function isSpread(sql: Sql): Promise<boolean> {
  const rows = await sql`select 1 from pg_extension where extname = 'citus'`;
  return rows.length > 0;
}

/**
 * Returns which of some moments lie in months that were archived. What arrives of such a month was there when it was
 * written: nothing was outstanding then.
 */
export async function archivedAmong(
  sql: Sql | TransactionSql,
  momentsMs: readonly number[],
): Promise<Set<number>> {
  const rows = await sql<{ month: Date }[]>`select month from archived_months where archived_at is not null`;
  const months = new Set(rows.map(({ month }) => month.toISOString().slice(0, 7)));
  return new Set(momentsMs.filter((ms) => months.has(new Date(ms).toISOString().slice(0, 7))));
}
