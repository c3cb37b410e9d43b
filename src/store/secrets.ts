/** Secrets, as they stand encrypted. Owns: their rows. Does not own: what opens them (auth/vault.ts). */
import { and, asc, eq, sql } from 'drizzle-orm';
import { type After, changeCatalog, isAfter } from './changes.ts';
import type { Database } from './database.ts';
import { secrets } from './schema.ts';

export type SecretRow = typeof secrets.$inferSelect;
type SealedSecret = Pick<SecretRow, 'name' | 'sealed' | 'keyId'>;

/** Writes a secret, new or in the place of the one of that name. */
export function writeSecret(database: Database, secret: SealedSecret): Promise<SecretRow | null> {
  return changeCatalog(database, async (tx, now) => {
    const [row] = await tx
      .insert(secrets)
      .values({ ...secret, createdAt: now, changedAt: now })
      .onConflictDoUpdate({
        target: secrets.name,
        set: { sealed: secret.sealed, keyId: secret.keyId, changedAt: now },
      })
      .returning();
    return row ?? null;
  });
}

export async function findSecret(database: Database, name: string): Promise<SecretRow | null> {
  const [row] = await database.db.select().from(secrets).where(eq(secrets.name, name));
  return row ?? null;
}

export function listSecrets(
  database: Database,
  page: { after: After | null; limit: number },
): Promise<SecretRow[]> {
  return database.db
    .select()
    .from(secrets)
    .where(and(isAfter({ createdAt: secrets.createdAt, id: secrets.name }, page.after)))
    .orderBy(asc(secrets.createdAt), asc(secrets.name))
    .limit(page.limit);
}

export function allSecrets(database: Database): Promise<SecretRow[]> {
  return database.db.select().from(secrets);
}

/** Returns what is another text after every change of a secret. */
export async function secretsStamp(database: Database): Promise<string> {
  const [row] = await database.db
    .select({ stamp: sql<string>`coalesce(md5(string_agg(name || sealed, ',' order by name)), '')` })
    .from(secrets);
  return row?.stamp ?? '';
}

/** Deletes a secret; returns it as it was. */
export function removeSecret(database: Database, name: string): Promise<SecretRow | null> {
  return changeCatalog(database, async (tx) => {
    const [row] = await tx.delete(secrets).where(eq(secrets.name, name)).returning();
    return row ?? null;
  });
}

/**
 * Writes every secret again as `reseal` returns it (null: it stays as it is), in one transaction. Returns how many were written.
 */
export function resealSecrets(
  database: Database,
  reseal: (row: SecretRow) => Pick<SecretRow, 'sealed' | 'keyId'> | null,
): Promise<number> {
  return changeCatalog(database, async (tx, now) => {
    let resealed = 0;
    for (const row of await tx.select().from(secrets).orderBy(asc(secrets.name)).for('update')) {
      const again = reseal(row);
      if (again === null) continue;
      await tx
        .update(secrets)
        .set({ ...again, changedAt: now })
        .where(eq(secrets.name, row.name));
      resealed += 1;
    }
    return resealed;
  });
}
