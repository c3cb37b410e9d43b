/** Reconciliation: the upstream's bill of a UTC day against the ledger. */
import { z } from 'zod';
import { DIFFERENCE_KINDS } from '../../domain/differences.ts';
import { SERVICE_TIERS } from '../../domain/price.ts';
import { instant, label, money, teamId } from './fields.ts';

const day = z.iso
  .date('must be a day, such as "2026-11-28"')
  .refine((text) => text >= '2000', 'must be a day since 2000')
  .meta({ description: 'UTC day', example: '2026-11-28' });
const upstreamName = z.string().max(32);

export const ReconciliationQuery = z.strictObject({
  day: day.optional().meta({ description: 'One day; missing: the days that were computed, newest first' }),
  before: day.optional().meta({ description: 'Days before this one' }),
  limit: z.coerce.number().int().min(1).max(400).default(100),
  format: z.enum(['json', 'csv']).default('json'),
});

export const DayDifference = z.strictObject({
  id: z.string().meta({ description: 'The same whenever the day is computed again' }),
  kind: z.enum(DIFFERENCE_KINDS),
  with: z
    .array(z.enum(DIFFERENCE_KINDS))
    .meta({ description: 'Other kinds that may be part of it: no number tells them apart' }),
  model: z.string().nullable(),
  service_tier: z.enum(SERVICE_TIERS).nullable(),
  line_item: z.string().nullable().meta({ description: "As the upstream's costs name it" }),
  api_key_id: z.string().nullable().meta({ description: "The upstream's id of the key that was used" }),
  quantity: z.number().nullable().meta({ description: 'Tokens, or other units of the line item' }),
  calls: z.int().meta({ description: 'Calls of the ledger that it is about' }),
  amount_usd: money.meta({ description: 'Billed less charged' }),
  corrected_usd: money.meta({ description: 'What corrections of its calls have moved already' }),
  posted: z
    .strictObject({
      amount_usd: money,
      events: z.int(),
      reason: z.string(),
      actor: z.string(),
      posted_at: instant,
    })
    .nullable()
    .meta({ description: 'Null: it was not posted' }),
});

export const ReconciledDay = z
  .strictObject({
    day,
    upstream: z.string().nullable().meta({ description: 'Among several; null: there is only one' }),
    is_final: z.boolean().meta({ description: 'It is not computed again' }),
    computed_at: instant,
    billed_usd: money.meta({ description: 'By the costs of the upstream' }),
    charged_usd: money.meta({ description: 'By the ledger, before corrections and postings' }),
    corrected_usd: money,
    posted_usd: money.meta({ description: 'Of differences, without corrections of calls' }),
    unexplained_usd: money,
    own_api_key_ids: z
      .array(z.string())
      .nullable()
      .meta({ description: "The upstream's ids of the gateway's keys; null: it does not tell them" }),
    differences: z.array(DayDifference),
  })
  .meta({ id: 'ReconciledDay' });

export const Reconciliation = z.strictObject({
  data: z.array(ReconciledDay),
  next: z.string().nullable().meta({ description: '`before` of the next page; null at the end' }),
  setup: z
    .strictObject({
      is_on: z.boolean(),
      upstreams_without: z
        .array(z.string())
        .meta({ description: 'Upstreams of the file without an admin key' }),
    })
    .meta({ description: 'Whether days are computed: it takes an admin key' }),
});

export const NewPosting = z.strictObject({
  day,
  upstream: upstreamName.optional().meta({ description: 'Among several' }),
  difference: z.string().min(1).max(1_000).meta({ description: 'Its id' }),
  reason: label(1_000),
  team_id: teamId.optional().meta({
    description: 'Who bears what no calls of teams explain; missing: the organization, outside of every team',
  }),
});

export const Posting = z.strictObject({
  day,
  upstream: z.string().nullable(),
  difference: z.string(),
  amount_usd: money,
  events: z.int().meta({ description: 'Calls that were corrected, or events that were made' }),
  reason: z.string(),
  actor: z.string(),
  posted_at: instant,
});
