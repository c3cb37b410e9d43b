/** Role mappings: what membership in a group of the identity provider is worth, from the next request of its members on. */
import { and, asc, eq } from 'drizzle-orm';
import { type ApiError, apiError } from '../domain/errors.ts';
import { type After, changeCatalog, isAfter } from './changes.ts';
import type { Database } from './database.ts';
import { heldRoles, type RoleCheck, scopeProblem } from './people.ts';
import { roleMappings } from './schema.ts';
import type { GivenRole } from './stored-json.ts';

export type RoleMappingRow = typeof roleMappings.$inferSelect;

export function createRoleMapping(
  database: Database,
  mapping: { name: string; roles: GivenRole[] },
  check: RoleCheck,
): Promise<RoleMappingRow | ApiError> {
  return changeCatalog(database, async (tx, createdAt) => {
    const problem = (await scopeProblem(tx, mapping.roles)) ?? check(await heldRoles(tx, mapping.roles));
    if (problem) return problem;
    const [row] = await tx
      .insert(roleMappings)
      .values({ ...mapping, createdAt })
      .onConflictDoNothing()
      .returning();
    return row ?? apiError('conflict', `the group ${mapping.name} has roles already`, { param: 'name' });
  });
}

export async function findRoleMapping(database: Database, name: string): Promise<RoleMappingRow | null> {
  const [row] = await database.db.select().from(roleMappings).where(eq(roleMappings.name, name));
  return row ?? null;
}

export function listRoleMappings(
  database: Database,
  page: { after: After | null; limit: number },
): Promise<RoleMappingRow[]> {
  return database.db
    .select()
    .from(roleMappings)
    .where(and(isAfter({ createdAt: roleMappings.createdAt, id: roleMappings.name }, page.after)))
    .orderBy(asc(roleMappings.createdAt), asc(roleMappings.name))
    .limit(page.limit);
}

/** Gives a group other roles; null: deletes the mapping. Returns it as it is, or was. */
export function changeRoleMapping(
  database: Database,
  name: string,
  roles: GivenRole[] | null,
  check: RoleCheck,
): Promise<RoleMappingRow | ApiError | null> {
  return changeCatalog(database, async (tx) => {
    const isNamed = eq(roleMappings.name, name);
    const [before] = await tx.select().from(roleMappings).where(isNamed).for('update');
    if (!before) return null;
    const problem =
      (await scopeProblem(tx, roles ?? [])) ??
      check(await heldRoles(tx, [...before.roles, ...(roles ?? [])]));
    if (problem) return problem;
    const [row] =
      roles === null
        ? await tx.delete(roleMappings).where(isNamed).returning()
        : await tx.update(roleMappings).set({ roles }).where(isNamed).returning();
    return row ?? null;
  });
}
