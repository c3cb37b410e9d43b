/** Names of teams, keys, departments, limits and grants, for responses that have their ids. */
import { inArray, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { departments, grants, keys, limits, teams } from './schema.ts';

const TABLES = { departments, grants, keys, limits, teams };

/** By id; what was deleted keeps its name, and what has none is left out. */
export async function readNames(
  database: Database,
  which: keyof typeof TABLES,
  ids: Iterable<string>,
): Promise<Map<string, string>> {
  const wanted = [...new Set(ids)];
  if (wanted.length === 0) return new Map();
  const table = TABLES[which];
  const rows = await database.db
    .select({ id: table.id, name: table.name })
    .from(table)
    .where(inArray(sql`${table.id}`, wanted));
  return new Map(rows.flatMap(({ id, name }) => (name === null ? [] : [[id, name] as const])));
}
