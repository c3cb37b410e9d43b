/**
 * Limits: the rules. Invariant: a changed amount and the amount of the counters that are still open change in one
 * transaction, so no replica lends by the old rule once the new one is told.
 */
import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt, isNull, or } from 'drizzle-orm';
import { type Fault, fault } from '../domain/errors.ts';
import type { Enforcement, Meter } from '../domain/limit.ts';
import type { Window } from '../domain/window.ts';
import {
  type After,
  changeCatalog,
  isAfter,
  lockTeam,
  raiseVersion,
  type Transaction,
} from './catalog-version.ts';
import type { Database } from './database.ts';
import { counters, keys, limits } from './schema.ts';

export type LimitRow = typeof limits.$inferSelect;

export interface NewLimit {
  subject: { type: 'team' | 'key'; id: string };
  meter: Meter;
  /** Decimal text. */
  amount: string;
  window: Window;
  enforcement: Enforcement;
}

export function createLimit(database: Database, limit: NewLimit): Promise<LimitRow | Fault> {
  const { subject, ...rule } = limit;
  return changeCatalog(database, async (tx, now) => {
    const teamId = subject.type === 'team' ? subject.id : await teamOfKey(tx, subject.id);
    if (typeof teamId !== 'string') return teamId;
    const refused = await lockTeam(tx, teamId, 'subject.id');
    if (refused) return refused;
    const [row] = await tx
      .insert(limits)
      .values({
        id: randomUUID(),
        teamId,
        subjectType: subject.type,
        subjectId: subject.id,
        ...rule,
        createdAt: now,
      })
      .returning();
    await raiseVersion(tx, [teamId]);
    return row!;
  });
}

async function teamOfKey(tx: Transaction, keyId: string): Promise<string | Fault> {
  const [key] = await tx.select().from(keys).where(eq(keys.id, keyId));
  const extra = { param: 'subject.id' };
  if (!key) return fault('not_found', `there is no key ${keyId}`, extra);
  return key.revokedAt ? fault('conflict', `the key ${key.name} was revoked`, extra) : key.teamId;
}

export async function findLimit(database: Database, id: string): Promise<LimitRow | null> {
  const [row] = await database.db.select().from(limits).where(eq(limits.id, id));
  return row ?? null;
}

export function listLimits(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean; teamId: string | undefined },
): Promise<LimitRow[]> {
  return database.db
    .select()
    .from(limits)
    .where(
      and(
        isAfter(limits, page.after),
        page.teamId === undefined ? undefined : eq(limits.teamId, page.teamId),
        page.deleted ? undefined : isNull(limits.deletedAt),
      ),
    )
    .orderBy(asc(limits.createdAt), asc(limits.id))
    .limit(page.limit);
}

/**
 * Changes the amount of a limit and of its open counters. Less than what is settled, held and lent already is allowed:
 * it refuses new holds, calls in flight finish.
 */
export function changeLimit(
  database: Database,
  id: string,
  amount: string,
): Promise<LimitRow | Fault | null> {
  return changeCatalog(database, async (tx, now) => {
    const [limit] = await tx.select().from(limits).where(eq(limits.id, id));
    if (!limit) return null;
    const refused = await lockTeam(tx, limit.teamId);
    if (refused) return refused;
    const [row] = await tx
      .update(limits)
      .set({ amount })
      .where(and(eq(limits.id, id), isNull(limits.deletedAt)))
      .returning();
    if (!row) return fault('conflict', 'the limit was deleted');
    const open = and(
      eq(counters.teamId, limit.teamId),
      eq(counters.sourceId, id),
      or(isNull(counters.endsAt), gt(counters.endsAt, now)),
    );
    await tx.select().from(counters).where(open).orderBy(asc(counters.id)).for('update');
    await tx.update(counters).set({ amount }).where(open);
    await raiseVersion(tx, [limit.teamId]);
    return row;
  });
}

/** Deletes a limit: it binds nobody any more. Deleting it again changes nothing. */
export async function deleteLimit(database: Database, id: string): Promise<LimitRow | null> {
  await changeCatalog(database, async (tx, now) => {
    const [limit] = await tx.select().from(limits).where(eq(limits.id, id));
    if (!limit || (await lockTeam(tx, limit.teamId))) return;
    await tx
      .update(limits)
      .set({ deletedAt: now })
      .where(and(eq(limits.id, id), isNull(limits.deletedAt)));
    await raiseVersion(tx, [limit.teamId]);
  });
  return findLimit(database, id);
}
