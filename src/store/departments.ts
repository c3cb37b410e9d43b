/**
 * Departments: groups of teams, in a tree. Owns: that the tree has no circle and few levels, and that only an empty one is
 * deleted. Invariant: a change of the tree holds the organization's row, so there is one at a time; what puts something
 * into a department holds that department's row.
 */

import { randomUUID } from 'node:crypto';
import { and, asc, count, eq, inArray, isNull, sql } from 'drizzle-orm';
import { defined } from '../domain/defined.ts';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type DepartmentId, type TeamId } from '../domain/ids.ts';
import { DEPARTMENT_LEVELS_MAX, ORGANIZATION_ID } from '../domain/limit.ts';
import { type After, changeCatalog, isAfter, lockOwner, raiseVersion } from './changes.ts';
import { type Database, type Queries, runOn, sqlState, type Transaction } from './database.ts';
import { departments, limits, teams } from './schema.ts';

export type DepartmentRow = typeof departments.$inferSelect;

export interface NewDepartment {
  name: string;
  /** Null: at the top. */
  parentId: DepartmentId | null;
}

export async function createDepartment(
  database: Database,
  department: NewDepartment,
): Promise<DepartmentRow | ApiError> {
  const id = asId<DepartmentId>(randomUUID());
  return named(department.name, () =>
    changeCatalog(database, async (tx, now) => {
      await lockOwner(tx, ORGANIZATION_ID);
      const problem = await whyNotUnder(tx, id, department.parentId);
      if (problem) return problem;
      const [row] = await tx
        .insert(departments)
        .values({ id, ...department, createdAt: now })
        .returning();
      return defined(row, 'the row of the statement');
    }),
  );
}

/** Runs a change, and says so when it gives a name twice. */
async function named<Result>(
  name: string | undefined,
  change: () => Promise<Result>,
): Promise<Result | ApiError> {
  try {
    return await change();
  } catch (error) {
    if (name === undefined || sqlState(error) !== UNIQUE_VIOLATION) throw error;
    return apiError('conflict', `a department named ${name} exists already`, { param: 'name' });
  }
}

const UNIQUE_VIOLATION = '23505';

export async function findDepartment(database: Database, id: DepartmentId): Promise<DepartmentRow | null> {
  const [row] = await database.db.select().from(departments).where(eq(departments.id, id));
  return row ?? null;
}

export function listDepartments(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean; teamIds: readonly TeamId[] | undefined },
): Promise<DepartmentRow[]> {
  return database.db
    .select()
    .from(departments)
    .where(
      and(
        isAfter(departments, page.after),
        page.deleted ? undefined : isNull(departments.deletedAt),
        page.teamIds && isAbove(page.teamIds),
      ),
    )
    .orderBy(asc(departments.createdAt), asc(departments.id))
    .limit(page.limit);
}

/** Departments in which any of the teams is, directly or further down. */
function isAbove(teamIds: readonly TeamId[]) {
  return sql`${departments.id} in (
    select unnest(department_path(m.department_id)) from ${teams} m where ${inArray(sql`m.id`, [...teamIds])})`;
}

/** Renames a department, or moves it with all that is in it: its calls count above it where it stands when they come. */
export async function changeDepartment(
  database: Database,
  id: DepartmentId,
  change: { name?: string | undefined; parentId?: DepartmentId | null | undefined },
): Promise<DepartmentRow | ApiError | null> {
  return named(change.name, () =>
    changeCatalog(database, async (tx) => {
      await lockOwner(tx, ORGANIZATION_ID);
      const [known] = await tx.select().from(departments).where(eq(departments.id, id)).for('update');
      if (!known) return null;
      if (known.deletedAt) return apiError('conflict', `the department ${known.name} was deleted`);
      const problem = change.parentId === undefined ? null : await whyNotUnder(tx, id, change.parentId);
      if (problem) return problem;
      const [row] = await tx.update(departments).set(change).where(eq(departments.id, id)).returning();
      await raiseVersion(tx, await teamsBelow(tx, id), 'reread');
      return defined(row, 'the row of the statement');
    }),
  );
}

/** Returns why a department may not stand under another; the tree is locked. */
async function whyNotUnder(
  tx: Transaction,
  id: DepartmentId,
  parentId: DepartmentId | null,
): Promise<ApiError | null> {
  if (parentId === null) return null;
  const extra = { param: 'parent_id' };
  const problem = await lockDepartment(tx, parentId, 'parent_id');
  if (problem) return problem;
  const above = await pathOf(tx, parentId);
  if (above.includes(id))
    return apiError(
      'conflict',
      'a department cannot stand under itself, or under one that is below it',
      extra,
    );
  if (above.length + (await levelsFrom(tx, id)) <= DEPARTMENT_LEVELS_MAX) return null;
  return apiError('conflict', `departments have at most ${DEPARTMENT_LEVELS_MAX} levels`, extra);
}

/** Returns a department, the one above it, …, the top. */
async function pathOf(tx: Transaction, id: DepartmentId): Promise<DepartmentId[]> {
  const [row] = await runOn(tx)<{ path: DepartmentId[] | null }>(
    sql`select department_path(${id}::uuid)::text[] as path`,
  );
  return row?.path ?? [];
}

/** A department and all below it, as the table `tree` with their levels, from 1. */
const treeOf = (id: DepartmentId) => sql`
  with recursive tree as (
    select ${id}::uuid as id, 1 as level
    union all
    select d.id, t.level + 1 from ${departments} d join tree t on d.parent_id = t.id where d.deleted_at is null)`;

/** Returns how many levels a department has, itself counted; one that does not exist yet has one. */
async function levelsFrom(tx: Transaction, id: DepartmentId): Promise<number> {
  const [row] = await runOn(tx)<{ levels: number }>(
    sql`${treeOf(id)} select max(level)::int4 as levels from tree`,
  );
  return defined(row, 'the row of the statement').levels;
}

/** Returns the teams in a department and below it. */
export async function teamsBelow(queries: Queries, id: DepartmentId): Promise<TeamId[]> {
  const rows = await runOn(queries)<{ id: TeamId }>(
    sql`${treeOf(id)} select m.id from ${teams} m join tree t on m.department_id = t.id order by m.id`,
  );
  return rows.map((row) => row.id);
}

/** Returns of each team that is in a department, and of each department, the departments above it; a department's own id too. */
export async function departmentPaths(queries: Queries): Promise<Map<string, readonly DepartmentId[]>> {
  const rows = await runOn(queries)<{ id: string; path: DepartmentId[] }>(sql`
    select m.id, department_path(m.department_id)::text[] as path from ${teams} m
    where m.department_id is not null and m.deleted_at is null
    union all
    select d.id, department_path(d.id)::text[] from ${departments} d where d.deleted_at is null`);
  return new Map(rows.map(({ id, path }) => [id, path]));
}

/** Locks a department that gets a team, a department, a limit or a recipient, so that it is not deleted meanwhile. */
export async function lockDepartment(
  tx: Transaction,
  id: DepartmentId,
  param: string,
): Promise<ApiError | null> {
  const [row] = await tx.select().from(departments).where(eq(departments.id, id)).for('share');
  if (!row) return apiError('not_found', `there is no department ${id}`, { param });
  return row.deletedAt ? apiError('conflict', `the department ${row.name} was deleted`, { param }) : null;
}

/** Deletes a department that holds no team and no department, with its limits. Deleting it again changes nothing. */
export async function deleteDepartment(
  database: Database,
  id: DepartmentId,
): Promise<DepartmentRow | ApiError | null> {
  const problem = await changeCatalog(database, async (tx, now) => {
    await lockOwner(tx, ORGANIZATION_ID);
    const open = and(eq(departments.id, id), isNull(departments.deletedAt));
    const [row] = await tx.select().from(departments).where(open).for('update');
    if (!row) return null;
    const held = await whyNotEmpty(tx, id);
    if (held) return held;
    await tx.update(departments).set({ deletedAt: now }).where(open);
    await tx
      .update(limits)
      .set({ deletedAt: now })
      .where(and(eq(limits.subjectType, 'department'), eq(limits.subjectId, id), isNull(limits.deletedAt)));
    await raiseVersion(tx, []);
    return null;
  });
  return problem ?? findDepartment(database, id);
}

async function whyNotEmpty(tx: Transaction, id: DepartmentId): Promise<ApiError | null> {
  const [inside] = await tx
    .select({ teams: count() })
    .from(teams)
    .where(and(eq(teams.departmentId, id), isNull(teams.deletedAt)));
  const [below] = await tx
    .select({ departments: count() })
    .from(departments)
    .where(and(eq(departments.parentId, id), isNull(departments.deletedAt)));
  const counts = [
    { number: inside?.teams ?? 0, noun: 'team' },
    { number: below?.departments ?? 0, noun: 'department' },
  ].flatMap(({ number, noun }) => (number === 0 ? [] : [`${number} ${noun}${number === 1 ? '' : 's'}`]));
  if (counts.length === 0) return null;
  return apiError(
    'conflict',
    `only an empty department can be deleted; it has ${counts.join(' and ')}: move them first`,
  );
}
