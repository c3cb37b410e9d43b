/** The days from which models serve no more, as lists of the upstream said: shared by replicas, kept over restarts. */
import { inArray, sql as text } from 'drizzle-orm';
import { SHUTDOWNS_MAX, type Shutdown } from '../domain/shutdown.ts';
import { changeCatalog, raiseVersion } from './changes.ts';
import type { Database, Sql } from './database.ts';
import { modelShutdowns } from './schema.ts';

export async function readShutdowns(sql: Sql): Promise<Shutdown[]> {
  return await sql<Shutdown[]>`
    select model, day from model_shutdowns order by noted_at desc limit ${SHUTDOWNS_MAX}`;
}

/** Keeps what is new; every replica notices it like a change of prices. */
export async function writeShutdowns(database: Database, shutdowns: readonly Shutdown[]): Promise<void> {
  await changeCatalog(database, async (tx, notedAt) => {
    const set = shutdowns.flatMap(({ model, day }) => (day === null ? [] : [{ model, day, notedAt }]));
    const ended = shutdowns.flatMap(({ model, day }) => (day === null ? [model] : []));
    set.sort((a, b) => (a.model < b.model ? -1 : 1));
    if (ended.length > 0) await tx.delete(modelShutdowns).where(inArray(modelShutdowns.model, ended));
    if (set.length > 0) {
      await tx
        .insert(modelShutdowns)
        .values(set)
        .onConflictDoUpdate({
          target: modelShutdowns.model,
          set: { day: text`excluded.day`, notedAt: text`excluded.noted_at` },
        });
    }
    await raiseVersion(tx, []);
  });
}
