/** Teams: whom keys, limits, grants and the ledger belong to. A deleted team keeps its history, and its name. */

import { randomUUID } from 'node:crypto';
import { and, asc, eq, inArray, isNull, ne, sql } from 'drizzle-orm';
import { type ApiError, apiError } from '../domain/errors.ts';
import { asId, type DepartmentId, type GrantId, type LimitId, type TeamId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import type { OnShortage } from '../domain/open-ended.ts';
import type { ClientGone } from '../domain/upstream.ts';
import { type After, changeCatalog, isAfter, lockTeam, raiseVersion } from './changes.ts';
import { type Database, sqlState, type Transaction } from './database.ts';
import { lockDepartment } from './departments.ts';
import type { GrantRow } from './grants.ts';
import { addMonths, findPlan } from './plans.ts';
import { callContents, grants, keys, limits, teams } from './schema.ts';
import type { PlanGrant, PlanLimit } from './stored-json.ts';

/** A team with its grants that were not deleted, oldest first. */
export type TeamRow = typeof teams.$inferSelect & { grants: GrantRow[] };

/** All but the row that stands for the organization. */
const isTeam = ne(teams.id, ORGANIZATION_ID);

export interface NewTeam {
  name: string;
  /** Null: none, so no credit. */
  plan: string | null;
  departmentId: DepartmentId | null;
  unlimited: boolean;
  /** Missing: those of the plan; null: all. */
  models: string[] | null | undefined;
}

/** Makes a team, and the grants and limits of its plan. */
export async function createTeam(database: Database, team: NewTeam): Promise<TeamRow | ApiError> {
  return changeCatalog(database, async (tx, now) => {
    const plan = team.plan === null ? null : await findPlan(tx, team.plan);
    if (team.plan !== null && !plan) {
      return apiError('not_found', `there is no plan named ${team.plan}`, { param: 'plan' });
    }
    const problem =
      team.departmentId === null ? null : await lockDepartment(tx, team.departmentId, 'department_id');
    if (problem) return problem;
    const [row] = await tx
      .insert(teams)
      .values({
        id: asId<TeamId>(randomUUID()),
        ...team,
        models: team.models === undefined ? (plan?.models ?? null) : team.models,
        createdAt: now,
      })
      .onConflictDoNothing()
      .returning();
    if (!row) return nameTaken(team.name);
    const credit = plan && plan.grants.length > 0 ? await giveCredit(tx, row.id, plan.grants, now) : [];
    if (plan && plan.limits.length > 0) await setLimits(tx, row.id, plan.limits, now);
    await raiseVersion(tx, [row.id]);
    return { ...row, grants: credit };
  });
}

function nameTaken(name: string): ApiError {
  return apiError('conflict', `a team named ${name} exists already, or did: names are not given twice`, {
    param: 'name',
  });
}

function giveCredit(tx: Transaction, teamId: TeamId, given: PlanGrant[], now: Date): Promise<GrantRow[]> {
  const rows = given.map(({ amount_usd, months }) => ({
    id: asId<GrantId>(randomUUID()),
    teamId,
    amountUsd: amount_usd,
    startsAt: now,
    expiresAt: months === null ? null : addMonths(now, months),
    createdAt: now,
  }));
  return tx.insert(grants).values(rows).returning();
}

async function setLimits(tx: Transaction, teamId: TeamId, rules: PlanLimit[], now: Date): Promise<void> {
  const rows = rules.map((rule) => ({
    id: asId<LimitId>(randomUUID()),
    teamId,
    subjectType: 'team' as const,
    subjectId: teamId,
    ...rule,
    createdAt: now,
  }));
  await tx.insert(limits).values(rows);
}

export async function findTeam(database: Database, id: TeamId): Promise<TeamRow | null> {
  const rows = await database.db
    .select()
    .from(teams)
    .where(and(eq(teams.id, id), isTeam));
  const [team] = await withGrants(database, rows);
  return team ?? null;
}

export async function listTeams(
  database: Database,
  page: { after: After | null; limit: number; deleted: boolean; teamIds: readonly TeamId[] | undefined },
): Promise<TeamRow[]> {
  const rows = await database.db
    .select()
    .from(teams)
    .where(
      and(
        isTeam,
        isAfter(teams, page.after),
        page.teamIds && inArray(teams.id, [...page.teamIds]),
        page.deleted ? undefined : isNull(teams.deletedAt),
      ),
    )
    .orderBy(asc(teams.createdAt), asc(teams.id))
    .limit(page.limit);
  return withGrants(database, rows);
}

async function withGrants(database: Database, rows: (typeof teams.$inferSelect)[]): Promise<TeamRow[]> {
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const credit = await database.db
    .select()
    .from(grants)
    .where(and(inArray(grants.teamId, ids), isNull(grants.deletedAt)))
    .orderBy(asc(grants.createdAt), asc(grants.id));
  const byTeam = Map.groupBy(credit, (grant) => grant.teamId);
  return rows.map((row) => ({ ...row, grants: byTeam.get(row.id) ?? [] }));
}

/**
 * Renames a team, moves it to another department, changes its models, lets it spend without a grant or limit, lets its calls go on while Postgres is
 * away, or says what becomes of calls whose client leaves and of open-ended ones when little money is left.
 */
export async function changeTeam(
  database: Database,
  id: TeamId,
  change: {
    name?: string | undefined;
    departmentId?: DepartmentId | null | undefined;
    unlimited?: boolean | undefined;
    failOpen?: boolean | undefined;
    onClientGone?: ClientGone | null | undefined;
    onShortage?: OnShortage | null | undefined;
    contentDays?: number | null | undefined;
    models?: string[] | null | undefined;
  },
): Promise<TeamRow | ApiError | null> {
  try {
    const problem = await changeCatalog(database, async (tx) => {
      const locked = await lockTeam(tx, id);
      const { departmentId, failOpen } = change;
      const problem =
        locked ??
        (failOpen ? await strictOf(tx, id) : null) ??
        (departmentId ? await lockDepartment(tx, departmentId, 'department_id') : null);
      if (problem) return problem;
      await tx.update(teams).set(change).where(eq(teams.id, id));
      if (change.contentDays !== undefined) await shortenContents(tx, id, change.contentDays);
      await raiseVersion(tx, [id], 'reread');
      return null;
    });
    return problem ?? (await findTeam(database, id));
  } catch (error) {
    if (change.name !== undefined && sqlState(error) === UNIQUE_VIOLATION) return nameTaken(change.name);
    throw error;
  }
}

/** No content outlives the days that its team keeps them; null: none are kept, and what there is is deleted. */
async function shortenContents(tx: Transaction, teamId: TeamId, days: number | null): Promise<void> {
  const ofTeam = eq(callContents.teamId, teamId);
  if (days === null) await tx.delete(callContents).where(ofTeam);
  else
    await tx
      .update(callContents)
      .set({ expiresAt: sql`${callContents.eventAt} + make_interval(days => ${days})` })
      .where(ofTeam);
}

/** Without the ledger nothing strict can be kept: only a team that has nothing strict may go on without it. */
async function strictOf(tx: Transaction, teamId: TeamId): Promise<ApiError | null> {
  const ofTeam = and(eq(limits.teamId, teamId), isNull(limits.deletedAt), eq(limits.enforcement, 'strict'));
  const strict = await tx.select().from(limits).where(ofTeam).limit(1);
  const prepaid = await tx.select().from(grants).where(eq(grants.teamId, teamId)).limit(1);
  if (strict.length + prepaid.length === 0) return null;
  const why =
    'fail_open: only a team without grants, whose limits are all soft, may go on while Postgres is away';
  return apiError('conflict', why, { param: 'fail_open' });
}

const UNIQUE_VIOLATION = '23505';

/** Deletes a team: its keys are revoked, its history stays. Deleting it again changes nothing. */
export async function deleteTeam(database: Database, id: TeamId): Promise<TeamRow | null> {
  await changeCatalog(database, async (tx, now) => {
    if (await lockTeam(tx, id)) return;
    await tx.update(teams).set({ deletedAt: now }).where(eq(teams.id, id));
    await shortenContents(tx, id, null);
    await tx
      .update(keys)
      .set({ revokedAt: now })
      .where(and(eq(keys.teamId, id), isNull(keys.revokedAt)));
    await raiseVersion(tx, [id]);
  });
  return findTeam(database, id);
}
