/** Routes: grants. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { isApiError } from '../domain/errors.ts';
import {
  changeGrant,
  createGrant,
  deleteGrant,
  findGrant,
  type GrantRow,
  listGrants,
} from '../store/grants.ts';
import { Grant, GrantChange, Grants, NewGrant, teamListQuery } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf, moneyOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function grantRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Give a team credit';
  route(
    app,
    {
      method: 'post',
      path: '/grants',
      summary,
      body: NewGrant,
      response: Grant,
      status: 201,
      ownerOfBody: async (body) => body.team_id,
    },
    async ({ body }) => {
      const grant = await createGrant(database, {
        teamId: body.team_id,
        name: body.name,
        amountUsd: body.amount_usd,
        startsAt: dateOf(body.starts_at ?? null),
        expiresAt: dateOf(body.expires_at),
        maxUnknownUsd: body.max_unknown_usd,
      });
      return isApiError(grant) ? grant : toGrant(grant);
    },
  );
  resourceRoutes(app, {
    path: '/grants',
    name: 'grant',
    item: Grant,
    page: Grants,
    listQuery: teamListQuery,
    changeBody: GrantChange,
    idOf: (grant: GrantRow) => grant.id,
    teamOf: (grant) => grant.teamId,
    view: toGrant,
    list: (page, _query, teamIds) => listGrants(database, { ...page, teamIds }),
    find: (id) => findGrant(database, id),
    change: (id, { name, amount_usd, expires_at, max_unknown_usd }) =>
      changeGrant(database, id, {
        ...(name === undefined ? {} : { name }),
        ...(amount_usd === undefined ? {} : { amountUsd: amount_usd }),
        ...(expires_at === undefined ? {} : { expiresAt: dateOf(expires_at) }),
        ...(max_unknown_usd === undefined ? {} : { maxUnknownUsd: max_unknown_usd }),
      }),
    remove: (id) => deleteGrant(database, id),
  });
}

function toGrant(grant: GrantRow): z.input<typeof Grant> {
  return {
    id: grant.id,
    name: grant.name,
    team_id: grant.teamId,
    amount_usd: moneyOf(grant.amountUsd),
    starts_at: instantOf(grant.startsAt),
    expires_at: instantOf(grant.expiresAt),
    max_unknown_usd: grant.maxUnknownUsd === null ? null : moneyOf(grant.maxUnknownUsd),
    created_at: instantOf(grant.createdAt),
    deleted_at: instantOf(grant.deletedAt),
  };
}
