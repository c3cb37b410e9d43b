/**
 * People: who may use the admin API by name. Owns: that one who is not active has no session and no token; that the last
 * owner stays. Does not own: who may give which role (the admin API says so, between the lock and the change).
 */
import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, isNull, ne, sql } from 'drizzle-orm';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { asId, type PersonId, type TeamId } from '../domain/ids.ts';
import type { HeldRole } from '../domain/roles.ts';
import { type After, changeCatalog, isAfter } from './changes.ts';
import { type Database, type Queries, sqlState, type Transaction } from './database.ts';
import { lockDepartment, teamsBelow } from './departments.ts';
import { people, roleMappings, sessions, teams, tokens } from './schema.ts';
import type { GivenRole } from './stored-json.ts';

export type PersonRow = typeof people.$inferSelect;

/** Returns why the caller may not give or take these roles; null: it may. */
export type RoleCheck = (roles: readonly HeldRole[]) => ApiError | null;

/** Returns the roles with the teams of which each holds. */
export async function heldRoles(queries: Queries, given: readonly GivenRole[]): Promise<HeldRole[]> {
  const held: HeldRole[] = [];
  for (const { role, scope } of given) {
    if (scope.type === 'org') held.push({ role, teams: 'all' });
    else if (scope.type === 'team') held.push({ role, teams: new Set([scope.id]) });
    else held.push({ role, teams: new Set(await teamsBelow(queries, asId(scope.id))) });
  }
  return held;
}

/** Returns the roles of a person: those given, and those of their groups. */
export async function rolesOf(
  queries: Queries,
  { roles, groups }: Pick<PersonRow, 'roles' | 'groups'>,
): Promise<HeldRole[]> {
  const mapped =
    groups.length === 0
      ? []
      : await queries.select().from(roleMappings).where(inArray(roleMappings.name, groups));
  return heldRoles(queries, [...roles, ...mapped.flatMap((mapping) => mapping.roles)]);
}

/** Returns the error for a role whose team or department does not exist; null: all exist. */
export async function scopeProblem(tx: Transaction, given: readonly GivenRole[]): Promise<ApiError | null> {
  for (const [index, { scope }] of given.entries()) {
    if (scope.type !== 'department') continue;
    const problem = await lockDepartment(tx, asId(scope.id), `roles[${index}].scope.id`);
    if (problem) return problem;
  }
  const named = given.flatMap(({ scope }) => (scope.type === 'team' ? [asId<TeamId>(scope.id)] : []));
  const found = await tx
    .select({ id: teams.id })
    .from(teams)
    .where(and(inArray(teams.id, named), isNull(teams.deletedAt)));
  const known = new Set<string>(found.map(({ id }) => id));
  const missing = given.findIndex(({ scope }) => scope.type === 'team' && !known.has(scope.id));
  if (missing === -1) return null;
  return apiError('not_found', 'there is no such team', { param: `roles[${missing}].scope.id` });
}

export interface NewPerson {
  externalId: string | null;
  userName: string;
  displayName: string;
  email: string | null;
  active: boolean;
  roles: GivenRole[];
}

export function createPerson(
  database: Database,
  person: NewPerson,
  check: RoleCheck,
): Promise<PersonRow | ApiError> {
  return unlessTaken(() =>
    changeCatalog(database, async (tx, createdAt) => {
      const problem = (await scopeProblem(tx, person.roles)) ?? check(await heldRoles(tx, person.roles));
      if (problem) return problem;
      const [row] = await tx
        .insert(people)
        .values({ id: asId<PersonId>(randomUUID()), ...person, createdAt })
        .returning();
      return row ?? apiError('conflict', 'the person was not made');
    }),
  );
}

export async function findPerson(queries: Queries, id: PersonId): Promise<PersonRow | null> {
  const [row] = await queries.select().from(people).where(eq(people.id, id));
  return row ?? null;
}

export function listPeople(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean },
): Promise<PersonRow[]> {
  return database.db
    .select()
    .from(people)
    .where(and(isAfter(people, page.after), page.deleted ? undefined : isNull(people.deletedAt)))
    .orderBy(asc(people.createdAt), asc(people.id))
    .limit(page.limit);
}

/** Who asks for a change of a person. */
export interface PersonChanger {
  check: RoleCheck;
  /** The last owner may go: another way in is at hand. */
  mayRemoveLastOwner: boolean;
}

/**
 * Changes a person; who is made inactive loses their sessions, and their tokens for good. Who was deleted comes back when made active,
 * with the roles that are given now alone.
 */
export function changePerson(
  database: Database,
  id: PersonId,
  change: { [Name in keyof NewPerson]?: NewPerson[Name] | undefined },
  by: PersonChanger,
): Promise<PersonRow | ApiError | null> {
  return unlessTaken(() =>
    changeCatalog(database, async (tx, now) => {
      const before = await lockedPerson(tx, id, by.check);
      if (before === null || isApiError(before)) return before;
      if (before.deletedAt && change.active !== true)
        return apiError('conflict', `${before.userName} was deleted: "active": true brings them back`);
      const back = before.deletedAt ? { deletedAt: null, roles: [], groups: [] } : {};
      const after: PersonRow = { ...before, ...back, ...defined(change) };
      const problem =
        (await scopeProblem(tx, change.roles ?? [])) ??
        by.check(await heldRoles(tx, after.roles)) ??
        (await lastOwnerProblem(tx, before, after, by));
      if (problem) return problem;
      if (!after.active) await endAccess(tx, id, now);
      const [row] = await tx
        .update(people)
        .set({ ...back, ...defined(change) })
        .where(eq(people.id, id))
        .returning();
      return row ?? null;
    }),
  );
}

/** Deletes a person, whose row stays for the audit log. Deleting again changes nothing. */
export function deletePerson(
  database: Database,
  id: PersonId,
  by: PersonChanger,
): Promise<PersonRow | ApiError | null> {
  return changeCatalog(database, async (tx, now) => {
    const before = await lockedPerson(tx, id, by.check);
    if (before === null || isApiError(before) || before.deletedAt) return before;
    const problem = await lastOwnerProblem(tx, before, { ...before, active: false }, by);
    if (problem) return problem;
    await endAccess(tx, id, now);
    const [row] = await tx
      .update(people)
      .set({ active: false, deletedAt: now })
      .where(eq(people.id, id))
      .returning();
    return row ?? null;
  });
}

/** Owners are locked first, by id: two who remove each other at once cannot both succeed. */
async function lockedPerson(
  tx: Transaction,
  id: PersonId,
  check: RoleCheck,
): Promise<PersonRow | ApiError | null> {
  await tx.select({ id: people.id }).from(people).where(IS_OWNER).orderBy(asc(people.id)).for('update');
  const [row] = await tx.select().from(people).where(eq(people.id, id)).for('update');
  return row === undefined ? null : (check(await rolesOf(tx, row)) ?? row);
}

const IS_OWNER = and(
  eq(people.active, true),
  sql`${people.roles} @> '[{"role": "owner", "scope": {"type": "org"}}]'`,
);

function isOwner({ active, roles }: PersonRow): boolean {
  return active && roles.some(({ role, scope }) => role === 'owner' && scope.type === 'org');
}

async function lastOwnerProblem(
  tx: Transaction,
  before: PersonRow,
  after: PersonRow,
  { mayRemoveLastOwner }: PersonChanger,
): Promise<ApiError | null> {
  if (mayRemoveLastOwner || !isOwner(before) || isOwner(after)) return null;
  const others = await tx
    .select({ id: people.id })
    .from(people)
    .where(and(IS_OWNER, ne(people.id, before.id)))
    .limit(1);
  if (others.length > 0) return null;
  const what = `${before.userName} is the last owner: make another one first, or use the admin key`;
  return apiError('conflict', what);
}

async function endAccess(tx: Transaction, personId: PersonId, now: Date): Promise<void> {
  await tx.delete(sessions).where(eq(sessions.personId, personId));
  await tx
    .update(tokens)
    .set({ revokedAt: now })
    .where(and(eq(tokens.personId, personId), isNull(tokens.revokedAt)));
}

function defined<Change extends object>(
  change: Change,
): { [Name in keyof Change]: NonNullable<Change[Name]> } {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Change]: NonNullable<Change[Name]>;
  };
}

async function unlessTaken<Result>(work: () => Promise<Result>): Promise<Result | ApiError> {
  try {
    return await work();
  } catch (error) {
    if (sqlState(error) !== '23505') throw error;
    const who =
      'another person has this user name or external id, or had it: one who was deleted can be made active';
    return apiError('conflict', who, { param: 'user_name' });
  }
}
