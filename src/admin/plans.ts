/** Routes: plans. */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { fault } from '../domain/errors.ts';
import { changePlan, createPlan, deletePlan, findPlan, listPlans, type PlanRow } from '../store/plans.ts';
import type { AdminOptions } from './admin.ts';
import { NewPlan, Plan, PlanChange, Plans, pageQuery } from './contract.ts';
import { serveNoun } from './noun.ts';
import { instantOf, moneyOf } from './page.ts';
import { isFault, serve } from './route.ts';

export function servePlans(app: OpenAPIHono, { database, defaultPlan }: AdminOptions): void {
  const summary = 'Make a plan: the credit that new teams of it get';
  serve(
    app,
    { method: 'post', path: '/plans', summary, body: NewPlan, answer: Plan, status: 201 },
    async ({ body }) => {
      const plan = await createPlan(database, body.name, body.grants);
      return isFault(plan) ? plan : toPlan(plan);
    },
  );
  serveNoun(app, {
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
    change: (name, body) => changePlan(database, name, body.grants),
    remove: async (name) =>
      name === defaultPlan
        ? fault('conflict', `new teams get the plan ${name} by default`)
        : deletePlan(database, name),
  });
}

function toPlan(plan: PlanRow): z.input<typeof Plan> {
  return {
    name: plan.name,
    grants: plan.grants.map(({ amount_usd, months }) => ({ amount_usd: moneyOf(amount_usd), months })),
    created_at: instantOf(plan.createdAt),
  };
}
