/** Plans: what new teams get, as asked for and as answered. */
import { z } from 'zod';
import { amount, instant, modelNames, money, name, page } from './fields.ts';
import { changes, Limit, NewLimit } from './nouns.ts';

const planGrants = z
  .array(z.strictObject({ amount_usd: amount, months: z.int().min(1).max(1200).nullable() }))
  .max(10)
  .meta({
    description: 'Credit that a new team gets, and after how many calendar months it expires (null: never)',
  });
const planLimits = z
  .array(NewLimit.omit({ subject: true }))
  .max(20)
  .meta({ description: 'Limits that a new team gets, each on the team' });
const planModels = modelNames.nullable().meta({ description: 'Models that a new team may use. Null: all' });
export const Plan = z
  .strictObject({
    name: z.string(),
    grants: z.array(z.strictObject({ amount_usd: money, months: z.int().nullable() })),
    limits: z.array(
      Limit.pick({
        models: true,
        meter: true,
        amount: true,
        window: true,
        enforcement: true,
        max_hold: true,
        warn_at: true,
      }),
    ),
    models: z.array(z.string()).nullable(),
    created_at: instant,
  })
  .meta({ id: 'Plan' });
export const Plans = page(Plan);
export const NewPlan = z
  .strictObject({
    name,
    grants: planGrants.default([]),
    limits: planLimits.default([]),
    models: planModels.default(null),
  })
  .meta({ id: 'NewPlan' });
export const PlanChange = changes({ grants: planGrants, limits: planLimits, models: planModels }).meta({
  id: 'PlanChange',
});
