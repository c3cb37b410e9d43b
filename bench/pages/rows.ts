/** How many rows a query reads, by what Postgres says of its plan. */
import type { Sql } from 'postgres';
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

/** Rows read by table, those that a filter removed included. A partition counts under its own name. */
export async function rowsRead(sql: Sql, { text, parameters = [] }: PageQuery): Promise<Map<string, number>> {
  const [row] = await sql.unsafe<{ 'QUERY PLAN': [{ Plan: PlanNode }] }[]>(
    `explain (analyze, format json, timing off) ${text}`,
    parameters as (string | number | boolean | null)[],
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
