/** Routes: teams. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { apiError, isApiError } from '../domain/errors.ts';
import { changeTeam, createTeam, deleteTeam, findTeam, listTeams, type TeamRow } from '../store/teams.ts';
import { listQuery, NewTeam, Team, TeamChange, Teams } from './contract.ts';
import { NO_KEY } from './labels-export.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function teamRoutes(app: OpenAPIHono, { database, defaultPlan, sealer = null }: AdminOptions): void {
  const summary = 'Make a team, with the grants, limits and models of its plan';
  route(
    app,
    { method: 'post', path: '/teams', summary, body: NewTeam, response: Team, status: 201 },
    async ({ body }) => {
      const plan = body.plan === undefined ? defaultPlan : body.plan;
      const { name, unlimited, models, department_id: departmentId } = body;
      const team = await createTeam(database, { name, plan, departmentId, unlimited, models });
      return isApiError(team) ? team : toTeam(team);
    },
  );
  resourceRoutes(app, {
    path: '/teams',
    name: 'team',
    item: Team,
    page: Teams,
    listQuery,
    changeBody: TeamChange,
    idOf: (team: TeamRow) => team.id,
    teamOf: (team) => team.id,
    view: toTeam,
    list: (page, _query, teamIds) => listTeams(database, { ...page, teamIds }),
    find: (id) => findTeam(database, id),
    change: async (
      id,
      {
        department_id: departmentId,
        fail_open: failOpen,
        on_client_gone: onClientGone,
        on_shortage: onShortage,
        content_retention_days: contentDays,
        ...body
      },
      caller,
    ) => {
      // Whose budget pays, and who may see it, changes with it.
      if (departmentId !== undefined && caller.authority.reach('teams:write') !== 'all') return MOVES_TEAM;
      if (typeof contentDays === 'number' && sealer === null) return NO_KEY;
      const change = { ...body, departmentId, failOpen, onClientGone, onShortage, contentDays };
      return changeTeam(database, id, change);
    },
    remove: (id) => deleteTeam(database, id),
  });
}

const MOVES_TEAM = apiError(
  'not_allowed',
  'to move a team to another department needs one of the roles owner, admin for the whole organisation',
  { param: 'department_id' },
);

function toTeam(team: TeamRow): z.input<typeof Team> {
  return {
    id: team.id,
    name: team.name,
    plan: team.plan,
    department_id: team.departmentId,
    unlimited: team.unlimited,
    fail_open: team.failOpen,
    on_client_gone: team.onClientGone,
    on_shortage: team.onShortage,
    content_retention_days: team.contentDays,
    models: team.models,
    grants: team.grants.map((grant) => ({
      id: grant.id,
      amount_usd: moneyOf(grant.amountUsd),
      starts_at: instantOf(grant.startsAt),
      expires_at: instantOf(grant.expiresAt),
    })),
    created_at: instantOf(team.createdAt),
    deleted_at: instantOf(team.deletedAt),
  };
}
