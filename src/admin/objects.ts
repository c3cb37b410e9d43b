/** Routes: objects that the upstream keeps. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { isApiError } from '../domain/errors.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { adoptObject } from '../store/objects.ts';
import { KeptObject, NewKeptObject } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { instantOf } from './page.ts';
import { route } from './route.ts';

export function objectRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Give a team, or all teams, an object that was made without Tollgate';
  route(
    app,
    {
      method: 'post',
      path: '/objects',
      summary,
      body: NewKeptObject,
      response: KeptObject,
      status: 201,
      ownerOfBody: async (body) => body.team_id ?? ORGANIZATION_ID,
    },
    async ({
      body: { kind, id, team_id: teamId, max_tokens: tokens, upstream },
      caller: { actor, authority },
    }) => {
      const mayShare = authority.reach('objects:write') === 'all';
      const row = await adoptObject(database, actor, { kind, id, teamId, tokens, upstream, mayShare });
      if (isApiError(row)) return row;
      return { kind: row.kind, id: row.id, team_id: teamId, created_at: instantOf(row.createdAt) };
    },
  );
}
