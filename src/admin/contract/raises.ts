/** Resets and raises of limits. */
import { z } from 'zod';
import { amount, id, instant, label, moment, money, page } from './fields.ts';

export const Raise = z
  .strictObject({
    id,
    limit_id: id,
    amount: money.meta({ description: "What it adds, in the meter's unit" }),
    starts_at: instant,
    until: instant.meta({ description: 'When it ends by itself, or was ended' }),
    reason: z.string(),
    created_at: instant,
  })
  .meta({ id: 'Raise' });
export const Raises = page(Raise);
export const NewRaise = z
  .strictObject({
    amount: amount.meta({
      description: "Added to the limit's own amount until then, once; in the meter's unit",
    }),
    until: moment.meta({ description: 'When it ends by itself' }),
    reason: label(500),
  })
  .meta({ id: 'NewRaise' });
export const NewReset = z.strictObject({ reason: label(500) }).meta({ id: 'NewReset' });

export const raiseStates = z
  .array(
    z.strictObject({ id, amount: money, settled: money, held: money, until: instant, reason: z.string() }),
  )
  .optional()
  .meta({ description: 'Those that have not ended; missing: there are none' });
