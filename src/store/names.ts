/** Names of teams, keys and departments, for responses that have their ids. */
import { inArray, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { departments, keys, teams } from './schema.ts';

const TABLES = { departments, keys, teams };

/** By id; what was deleted keeps its name. */
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
  return new Map(rows.map((row) => [row.id, row.name]));
}
