/** Keys: the rows of virtual keys. Their text is never here, only its hash (auth/keys). */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type KeyId, type TeamId } from '../domain/ids.ts';
import type { OnShortage } from '../domain/open-ended.ts';
import { type After, changeCatalog, isAfter, lockTeam, raiseVersion } from './changes.ts';
import type { Database } from './database.ts';
import { keys } from './schema.ts';

export type KeyRow = typeof keys.$inferSelect;

export interface KeyInput {
  teamId: TeamId;
  name: string;
  hash: string;
  prefix: string;
  /** Null: all models. */
  models: string[] | null;
  /** Null: as the team says. */
  onShortage: OnShortage | null;
  /** Of all its calls, by name; null: none. */
  tags: Record<string, string> | null;
  expiresAt: Date | null;
}

export function createKey(database: Database, key: KeyInput): Promise<KeyRow | ApiError> {
  return changeCatalog(database, async (tx, now) => {
    const problem = await lockTeam(tx, key.teamId, 'team_id');
    if (problem) return problem;
    const [row] = await tx
      .insert(keys)
      .values({ id: asId<KeyId>(randomUUID()), ...key, createdAt: now })
      .returning();
    await raiseVersion(tx, [key.teamId], 'reread');
    return defined(row, 'the row of the statement');
  });
}

export async function findKeyRow(database: Database, id: KeyId): Promise<KeyRow | null> {
  const [row] = await database.db.select().from(keys).where(eq(keys.id, id));
  return row ?? null;
}

export function listKeys(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean; teamIds: readonly TeamId[] | undefined },
): Promise<KeyRow[]> {
  return database.db
    .select()
    .from(keys)
    .where(
      and(
        isAfter(keys, page.after),
        page.teamIds && inArray(keys.teamId, [...page.teamIds]),
        page.deleted ? undefined : isNull(keys.revokedAt),
      ),
    )
    .orderBy(asc(keys.createdAt), asc(keys.id))
    .limit(page.limit);
}

/** Changes a key that is not revoked; an error when it is. */
export function changeKey(
  database: Database,
  id: KeyId,
  change: {
    name?: string | undefined;
    models?: string[] | null | undefined;
    onShortage?: OnShortage | null | undefined;
    /** Of the key as it is. */
    tags?: (key: KeyRow) => Record<string, string> | null;
    expiresAt?: Date | null;
  },
): Promise<KeyRow | ApiError | null> {
  const { tags, ...rest } = change;
  return changeCatalog(database, async (tx) => {
    const [key] = await tx.select().from(keys).where(eq(keys.id, id));
    if (!key) return null;
    const problem = await lockTeam(tx, key.teamId);
    if (problem) return problem;
    const [now] = await tx.select().from(keys).where(eq(keys.id, id)).for('update');
    const [row] = await tx
      .update(keys)
      .set(now && tags ? { ...rest, tags: tags(now) } : rest)
      .where(and(eq(keys.id, id), isNull(keys.revokedAt)))
      .returning();
    if (!row) return apiError('conflict', `the key ${key.name} was revoked`);
    await raiseVersion(tx, [key.teamId], 'reread');
    return row;
  });
}

/**
 * Gives a key a new text. It stays the same key, with its limits, its usage and its counters: a rotation that made
 * another one would have new counters. The text before works for the time of grace.
 */
export function rotateKey(
  database: Database,
  id: KeyId,
  text: { hash: string; prefix: string },
  graceMs: number,
): Promise<KeyRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const [key] = await tx.select().from(keys).where(eq(keys.id, id));
    if (!key) return null;
    const problem = await lockTeam(tx, key.teamId);
    if (problem) return problem;
    const previous =
      graceMs > 0
        ? { previousHash: sql`${keys.hash}`, previousExpiresAt: new Date(now.getTime() + graceMs) }
        : { previousHash: null, previousExpiresAt: null };
    const [row] = await tx
      .update(keys)
      .set({ ...previous, ...text })
      .where(and(eq(keys.id, id), isNull(keys.revokedAt)))
      .returning();
    if (!row) return apiError('conflict', `the key ${key.name} was revoked`);
    await raiseVersion(tx, [key.teamId], 'reread');
    return row;
  });
}

/** Revokes a key for good. Revoking it again changes nothing. */
export async function revokeKey(database: Database, id: KeyId): Promise<KeyRow | null> {
  await changeCatalog(database, async (tx, now) => {
    const [key] = await tx.select().from(keys).where(eq(keys.id, id));
    if (!key || (await lockTeam(tx, key.teamId))) return;
    await tx
      .update(keys)
      .set({ revokedAt: now })
      .where(and(eq(keys.id, id), isNull(keys.revokedAt)));
    await raiseVersion(tx, [key.teamId], 'reread');
  });
  return findKeyRow(database, id);
}
