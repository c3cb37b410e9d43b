/** Routes: limits. Invariant: a limit that could not bind is an error, and never stored. */

import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatAmount } from '../domain/amount.ts';
import { type ApiError, isApiError } from '../domain/errors.ts';
import { asId, type TeamId } from '../domain/ids.ts';
import { countsApart, type Enforcement, type Meter, ORGANIZATION_ID, type Subject } from '../domain/limit.ts';
import { usd } from '../domain/money.ts';
import { UNIT } from '../domain/quantities.ts';
import { MEMBER_TAG, parseTag } from '../domain/tags.ts';
import { type Window, windowFields } from '../domain/window.ts';
import {
  toLimit as domainLimit,
  type LimitBalance,
  type RaiseBalance,
  readLimitBalances,
} from '../store/balance.ts';
import type { Database } from '../store/database.ts';
import { findKeyRow } from '../store/keys.ts';
import {
  changeLimit,
  createLimit,
  deleteLimit,
  findLimit,
  type LimitRow,
  listLimits,
} from '../store/limits.ts';
import {
  Limit,
  LimitChange,
  ListedLimit,
  ListedLimits,
  limitListQuery,
  NewLimit,
  type subject,
  type window,
} from './contract.ts';
import {
  carryOverFields,
  notCarried,
  notInstead,
  onExhaustedFields,
  toCarryOver,
  toOnExhausted,
} from './on-exhausted.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, teamOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { invalid, route } from './route.ts';

export function limitRoutes(app: OpenAPIHono, { database, settleNow }: AdminOptions): void {
  const summary = 'Make a limit; it counts the whole of its current window';
  route(
    app,
    {
      method: 'post',
      path: '/limits',
      summary,
      body: NewLimit,
      response: Limit,
      status: 201,
      ownerOfBody: (body) => limitOwner(database, body),
    },
    async ({ body }) => {
      const problem = limitProblem(body, isOfEach(subjectOfBody(body).subject));
      if (problem) return problem;
      const { name, models, meter, amount, enforcement } = body;
      const limit = await createLimit(database, {
        name,
        ...subjectOfBody(body),
        models,
        meter,
        amount,
        window: toWindow(body.window),
        enforcement,
        maxHold: body.max_hold,
        maxUnknown: body.max_unknown,
        warnAt: body.warn_at,
        onExhausted: toOnExhausted(body.on_exhausted),
        carryOver: toCarryOver(body.carry_over),
      });
      return isApiError(limit) ? limit : toLimit(limit);
    },
  );
  resourceRoutes(app, {
    path: '/limits',
    name: 'limit',
    item: ListedLimit,
    page: ListedLimits,
    listQuery: limitListQuery,
    changeBody: LimitChange,
    idOf: (limit: Listed) => limit.id,
    teamOf: (limit) => limit.teamId,
    view: (limit) => ({ ...toLimit(limit), ...(limit.balance ? { state: stateOf(limit.balance) } : {}) }),
    list: async (page, query, teamIds): Promise<Listed[]> => {
      const limits = await listLimits(database, { ...page, teamIds, subjectType: query.subject_type });
      if (query.state === 'false') return limits;
      await settleNow();
      const balances = await readLimitBalances(database, limits);
      const byId = new Map(balances.map((balance) => [balance.limit.id, balance]));
      return limits.map((limit) => ({ ...limit, balance: byId.get(limit.id) }));
    },
    find: (id) => findLimit(database, id),
    change: async (id, { name, amount, on_exhausted, carry_over, ...body }) => {
      const { max_hold: maxHold, max_unknown: maxUnknown, warn_at: warnAt } = body;
      const limit = await findLimit(database, id);
      if (!limit) return null;
      const { meter } = limit;
      const problem =
        notWhole(meter, amount, 'amount') ??
        notHeld(meter, limit.enforcement, maxHold) ??
        notUnknown(meter, maxUnknown) ??
        notInstead(on_exhausted, { ...limit, type: limit.window.type }) ??
        notCarried(carry_over, {
          ...limit,
          type: limit.window.type,
          isOfEach: isOfEach(domainLimit(limit).subject),
        });
      const onExhausted = on_exhausted && toOnExhausted(on_exhausted);
      const carryOver = carry_over === undefined ? undefined : toCarryOver(carry_over);
      const change = { name, amount, maxHold, maxUnknown, warnAt, onExhausted, carryOver };
      return problem ?? changeLimit(database, id, change);
    },
    remove: (id) => deleteLimit(database, id),
  });
}

interface Listed extends LimitRow {
  balance?: LimitBalance | undefined;
}

/** Returns the subject of a new limit; for end users and tags also the team (null: every team). */
export function subjectOfBody({ subject }: Pick<z.output<typeof NewLimit>, 'subject'>): {
  subject: Subject;
  teamId: TeamId | null;
} {
  if (subject.type === 'member') {
    const { id = null, team_id: teamId = null } = subject;
    return { subject: { type: 'tag', name: MEMBER_TAG, value: id }, teamId };
  }
  if (subject.type === 'tag') {
    const { type, name, value = null, team_id: teamId = null } = subject;
    return { subject: { type, name, value }, teamId };
  }
  if (subject.type !== 'user') return { subject, teamId: null };
  return { subject: { type: 'user', id: subject.id ?? null }, teamId: subject.team_id ?? null };
}

/** Returns the team to which a new limit would belong; null: there is no such key. */
export async function limitOwner(
  database: Database,
  { subject }: Pick<z.output<typeof NewLimit>, 'subject'>,
): Promise<string | null> {
  if (subject.type === 'team') return subject.id;
  if (subject.type === 'key') return (await findKeyRow(database, subject.id))?.teamId ?? null;
  return ('team_id' in subject ? subject.team_id : null) ?? ORGANIZATION_ID;
}

/** Whether a limit has no single counter in a window: it counts end users, or each of many. */
export function isOfEach(subject: Subject): boolean {
  return subject.type === 'user' || countsApart(subject);
}

/** Returns why a limit could not bind, or contradicts itself; null: it is valid. */
export function limitProblem(
  {
    meter,
    window,
    enforcement,
    amount,
    max_hold,
    max_unknown,
    on_exhausted,
    carry_over,
  }: Omit<z.output<typeof NewLimit>, 'subject' | 'name'>,
  ofEach: boolean,
): ApiError | null {
  const { type } = window;
  if (type === 'rolling' && meter === 'cost_usd') {
    return invalid(
      'window.type',
      'a cost limit has a calendar or lifetime window; rolling windows are for rate limits',
    );
  }
  if (type !== 'lifetime' && meter === 'concurrency') {
    return invalid('window.type', 'a concurrency limit has no window of time: use {"type": "lifetime"}');
  }
  if (enforcement === 'soft' && (type === 'rolling' || meter === 'concurrency')) {
    return invalid('enforcement', 'rate limits are strict: nothing is left of them to warn of');
  }
  return (
    badStart(window) ??
    notWhole(meter, amount, 'amount') ??
    notHeld(meter, enforcement, max_hold) ??
    notUnknown(meter, max_unknown) ??
    notInstead(on_exhausted, { meter, enforcement, type }) ??
    notCarried(carry_over, { meter, enforcement, type, isOfEach: ofEach })
  );
}

/** A start that the unit does not have would be dropped without a word. */
function badStart(window: WindowBody): ApiError | null {
  if (window.type !== 'calendar') return null;
  const { unit, start_month: month, start_day: day } = window;
  if (month !== undefined && unit !== 'quarter' && unit !== 'year')
    return invalid('window.start_month', `a ${unit} begins in no month: only a quarter and a year have one`);
  if (day === undefined || (unit !== 'day' && (unit !== 'week' || day <= 7))) return null;
  return invalid(
    'window.start_day',
    unit === 'day' ? 'a day begins at an hour: use start_hour' : 'a week begins on a weekday, 1 to 7',
  );
}

function notUnknown(meter: Meter, max_unknown: string | null | undefined): ApiError | null {
  if (meter === 'cost_usd' || !max_unknown) return null;
  return invalid('max_unknown', 'only a limit of cost bounds what unknown outcomes may be charged');
}

function notHeld(
  meter: Meter,
  enforcement: Enforcement,
  max_hold: string | null | undefined,
): ApiError | null {
  if (enforcement === 'soft' && max_hold)
    return invalid('max_hold', 'a soft limit does not bound a single call');
  return notWhole(meter, max_hold, 'max_hold');
}

export function notWhole(meter: Meter, amount: string | null | undefined, param: string): ApiError | null {
  if (meter === 'cost_usd' || !amount || usd(amount) % UNIT === 0n) return null;
  return invalid(param, `must be a whole number of ${meter.replace('_', ' ')}`);
}

type WindowBody = z.output<typeof window>;

export function toWindow(body: WindowBody): Window {
  if (body.type !== 'calendar') return body;
  const { type, unit, time_zone: timeZone, start_month, start_day, start_hour } = body;
  // What is as usual is not stored: equal windows are equal texts.
  return {
    ...{ type, unit, timeZone },
    ...(start_month === undefined || start_month === 1 ? {} : { startMonth: start_month }),
    ...(start_day === undefined || start_day === 1 ? {} : { startDay: start_day }),
    ...(start_hour === undefined || start_hour === 0 ? {} : { startHour: start_hour }),
  };
}

/** Returns a limit's rule, as every response shows it. */
export function ruleOf(limit: LimitRow) {
  const { meter } = limit;
  return {
    id: limit.id,
    name: limit.name,
    subject: subjectOf(limit),
    models: limit.models,
    meter,
    amount: formatAmount(meter, usd(limit.amount)),
    window: windowFields(limit.window),
    enforcement: limit.enforcement,
  };
}

function subjectOf({ subjectType, subjectId, teamId }: LimitRow): z.output<typeof subject> {
  if (subjectType === 'org') return { type: 'org' };
  if (subjectType === 'team') return { type: 'team', id: teamId };
  if (subjectType === 'key') return { type: 'key', id: asId(subjectId ?? '') };
  if (subjectType === 'department') return { type: 'department', id: asId(subjectId ?? '') };
  if (subjectType === 'tag') return tagSubjectOf(subjectId ?? '', teamId);
  return { type: 'user', id: subjectId, team_id: teamOf(teamId) };
}

/** A tag as the subject of a limit; that of a member is shown as one. */
export function tagSubjectOf(text: string, teamId: TeamId): z.output<typeof subject> {
  const { name, value } = parseTag(text);
  const team_id = teamOf(teamId);
  return name === MEMBER_TAG ? { type: 'member', id: value, team_id } : { type: 'tag', name, value, team_id };
}

function raiseStateOf({ raise, ...each }: RaiseBalance, inUnit: (each: bigint) => string) {
  return {
    id: raise.id,
    amount: inUnit(each.amount),
    settled: inUnit(each.settled),
    held: inUnit(each.held),
    until: instantOf(raise.until),
    reason: raise.reason,
  };
}

/** Returns how far a limit is used, in its meter's unit. */
export function stateOf({ limit, amount, settled, held, span, raises }: LimitBalance) {
  const isRolling = limit.window.type === 'rolling';
  const inUnit = (each: bigint) => formatAmount(limit.meter, each);
  const leftOf = (each: { amount: bigint; settled: bigint }) =>
    each.amount > each.settled ? each.amount - each.settled : 0n;
  const left = raises.reduce((sum, raise) => sum + leftOf(raise), leftOf({ amount, settled }));
  return {
    settled: inUnit(settled),
    held: inUnit(held),
    remaining: inUnit(left),
    ...(raises.length === 0 ? {} : { raises: raises.map((raise) => raiseStateOf(raise, inUnit)) }),
    window_starts_at: span.endMs === null && !isRolling ? null : new Date(span.startMs).toISOString(),
    resets_at: span.endMs === null ? null : new Date(span.endMs).toISOString(),
  };
}

export function toLimit(limit: LimitRow): z.input<typeof Limit> {
  const { maxHold, maxUnknown } = limit;
  return {
    ...ruleOf(limit),
    team_id: teamOf(limit.teamId),
    max_hold: maxHold === null ? null : formatAmount(limit.meter, usd(maxHold)),
    max_unknown: maxUnknown === null ? null : formatAmount(limit.meter, usd(maxUnknown)),
    warn_at: limit.warnAt,
    on_exhausted: onExhaustedFields(limit.onExhausted),
    carry_over: carryOverFields(limit.carryOver),
    reset_at: instantOf(limit.resetAt),
    reset_reason: limit.resetReason,
    created_at: instantOf(limit.createdAt),
    deleted_at: instantOf(limit.deletedAt),
  };
}
