/** Routes: calls whose outcome nobody knows, and their release by evidence. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import { isApiError } from '../domain/errors.ts';
import { usd } from '../domain/money.ts';
import { currentActor } from '../store/changes.ts';
import { type EventRow, listUnknown } from '../store/events.ts';
import { releaseUnknown } from '../store/unknown.ts';
import { Events, NewRelease, Release, UnknownQuery } from './contract.ts';
import { toEvents } from './events.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf, pageOf } from './page.ts';
import { serve } from './route.ts';

export function serveUnknown(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  serve(
    app,
    {
      method: 'get',
      path: '/unknown',
      summary: 'List calls whose outcome is still unknown, oldest first',
      query: UnknownQuery,
      answer: Events,
      team: 'query',
    },
    async ({ query }) => {
      await settleNow();
      const page = await pageOf(
        query,
        (event: EventRow) => event.id,
        (asked) => listUnknown(database, { ...asked, teamId: query.team_id }),
        (event: EventRow) => event,
      );
      return isApiError(page) ? page : { data: await toEvents(database, page.data), next: page.next };
    },
  );
  serve(
    app,
    {
      method: 'post',
      path: '/unknown/{event_id}/release',
      summary: 'Settle an unknown outcome by evidence',
      body: NewRelease,
      answer: Release,
    },
    async ({ id, body }) => {
      await settleNow();
      const cost = usd(body.cost_usd);
      const row = await releaseUnknown(database, {
        eventId: id,
        cost,
        reason: body.reason,
        actor: currentActor(),
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
