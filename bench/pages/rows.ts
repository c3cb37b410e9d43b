/** How many rows Postgres reads for a page or a query. */
import type { Database, Sql } from '../../src/store/database.ts';
import type { PageQuery } from './list.ts';

/** A node of `EXPLAIN (FORMAT JSON)`, as far as it is used here. */
interface PlanNode {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Rows Removed by Index Recheck'?: number;
  Plans?: PlanNode[];
}

/** Rows read by table, by the query's plan; those that a filter removed included. A partition counts under its own name. */
export async function rowsRead(sql: Sql, { text }: PageQuery): Promise<Map<string, number>> {
  const [row] = await sql.unsafe<{ 'QUERY PLAN': [{ Plan: PlanNode }] }[]>(
    `explain (analyze, format json, timing off) ${text}`,
  );
  const read = new Map<string, number>();
  const visit = (node: PlanNode): void => {
    const table = node['Relation Name'];
    if (table !== undefined) {
      const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
      const rows = (node['Actual Rows'] + removed) * node['Actual Loops'];
      read.set(table, (read.get(table) ?? 0) + rows);
    }
    for (const child of node.Plans ?? []) visit(child);
  };
  visit(row!['QUERY PLAN'][0].Plan);
  return read;
}

/**
 * Rows that whatever is asked meanwhile reads by table, by Postgres's own counts; nobody else may use the database, and
 * its pools must have one connection each.
 */
export async function rowsReadBy(
  database: Database,
  ask: () => Promise<unknown>,
): Promise<Map<string, number>> {
  const before = await rowsCounted(database);
  await ask();
  const after = await rowsCounted(database);
  const read = new Map<string, number>();
  for (const [table, rows] of after) {
    const more = rows - (before.get(table) ?? 0);
    if (more > 0) read.set(table, more);
  }
  return read;
}

async function rowsCounted({ sql, readSql, db }: Database): Promise<Map<string, number>> {
  // A session tells of what it read once in a while, unless it is asked to.
  for (const raw of [sql, readSql]) await raw`select pg_stat_force_next_flush()`;
  await db.execute('select pg_stat_force_next_flush()');
  const rows = await sql<{ name: string; rows: number }[]>`
    select relname as name, (seq_tup_read + coalesce(idx_tup_fetch, 0))::float8 as rows from pg_stat_user_tables`;
  return new Map(rows.map((row) => [row.name, row.rows]));
}
