/** Routes: resets and raises of a limit. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatAmount } from '../domain/amount.ts';
import { isApiError } from '../domain/errors.ts';
import { asId } from '../domain/ids.ts';
import type { Meter } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { findLimit, type LimitRow } from '../store/limits.ts';
import { createRaise, endRaises, listRaises, type RaiseRow, resetLimit } from '../store/raises.ts';
import { Limit, NewRaise, NewReset, pageQuery, Raise, Raises } from './contract.ts';
import { notWhole, toLimit } from './limits.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, pageOf } from './page.ts';
import { route } from './route.ts';

export function raiseRoutes(app: OpenAPIHono, { database }: AdminOptions): void {
  const path = '/limits/{id}/raises';
  const ownerOfItem = async (id: string) => (await findLimit(database, asId(id)))?.teamId ?? null;
  const reset = 'Let the present window of a limit count from now on';
  route(
    app,
    {
      method: 'post',
      path: '/limits/{id}/reset',
      summary: reset,
      body: NewReset,
      response: Limit,
      ownerOfItem,
    },
    async ({ id, body }) => {
      const limit = await resetLimit(database, asId(id), body.reason);
      return limit === null || isApiError(limit) ? limit : toLimit(limit);
    },
  );
  const summary = 'Raise a limit until a moment; then it is as it was';
  route(
    app,
    { method: 'post', path, summary, body: NewRaise, response: Raise, status: 201, ownerOfItem },
    async ({ id, body }) => {
      const limit = await findLimit(database, asId(id));
      if (limit === null) return null;
      const { amount, until, reason } = body;
      const problem = notWhole(limit.meter, amount, 'amount');
      if (problem) return problem;
      const raise = await createRaise(database, {
        limitId: limit.id,
        amount,
        until: new Date(until),
        reason,
      });
      return raise === null || isApiError(raise) ? raise : toRaise(raise, limit.meter);
    },
  );
  route(
    app,
    {
      method: 'delete',
      path,
      summary: 'End the raises of a limit before their time',
      response: Limit,
      ownerOfItem,
    },
    async ({ id }) => {
      const limit = await endRaises(database, asId(id));
      return limit && toLimit(limit);
    },
  );
  route(
    app,
    {
      method: 'get',
      path,
      summary: 'List the raises of a limit, oldest first',
      query: pageQuery,
      response: Raises,
      ownerOfItem,
    },
    async ({ id, query }) => {
      const limit: LimitRow | null = await findLimit(database, asId(id));
      if (limit === null) return null;
      return pageOf(query, {
        list: (page) => listRaises(database, limit.id, page),
        idOf: (raise) => raise.id,
        view: (raise) => toRaise(raise, limit.meter),
      });
    },
  );
}

function toRaise(raise: RaiseRow, meter: Meter): z.input<typeof Raise> {
  return {
    id: raise.id,
    limit_id: raise.limitId,
    amount: formatAmount(meter, usd(raise.amount)),
    starts_at: instantOf(raise.startsAt),
    until: instantOf(raise.until),
    reason: raise.reason,
    created_at: instantOf(raise.createdAt),
  };
}
