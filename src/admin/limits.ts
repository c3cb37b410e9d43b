/** Routes: limits. Invariant: a limit that would not bind is refused, never stored. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { type Fault, fault } from '../domain/errors.ts';
import type { Enforcement, Meter } from '../domain/limit.ts';
import type { Window } from '../domain/window.ts';
import {
  changeLimit,
  createLimit,
  deleteLimit,
  findLimit,
  type LimitRow,
  listLimits,
} from '../store/limits.ts';
import type { AdminOptions } from './admin.ts';
import { Limit, LimitChange, Limits, NewLimit, teamListQuery, type window } from './contract.ts';
import { serveNoun } from './noun.ts';
import { instantOf, moneyOf } from './page.ts';
import { isFault, serve } from './route.ts';

export function serveLimits(app: OpenAPIHono, { database }: AdminOptions): void {
  const summary = 'Make a limit; it counts the whole of its current window';
  serve(
    app,
    { method: 'post', path: '/limits', summary, body: NewLimit, answer: Limit, status: 201 },
    async ({ body }) => {
      const { subject, meter, amount, enforcement } = body;
      if (body.models !== null) return notSupported('models', 'limits of single models');
      if (subject.type === 'org' || subject.type === 'user') {
        return notSupported('subject.type', `limits of the subject "${subject.type}"`);
      }
      if (meter !== 'cost_usd') return notSupported('meter', `limits of the meter "${meter}"`);
      if (body.window.type === 'rolling') return notSupported('window.type', 'rolling windows');
      if (enforcement !== 'strict') return notSupported('enforcement', 'soft limits');
      const limit = await createLimit(database, {
        subject,
        meter,
        amount,
        window: toWindow(body.window),
        enforcement,
      });
      return isFault(limit) ? limit : toLimit(limit);
    },
  );
  serveNoun(app, {
    path: '/limits',
    name: 'limit',
    item: Limit,
    page: Limits,
    listQuery: teamListQuery,
    changeBody: LimitChange,
    idOf: (limit: LimitRow) => limit.id,
    view: toLimit,
    list: (page, query) => listLimits(database, { ...page, teamId: query.team_id }),
    find: (id) => findLimit(database, id),
    change: (id, body) => changeLimit(database, id, body.amount),
    remove: (id) => deleteLimit(database, id),
  });
}

function notSupported(param: string, what: string): Fault {
  return fault('invalid_request', `${param}: ${what} are not supported yet`, { param });
}

type WindowBody = z.output<typeof window>;

function toWindow(body: WindowBody): Window {
  return body.type === 'calendar' ? { type: body.type, unit: body.unit, timeZone: body.time_zone } : body;
}

/** What every answer says of a limit's rule. */
export function ruleOf(limit: LimitRow) {
  const rule = limit.window as Window;
  const calendar = (unit: 'day' | 'week' | 'month', timeZone: string): WindowBody => ({
    type: 'calendar',
    unit,
    time_zone: timeZone,
  });
  return {
    id: limit.id,
    subject: { type: limit.subjectType as 'team' | 'key', id: limit.subjectId ?? limit.teamId },
    meter: limit.meter as Meter,
    amount: moneyOf(limit.amount),
    window: rule.type === 'calendar' ? calendar(rule.unit, rule.timeZone) : rule,
  };
}

function toLimit(limit: LimitRow): z.input<typeof Limit> {
  return {
    ...ruleOf(limit),
    team_id: limit.teamId,
    models: limit.models,
    enforcement: limit.enforcement as Enforcement,
    created_at: instantOf(limit.createdAt),
    deleted_at: instantOf(limit.deletedAt),
  };
}
