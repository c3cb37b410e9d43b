/** Routes: calls of unknown outcome, and their release by evidence. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { isApiError } from '../domain/errors.ts';
import { asId } from '../domain/ids.ts';
import { ORGANIZATION_ID } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { findEvent, listUnknown } from '../store/events.ts';
import { correctCall, releaseUnknown } from '../store/unknown.ts';
import { BulkRelease, Events, NewBulkRelease, NewRelease, Release, UnknownQuery } from './contract.ts';
import { toEvents } from './events.ts';
import type { AdminOptions } from './options.ts';
import { dateOf, instantOf, moneyOf, pageOf } from './page.ts';
import { route } from './route.ts';

export function unknownRoutes(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  route(
    app,
    {
      method: 'get',
      path: '/unknown',
      summary: 'List calls whose outcome is still unknown, oldest first',
      query: UnknownQuery,
      response: Events,
    },
    async ({ query, teams: teamIds }) => {
      await settleNow();
      const page = await pageOf(query, {
        list: (page) => listUnknown(database, { ...page, teamIds }),
        idOf: (event) => event.id,
        view: (event) => event,
      });
      return isApiError(page) ? page : { data: await toEvents(database, page.data), next: page.next };
    },
  );
  route(
    app,
    {
      method: 'post',
      path: '/unknown/release',
      summary: 'Release all calls of unknown outcome that a filter names, at a cost of 0',
      body: NewBulkRelease,
      response: BulkRelease,
      ownerOfBody: async (body) => body.filter.team_id ?? ORGANIZATION_ID,
    },
    async ({ body: { filter, reason }, caller: { actor } }) => {
      await settleNow();
      const { team_id: teamId, model, reason: because, from = null, to = null } = filter;
      const span = { from: dateOf(from) ?? undefined, to: dateOf(to) ?? undefined };
      const { calls, cost, isPart } = await releaseUnknown(
        database,
        { teamId, model, because, ...span },
        { reason, actor },
      );
      return { released_calls: calls, released_usd: formatUsd(cost), more: isPart };
    },
  );
  route(
    app,
    {
      method: 'post',
      path: '/unknown/{event_id}/release',
      summary: 'Charge a call of unknown, estimated or void outcome what the evidence says, once',
      body: NewRelease,
      response: Release,
      async ownerOfItem(id) {
        await settleNow();
        return (await findEvent(database.db, asId(id)))?.teamId ?? null;
      },
    },
    async ({ id, body, caller: { actor } }) => {
      await settleNow();
      const cost = usd(body.cost_usd);
      const row = await correctCall(database, {
        eventId: asId(id),
        cost,
        reason: body.reason,
        actor,
      });
      if (row === null || isApiError(row)) return row;
      return {
        id: row.id,
        event_id: row.eventId,
        team_id: row.teamId,
        delta_usd: moneyOf(row.deltaUsd),
        reason: row.reason,
        actor: row.actor,
        created_at: instantOf(row.createdAt),
      };
    },
  );
}
