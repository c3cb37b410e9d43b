/**
 * Grants: prepaid credit. Invariant: a grant and its counter (there is at most one) change in one transaction.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, isNull, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type GrantId, type TeamId } from '../domain/ids.ts';
import { type After, changeCatalog, isAfter, lockTeam, raiseVersion } from './changes.ts';
import type { Database } from './database.ts';
import { counters, grants } from './schema.ts';

export type GrantRow = typeof grants.$inferSelect;

export interface NewGrant {
  name: string | null;
  teamId: TeamId;
  /** Decimal text. */
  amountUsd: string;
  /** Null: now. */
  startsAt: Date | null;
  /** Null: never. */
  expiresAt: Date | null;
  /** Decimal text. */
  maxUnknownUsd: string | null;
}

const ENDS_BEFORE_IT_STARTS = apiError('invalid_request', 'expires_at must be after starts_at', {
  param: 'expires_at',
});

export function createGrant(database: Database, grant: NewGrant): Promise<GrantRow | ApiError> {
  return changeCatalog(database, async (tx, now) => {
    const problem = await lockTeam(tx, grant.teamId, 'team_id');
    if (problem) return problem;
    const startsAt = grant.startsAt ?? now;
    if (grant.expiresAt && grant.expiresAt <= startsAt) return ENDS_BEFORE_IT_STARTS;
    const [row] = await tx
      .insert(grants)
      .values({ id: asId<GrantId>(randomUUID()), ...grant, startsAt, createdAt: now })
      .returning();
    await raiseVersion(tx, [grant.teamId]);
    return defined(row, 'the row of the statement');
  });
}

export async function findGrant(database: Database, id: GrantId): Promise<GrantRow | null> {
  const [row] = await database.db.select().from(grants).where(eq(grants.id, id));
  return row ?? null;
}

export function listGrants(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean; teamIds: readonly TeamId[] | undefined },
): Promise<GrantRow[]> {
  return database.db
    .select()
    .from(grants)
    .where(
      and(
        isAfter(grants, page.after),
        page.teamIds && inArray(grants.teamId, [...page.teamIds]),
        page.deleted ? undefined : isNull(grants.deletedAt),
      ),
    )
    .orderBy(asc(grants.createdAt), asc(grants.id))
    .limit(page.limit);
}

/** Changes a grant and its counter. Less than what is already spent is allowed: nothing more is. */
export function changeGrant(
  database: Database,
  id: GrantId,
  change: {
    name?: string | null;
    amountUsd?: string;
    expiresAt?: Date | null;
    maxUnknownUsd?: string | null;
  },
): Promise<GrantRow | ApiError | null> {
  return changeCatalog(database, async (tx) => {
    const [grant] = await tx.select().from(grants).where(eq(grants.id, id));
    if (!grant) return null;
    const problem = await lockTeam(tx, grant.teamId);
    if (problem) return problem;
    if (change.expiresAt && change.expiresAt <= grant.startsAt) return ENDS_BEFORE_IT_STARTS;
    const [row] = await tx
      .update(grants)
      .set(change)
      .where(and(eq(grants.id, id), isNull(grants.deletedAt)))
      .returning();
    if (!row) return apiError('conflict', 'the grant was deleted');
    await tx
      .update(counters)
      .set({ amount: row.amountUsd, endsAt: row.expiresAt })
      .where(and(eq(counters.teamId, row.teamId), eq(counters.sourceId, id)));
    await raiseVersion(tx, [row.teamId]);
    return row;
  });
}

/** Deletes a grant: what is neither spent, held nor lent of it is gone. Deleting it again changes nothing. */
export async function deleteGrant(database: Database, id: GrantId): Promise<GrantRow | null> {
  await changeCatalog(database, async (tx, now) => {
    const [grant] = await tx.select().from(grants).where(eq(grants.id, id));
    if (!grant || (await lockTeam(tx, grant.teamId))) return;
    const [row] = await tx
      .update(grants)
      .set({ deletedAt: now })
      .where(and(eq(grants.id, id), isNull(grants.deletedAt)))
      .returning();
    if (!row) return;
    await tx
      .update(counters)
      .set({ amount: sql`${counters.settled} + ${counters.held} + ${counters.leased}` })
      .where(and(eq(counters.teamId, row.teamId), eq(counters.sourceId, id)));
    await raiseVersion(tx, [row.teamId]);
  });
  return findGrant(database, id);
}
