/** What becomes of a limit's ends: `on_exhausted` of a call that it would refuse, `carry_over` of what its window has left. */
import { z } from 'zod';
import { amount, modelName } from './fields.ts';

/** Least and most that fields of `on_exhausted` say. */
const WAIT_SECONDS_MAX = 300;
const CALLS_PER_MINUTE_MAX = 6_000;
export const onExhausted = z
  .discriminatedUnion(
    'action',
    [
      z.strictObject({ action: z.literal('refuse') }),
      z.strictObject({ action: z.literal('wait'), max_seconds: z.int().min(1).max(WAIT_SECONDS_MAX) }),
      z.strictObject({
        action: z.literal('slow_down'),
        calls_per_minute: z.int().min(1).max(CALLS_PER_MINUTE_MAX),
        from_percent: z
          .int()
          .min(1)
          .max(99)
          .default(80)
          .meta({ description: 'From this part of the amount on; at its end calls are refused' }),
      }),
      z.strictObject({
        action: z.literal('cheaper_model'),
        models: z
          .array(modelName)
          .min(1)
          .max(10)
          .meta({ description: 'Tried in this order; the call is estimated anew for each' }),
      }),
    ],
    { error: 'must have an action: "refuse", "wait", "slow_down" or "cheaper_model"' },
  )
  .meta({
    id: 'OnExhausted',
    description: 'What becomes of a call for which the amount is used up or the rate reached',
  });

const CARRY_PERCENT_MAX = 100;
const CARRY_PERCENT = `must be a whole number from 1 to ${CARRY_PERCENT_MAX}: percent of the amount, of which a window leaves no more than all`;
const carryPercent = z
  .int({ error: CARRY_PERCENT })
  .min(1, { error: CARRY_PERCENT })
  .max(CARRY_PERCENT_MAX, { error: CARRY_PERCENT })
  .meta({ description: 'Of the amount' });
export const carryOver = z
  .strictObject({
    max_usd: amount.optional(),
    max_percent: carryPercent.optional(),
  })
  .refine(
    ({ max_usd, max_percent }) => (max_usd === undefined) !== (max_percent === undefined),
    'must say either max_usd or max_percent',
  )
  .meta({
    id: 'CarryOver',
    description:
      'The most of what a window leaves that is carried into the next, and never more than the amount; null: nothing is',
  });
