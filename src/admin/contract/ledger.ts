/** What people read of the ledger as sums: balance, usage, denials, errors. */
import { z } from 'zod';
import { id, instant, moment, money, quantities, timeZone, tokenCount, window } from './fields.ts';
import { enforcement, meter, subject } from './nouns.ts';

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
        models: z.array(z.string()).nullable(),
        meter,
        enforcement,
        amount: money.meta({ description: "In the meter's unit, as are settled, held and remaining" }),
        settled: money,
        held: money,
        remaining: money,
        over_limit_usd: money.meta({
          description: "What is settled or held beyond a lowered amount, or a soft one; in the meter's unit",
        }),
        window,
        window_starts_at: instant.nullable().meta({ description: 'Null: lifetime' }),
        resets_at: instant.nullable().meta({ description: 'Null: never' }),
      }),
    ),
  })
  .meta({ id: 'Balance' });

function groups<const Names extends readonly string[]>(names: Names) {
  return z
    .string()
    .default('')
    .transform((text) =>
      [...new Set(text.split(',').map((part) => part.trim()))].filter((part) => part !== ''),
    )
    .pipe(z.array(z.enum(names, { error: `must be a comma-separated list of ${names.join(', ')}` })))
    .meta({ description: `Comma-separated: ${names.join(', ')}` });
}

const stretch = {
  interval: z.enum(['15m', 'hour', 'day', 'week', 'month', 'total']).default('day'),
  time_zone: timeZone.default('UTC'),
  from: moment.optional().meta({ description: 'Rounded down to the quarter of an hour' }),
  to: moment.optional().meta({ description: 'Exclusive, rounded up to the quarter of an hour' }),
};
const answeredStretch = {
  interval: z.string(),
  time_zone: z.string(),
  from: instant.nullable(),
  to: instant.nullable(),
};

/** What a key's holder asks of the usage of that key. */
export const OwnUsageQuery = z.strictObject({ group_by: groups(['model', 'operation']), ...stretch });
export const UsageQuery = z.strictObject({
  group_by: groups(['team', 'key', 'model', 'operation']),
  ...stretch,
  team_id: id.optional(),
  key_id: id.optional(),
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
  quantities: quantities.meta({ description: 'What else was used, by meter, in units' }),
  cost_usd: money.meta({ description: 'With corrections' }),
  unknown_usd: money,
};

export const Usage = z
  .strictObject({
    ...answeredStretch,
    data: z.array(
      z.strictObject({
        starts_at: instant.nullable().meta({ description: 'Null for `total`' }),
        team_id: id.optional(),
        team_name: z.string().optional(),
        key_id: id.optional(),
        key_name: z.string().optional(),
        model: z.string().optional(),
        operation: z.string().optional(),
        ...sums,
      }),
    ),
  })
  .meta({ id: 'Usage' });

export const ApiErrorsQuery = z.strictObject({
  group_by: groups(['team', 'code']),
  ...stretch,
  team_id: id.optional(),
});
/** Counts of denials, or of errors. */
export const ApiErrors = z
  .strictObject({
    ...answeredStretch,
    data: z.array(
      z.strictObject({
        starts_at: instant.nullable().meta({ description: 'Null for `total`' }),
        team_id: id.optional(),
        team_name: z.string().optional(),
        code: z.string().optional().meta({ description: 'The error code of the response' }),
        count: tokenCount,
      }),
    ),
  })
  .meta({ id: 'ApiErrors' });
