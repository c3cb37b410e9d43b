/** Names of teams and keys, for responses that have their ids. */
import { inArray, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { keys, teams } from './schema.ts';

/** By id; what was deleted keeps its name. */
export async function readNames(
  database: Database,
  which: 'teams' | 'keys',
  ids: Iterable<string>,
): Promise<Map<string, string>> {
  const wanted = [...new Set(ids)];
  if (wanted.length === 0) return new Map();
  const table = which === 'teams' ? teams : keys;
  const rows = await database.db
    .select({ id: table.id, name: table.name })
    .from(table)
    .where(inArray(sql`${table.id}`, wanted));
  return new Map(rows.map((row) => [row.id, row.name]));
}
