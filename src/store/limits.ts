/**
 * Limits: the rules. Invariant: a changed amount and the amount of the counters that are still open change in one
 * transaction, so no replica lends by the old rule once the new one is visible.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, gt, inArray, isNull, or, type SQL } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type KeyId, type LimitId, type TeamId } from '../domain/ids.ts';
import {
  type Enforcement,
  type Meter,
  type OnExhausted,
  ORGANIZATION_ID,
  type Subject,
  type SubjectType,
  subjectIdOf,
} from '../domain/limit.ts';
import type { Window } from '../domain/window.ts';
import { type After, changeCatalog, isAfter, lockOwner, lockTeam, raiseVersion } from './changes.ts';
import type { Database, Transaction } from './database.ts';
import { lockDepartment, teamsBelow } from './departments.ts';
import { placesOf } from './hot/places.ts';
import { counters, keys, limits } from './schema.ts';
import type { CarryOver } from './stored-json.ts';

export type LimitRow = typeof limits.$inferSelect;

export interface NewLimit {
  name: string | null;
  subject: Subject;
  /** Of end users and tags: of which team's; null: of every team's. */
  teamId: TeamId | null;
  /** Null: all. */
  models: string[] | null;
  meter: Meter;
  /** Decimal text. */
  amount: string;
  window: Window;
  enforcement: Enforcement;
  /** Decimal text; null: none. */
  maxHold: string | null;
  /** Decimal text; null: as domain/unknown.ts says. */
  maxUnknown: string | null;
  /** Percents of the amount; null: those of the configuration. */
  warnAt: number[] | null;
  /** Null: it denies. */
  onExhausted: OnExhausted | null;
  /** Null: nothing is carried into the next window. */
  carryOver: CarryOver | null;
}

export function createLimit(database: Database, limit: NewLimit): Promise<LimitRow | ApiError> {
  const { subject, teamId: ofTeam, ...rule } = limit;
  return changeCatalog(database, async (tx, now) => {
    const teamId = await teamOf(tx, subject, ofTeam);
    if (isApiError(teamId)) return teamId;
    const problem =
      (await (subject.type === 'team' ? lockTeam : lockOwner)(tx, teamId, 'subject.id')) ??
      (subject.type === 'department' ? await lockDepartment(tx, subject.id, 'subject.id') : null);
    if (problem) return problem;
    const [row] = await tx
      .insert(limits)
      .values({
        id: asId<LimitId>(randomUUID()),
        teamId,
        subjectType: subject.type,
        subjectId: subjectIdOf(subject),
        ...rule,
        createdAt: now,
      })
      .returning();
    const made = defined(row, 'the row of the statement');
    await raiseVersionOf(tx, made);
    return made;
  });
}

/** Makes a change of a limit known to the teams whose calls it binds; the organization's id stands for all of them. */
export async function raiseVersionOf(
  tx: Transaction,
  { teamId, subjectType, subjectId }: LimitRow,
): Promise<void> {
  if (subjectType !== 'department') await raiseVersion(tx, [teamId]);
  else await raiseVersion(tx, await teamsBelow(tx, asId(subjectId ?? '')), 'reread');
}

/** Under which team a limit stands. */
async function teamOf(tx: Transaction, subject: Subject, teamId: TeamId | null): Promise<TeamId | ApiError> {
  if (subject.type === 'team') return subject.id;
  if (subject.type === 'key') return await teamOfKey(tx, subject.id);
  return subject.type === 'user' || subject.type === 'tag' ? (teamId ?? ORGANIZATION_ID) : ORGANIZATION_ID;
}

async function teamOfKey(tx: Transaction, keyId: KeyId): Promise<TeamId | ApiError> {
  const [key] = await tx.select().from(keys).where(eq(keys.id, keyId));
  const extra = { param: 'subject.id' };
  if (!key) return apiError('not_found', `there is no key ${keyId}`, extra);
  return key.revokedAt ? apiError('conflict', `the key ${key.name} was revoked`, extra) : key.teamId;
}

export async function findLimit(database: Database, id: LimitId): Promise<LimitRow | null> {
  const [row] = await database.db.select().from(limits).where(eq(limits.id, id));
  return row ?? null;
}

export function listLimits(
  database: Database,
  page: {
    after: After | null;
    limit: number;
    deleted: boolean;
    teamIds: readonly TeamId[] | undefined;
    /** Undefined: of every kind of subject. */
    subjectType: SubjectType | undefined;
  },
): Promise<LimitRow[]> {
  return database.db
    .select()
    .from(limits)
    .where(
      and(
        isAfter(limits, page.after),
        page.teamIds && inArray(limits.teamId, [...page.teamIds]),
        page.subjectType && eq(limits.subjectType, page.subjectType),
        page.deleted ? undefined : isNull(limits.deletedAt),
      ),
    )
    .orderBy(asc(limits.createdAt), asc(limits.id))
    .limit(page.limit);
}

/**
 * Changes the amount of a limit and of its open counters, or how much one call may hold. Less than what is settled, held
 * and lent already is allowed: it refuses new holds, calls in flight finish.
 */
export function changeLimit(
  database: Database,
  id: LimitId,
  change: {
    name?: string | null | undefined;
    amount?: string | undefined;
    maxHold?: string | null | undefined;
    maxUnknown?: string | null | undefined;
    warnAt?: number[] | null | undefined;
    onExhausted?: OnExhausted | null | undefined;
    carryOver?: CarryOver | null | undefined;
  },
): Promise<LimitRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const [limit] = await tx.select().from(limits).where(eq(limits.id, id));
    if (!limit) return null;
    const problem = await lockOwner(tx, limit.teamId);
    if (problem) return problem;
    const [row] = await tx
      .update(limits)
      .set(change)
      .where(and(eq(limits.id, id), isNull(limits.deletedAt)))
      .returning();
    if (!row) return apiError('conflict', 'the limit was deleted');
    if (change.amount !== undefined) await changeCounters(database, tx, id, change.amount, now);
    await raiseVersionOf(tx, limit);
    return row;
  });
}

/** The amount of a rolling window stands in its head, whose span is over; buckets that are over are many, and done. */
function changeCounters(
  database: Database,
  tx: Transaction,
  id: LimitId,
  amount: string,
  now: Date,
): Promise<void> {
  const open = or(isNull(counters.endsAt), gt(counters.endsAt, now), counters.isHead);
  return updateCounters(database, tx, and(eq(counters.sourceId, id), open), { amount });
}

/** Changes counters of a limit or a raise, place by place, each locked in the order in which all are. */
export async function updateCounters(
  { sql }: Database,
  tx: Transaction,
  which: SQL | undefined,
  change: { amount?: string | SQL; endsAt?: Date },
): Promise<void> {
  const ofTeams = await tx.selectDistinct({ teamId: counters.teamId }).from(counters).where(which);
  const places = await placesOf(
    sql,
    ofTeams.map((row) => row.teamId),
  );
  for (const { teamIds } of places) {
    const here = and(which, inArray(counters.teamId, [...teamIds]));
    await tx
      .select()
      .from(counters)
      .where(here)
      .orderBy(asc(counters.teamId), asc(counters.id))
      .for('update');
    await tx.update(counters).set(change).where(here);
  }
}

/** Deletes a limit: it no longer binds. Deleting it again changes nothing. */
export async function deleteLimit(database: Database, id: LimitId): Promise<LimitRow | null> {
  await changeCatalog(database, async (tx, now) => {
    const [limit] = await tx.select().from(limits).where(eq(limits.id, id));
    if (!limit || (await lockOwner(tx, limit.teamId))) return;
    await tx
      .update(limits)
      .set({ deletedAt: now })
      .where(and(eq(limits.id, id), isNull(limits.deletedAt)));
    await raiseVersionOf(tx, limit);
  });
  return findLimit(database, id);
}
