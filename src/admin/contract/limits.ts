/** Lists of limits, with how far each is used. */
import { z } from 'zod';
import { instant, money, page, teamListQuery } from './fields.ts';
import { Limit } from './nouns.ts';

export const limitListQuery = teamListQuery.extend({
  state: z
    .enum(['true', 'false'])
    .default('false')
    .meta({ description: 'Also how far each is used in its current window' }),
});

export const ListedLimit = Limit.extend({
  state: z
    .strictObject({
      settled: money.meta({ description: "In the meter's unit, as are held and remaining" }),
      held: money,
      remaining: money,
      window_starts_at: instant.nullable().meta({ description: 'Null: lifetime' }),
      resets_at: instant.nullable().meta({ description: 'Null: never' }),
    })
    .optional()
    .meta({
      description:
        'Missing unless asked for, of a deleted limit, and of one that counts each end user for itself',
    }),
}).meta({ id: 'ListedLimit' });
export const ListedLimits = page(ListedLimit);
