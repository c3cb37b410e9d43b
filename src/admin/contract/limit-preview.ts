/** What a limit would do. */
import { z } from 'zod';
import { instant, money, tokenCount } from './fields.ts';

export const LimitPreview = z
  .strictObject({
    window_starts_at: instant.nullable().meta({ description: 'Null: it counts for ever, or is rolling' }),
    resets_at: instant.nullable(),
    used: money.meta({
      description:
        "What it would count now, in the meter's unit. Of each end user: the most of one of them today. Of a rolling window: since the day began at most",
    }),
    amount: money,
    remaining: money,
    calls_today: tokenCount.meta({
      description: 'Those that it would count; of more than 50,000 the first are looked at',
    }),
    denied_calls_today: tokenCount.meta({
      description:
        'By what they used: a strict limit holds what a call could use at worst, and may deny more',
    }),
    first_denied_at: instant.nullable(),
  })
  .meta({ id: 'LimitPreview' });
