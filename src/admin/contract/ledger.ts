/** What people read of the ledger (balance, usage, events), and the one correction that they can make. */
import { z } from 'zod';
import {
  id,
  instant,
  label,
  moment,
  money,
  page,
  pageQuery,
  rate,
  timeZone,
  tokenCount,
  window,
} from './fields.ts';
import { meter, subject } from './nouns.ts';

export const Balance = z
  .strictObject({
    team_id: id,
    granted_usd: money,
    settled_usd: money,
    held_usd: money.meta({ description: 'What calls in flight hold; not what is merely leased' }),
    remaining_usd: money.nullable().meta({
      description: 'Amount less settled of the grants that are usable now; null: the team never had a grant',
    }),
    unknown_usd: money.meta({
      description: 'Charged for calls whose outcome nobody knows; part of settled_usd',
    }),
    grants: z.array(
      z.strictObject({
        id,
        amount_usd: money,
        settled_usd: money,
        held_usd: money,
        remaining_usd: money.meta({ description: '0 before it starts and once it expired' }),
        starts_at: instant,
        expires_at: instant.nullable(),
      }),
    ),
    limits: z.array(
      z.strictObject({
        id,
        subject,
        meter,
        amount: money,
        settled: money,
        held: money,
        remaining: money,
        over_limit_usd: money.meta({ description: 'What is settled or held beyond a lowered amount' }),
        window,
        window_starts_at: instant.nullable().meta({ description: 'Null: lifetime' }),
        resets_at: instant.nullable().meta({ description: 'Null: never' }),
      }),
    ),
  })
  .meta({ id: 'Balance' });

export const GROUPS = ['team', 'key', 'model', 'operation'] as const;
export type Group = (typeof GROUPS)[number];

const groups = z
  .string()
  .default('')
  .transform((text) => [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== ''))
  .pipe(z.array(z.enum(GROUPS, { error: `must be a comma-separated list of ${GROUPS.join(', ')}` })))
  .meta({ description: `Comma-separated: ${GROUPS.join(', ')}` });

export const UsageQuery = z.strictObject({
  group_by: groups,
  interval: z.enum(['15m', 'hour', 'day', 'week', 'month', 'total']).default('day'),
  time_zone: timeZone.default('UTC'),
  from: moment.optional().meta({ description: 'Rounded down to the quarter of an hour' }),
  to: moment.optional().meta({ description: 'Exclusive, rounded up to the quarter of an hour' }),
  team_id: id.optional(),
});

const sums = {
  calls: tokenCount,
  voided_calls: tokenCount,
  unknown_calls: tokenCount.meta({ description: 'Calls whose outcome is still unknown' }),
  input_tokens: tokenCount,
  cached_input_tokens: tokenCount,
  cache_write_tokens: tokenCount,
  output_tokens: tokenCount,
  reasoning_tokens: tokenCount,
  cost_usd: money.meta({ description: 'With corrections' }),
  unknown_usd: money,
};

export const Usage = z
  .strictObject({
    interval: z.string(),
    time_zone: z.string(),
    from: instant.nullable(),
    to: instant.nullable(),
    data: z.array(
      z.strictObject({
        starts_at: instant.nullable().meta({ description: 'Null for `total`' }),
        team_id: id.optional(),
        key_id: id.optional(),
        model: z.string().optional(),
        operation: z.string().optional(),
        ...sums,
      }),
    ),
  })
  .meta({ id: 'Usage' });

export const EventsQuery = pageQuery.extend({ team_id: id.optional() });

export const Event = z
  .strictObject({
    id,
    team_id: id,
    key_id: id,
    operation: z.string(),
    model: z.string(),
    response_model: z.string().nullable(),
    service_tier: z.string().nullable(),
    stream: z.boolean(),
    outcome: z.enum(['settled', 'voided', 'unknown']),
    provenance: z.enum(['reported', 'estimated', 'unknown']),
    reason: z.string().nullable(),
    upstream_status: z.int().nullable(),
    upstream_request_id: z.string().nullable(),
    input_tokens: tokenCount,
    cached_input_tokens: tokenCount,
    cache_write_tokens: tokenCount,
    output_tokens: tokenCount,
    reasoning_tokens: tokenCount,
    output_limit: z
      .int()
      .nullable()
      .meta({ description: 'The output limit that was written into the request' }),
    price_id: z.string().nullable(),
    cost_usd: money,
    hold_usd: money,
    adjusted_usd: money
      .optional()
      .meta({ description: 'The cost after corrections; missing: there are none' }),
    stage_us: z.record(z.string(), z.number()),
    created_at: instant,
  })
  .meta({ id: 'Event' });
export const Events = page(Event);

export const NewRelease = z
  .strictObject({
    reason: label(1_000).meta({ description: 'The evidence' }),
    cost_usd: rate.default('0').meta({ description: 'What the upstream billed after all' }),
  })
  .meta({ id: 'NewRelease' });
export const Release = z
  .strictObject({
    id,
    event_id: id,
    team_id: id,
    delta_usd: money,
    reason: z.string(),
    actor: z.string(),
    created_at: instant,
  })
  .meta({ id: 'Release' });
