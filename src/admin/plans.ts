/** Routes: plans. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { formatAmount } from '../domain/amount.ts';
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { usd } from '../domain/money.ts';
import { windowFields } from '../domain/window.ts';
import { changePlan, createPlan, deletePlan, findPlan, listPlans, type PlanRow } from '../store/plans.ts';
import type { PlanLimit } from '../store/stored-json.ts';
import { NewPlan, Plan, PlanChange, Plans, pageQuery } from './contract.ts';
import { limitProblem, toWindow } from './limits.ts';
import { carryOverFields, onExhaustedFields, toCarryOver, toOnExhausted } from './on-exhausted.ts';
import type { AdminOptions } from './options.ts';
import { instantOf, moneyOf } from './page.ts';
import { resourceRoutes } from './resource.ts';
import { route } from './route.ts';

export function planRoutes(app: OpenAPIHono, { database, defaultPlan }: AdminOptions): void {
  const summary = 'Make a plan: the credit, limits and models of new teams';
  route(
    app,
    { method: 'post', path: '/plans', summary, body: NewPlan, response: Plan, status: 201 },
    async ({ body: { name, grants, limits, models } }) => {
      const problem = limitsProblem(limits);
      if (problem) return problem;
      const plan = await createPlan(database, name, { grants, limits: limits.map(toPlanLimit), models });
      return isApiError(plan) ? plan : toPlan(plan);
    },
  );
  resourceRoutes(app, {
    path: '/plans',
    name: 'plan',
    textId: true,
    item: Plan,
    page: Plans,
    listQuery: pageQuery,
    changeBody: PlanChange,
    idOf: (plan: PlanRow) => plan.name,
    view: toPlan,
    list: ({ after, limit }) => listPlans(database, after, limit),
    find: (name) => findPlan(database.db, name),
    change: async (name, { limits, ...change }) => {
      if (limits === undefined) return changePlan(database, name, change);
      return (
        limitsProblem(limits) ?? changePlan(database, name, { ...change, limits: limits.map(toPlanLimit) })
      );
    },
    remove: async (name) =>
      name === defaultPlan
        ? apiError('conflict', `new teams get the plan ${name} by default`)
        : deletePlan(database, name),
  });
}

type PlanLimitBody = z.output<typeof NewPlan>['limits'][number];

/** Returns the first limit's problem, with its place in the plan. */
function limitsProblem(limits: readonly PlanLimitBody[]): ApiError | null {
  for (const [index, limit] of limits.entries()) {
    const problem = limitProblem(limit, false);
    if (!problem) continue;
    const path = `limits[${index}].`;
    return apiError(problem.code, path + problem.message, { param: path + (problem.param ?? '') });
  }
  return null;
}

function toPlanLimit(body: PlanLimitBody): PlanLimit {
  const {
    max_hold: maxHold,
    max_unknown: maxUnknown,
    warn_at: warnAt,
    on_exhausted,
    carry_over,
    window,
    ...rule
  } = body;
  const onExhausted = toOnExhausted(on_exhausted);
  const carryOver = toCarryOver(carry_over);
  return { ...rule, window: toWindow(window), maxHold, maxUnknown, warnAt, onExhausted, carryOver };
}

function toPlan(plan: PlanRow): z.input<typeof Plan> {
  return {
    name: plan.name,
    grants: plan.grants.map(({ amount_usd, months }) => ({ amount_usd: moneyOf(amount_usd), months })),
    limits: plan.limits.map(
      ({
        models,
        meter,
        amount,
        window,
        enforcement,
        maxHold,
        maxUnknown,
        warnAt,
        onExhausted,
        carryOver,
      }) => ({
        models,
        meter,
        amount: formatAmount(meter, usd(amount)),
        window: windowFields(window),
        enforcement,
        max_hold: maxHold === null ? null : formatAmount(meter, usd(maxHold)),
        max_unknown: maxUnknown === null ? null : formatAmount(meter, usd(maxUnknown)),
        warn_at: warnAt,
        on_exhausted: onExhaustedFields(onExhausted),
        carry_over: carryOverFields(carryOver),
      }),
    ),
    models: plan.models,
    created_at: instantOf(plan.createdAt),
  };
}
