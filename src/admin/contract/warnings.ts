/** Warnings that were raised, and what became of their webhooks. */
import { z } from 'zod';
import { id, instant, money, page, pageQuery } from './fields.ts';
import { meter, subject } from './nouns.ts';

export const WarningsQuery = pageQuery.extend({ team_id: id.optional() });

export const Warning = z
  .strictObject({
    id: id.meta({ description: 'Also that of its webhook' }),
    team_id: id.nullable().meta({ description: 'Null: the whole installation' }),
    limit_id: id.nullable(),
    grant_id: id.nullable(),
    subject,
    meter,
    threshold: z.int().meta({ description: 'Percent of the amount' }),
    amount: money,
    settled: money.meta({ description: 'When it was raised' }),
    denied: z.boolean().meta({ description: 'Raised by a call that the budget denied' }),
    resets_at: instant.nullable().meta({ description: 'End of the window, or of the grant; null: never' }),
    raised_at: instant,
    delivery: z.enum(['none', 'pending', 'delivered', 'given_up']),
    attempts: z.int(),
    problem: z.string().nullable().meta({ description: 'Why the last attempt failed' }),
    delivered_at: instant.nullable(),
  })
  .meta({ id: 'Warning' });
export const Warnings = page(Warning);
