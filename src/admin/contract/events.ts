/** Calls, and the correction of an unknown outcome. */

import { z } from 'zod';
import { OUTCOMES, PROVENANCES, UNKNOWN_REASONS } from '../../domain/outcome.ts';
import {
  id,
  instant,
  keyId,
  label,
  modelName,
  moment,
  money,
  page,
  pageQuery,
  quantities,
  rate,
  teamId,
  tokenCount,
} from './fields.ts';
import { tagText } from './tags.ts';

const outcome = z.enum(OUTCOMES);
const provenance = z.enum(PROVENANCES);

export const UnknownQuery = pageQuery.extend({ team_id: teamId.optional() });

const filters = {
  team_id: teamId.optional(),
  key_id: keyId.optional(),
  model: modelName.optional().meta({ description: 'As the call named it' }),
  operation: label(64).optional(),
  upstream: label(32).optional(),
  outcome: outcome.optional(),
  provenance: provenance.optional(),
  end_user: label(512).optional(),
  tag: tagText.optional(),
  labelled: z.enum(['true', 'false', 'wanted', 'others']).optional().meta({
    description:
      'Whether it has a label; wanted: it has none, and a text, speech or image that people can check; others: it has, and none of the caller',
  }),
  saving: z.enum(['cache_misses', 'batch', 'written_in_limits']).optional().meta({
    description: 'Settled calls that could have been cheaper, as the report on savings finds them',
  }),
  from: moment.optional(),
  to: moment.optional().meta({ description: 'Exclusive' }),
  order: z.enum(['asc', 'desc']).default('asc').meta({ description: 'Oldest or newest first' }),
};
export const EventsQuery = pageQuery.extend(filters);
/** Query of self-service: the calls of the calling key, newest first. */
export const SelfServiceCallsQuery = pageQuery.extend({ from: filters.from, to: filters.to });
export const EventsCsvQuery = z.strictObject(filters);

const eventFields = {
  id,
  team_id: id,
  team_name: z.string(),
  key_id: id,
  key_name: z.string(),
  operation: z.string(),
  model: z.string(),
  response_model: z.string().nullable(),
  service_tier: z.string().nullable(),
  stream: z.boolean(),
  end_user: z.string().nullable(),
  tags: z.record(z.string(), z.string()),
  on_exhausted: z
    .strictObject({
      action: z.enum(['wait', 'slow_down', 'cheaper_model']),
      limit_id: id,
      seconds: z.number().optional().meta({ description: 'How long it waited' }),
      instead_of: z
        .string()
        .optional()
        .meta({ description: 'The model that was asked for; `model` was called' }),
    })
    .nullable()
    .meta({ description: 'What a limit did instead of refusing the call; null: none did' }),
  outcome,
  provenance,
  reason: z.string().nullable(),
  upstream: z.string().nullable().meta({ description: 'Name of the upstream; null: there was one' }),
  upstream_status: z.int().nullable(),
  upstream_request_id: z.string().nullable(),
  input_tokens: tokenCount,
  cached_input_tokens: tokenCount,
  cache_write_tokens: tokenCount,
  output_tokens: tokenCount,
  reasoning_tokens: tokenCount,
  quantities: quantities.meta({ description: 'What else it used, by meter, in units' }),
  output_limit: z
    .int()
    .nullable()
    .meta({ description: 'The output limit that was written into the request' }),
  price_id: z.string().nullable(),
  cost_usd: money,
  hold_usd: money,
  adjusted_usd: money.optional().meta({ description: 'The cost after corrections; missing: there are none' }),
  stage_us: z.record(z.string(), z.number()).meta({
    description:
      'Microseconds by stage; `first_byte`: the part of `forward` until the first byte of the response',
  }),
  created_at: instant,
};
export const Event = z.strictObject(eventFields).meta({ id: 'Event' });
export const Events = page(Event).extend({
  next: z.string().nullable().meta({
    description:
      'Null: this is the last page. With a filter a page may be shorter than its limit, or empty, without being the last: each page searches a bounded number of calls',
  }),
});

/** One call with what it held and settled on each budget, and its corrections. */
export const WholeEvent = z
  .strictObject({
    ...eventFields,
    allocations: z.array(
      z.strictObject({
        counter_id: z.string(),
        source: z.enum(['limit', 'grant']),
        limit_id: id.optional(),
        grant_id: id.optional(),
        name: z.string().nullable().meta({ description: 'Of the limit or grant; null: it has none' }),
        held: money,
        settled: money,
      }),
    ),
    adjustments: z.array(
      z.strictObject({ id, delta_usd: money, reason: z.string(), actor: z.string(), created_at: instant }),
    ),
  })
  .meta({ id: 'WholeEvent' });

export const NewRelease = z
  .strictObject({
    reason: label(1_000).meta({ description: 'The evidence' }),
    cost_usd: rate.default('0').meta({ description: 'What the upstream billed' }),
  })
  .meta({ id: 'NewRelease' });
export const NewBulkRelease = z
  .strictObject({
    filter: z
      .strictObject({
        team_id: teamId.optional(),
        model: modelName.optional().meta({ description: 'As the call named it' }),
        reason: z.enum(UNKNOWN_REASONS).optional().meta({ description: 'Why the outcome is not known' }),
        from: moment.optional(),
        to: moment.optional().meta({ description: 'Exclusive' }),
      })
      .meta({ description: 'What all released calls have in common; empty: every call of unknown outcome' }),
    reason: label(1_000).meta({ description: 'The evidence' }),
  })
  .meta({ id: 'NewBulkRelease' });
export const BulkRelease = z
  .strictObject({
    released_calls: z.int(),
    released_usd: money,
    more: z.boolean().meta({ description: 'One request releases 50,000 calls at most: send it again' }),
  })
  .meta({ id: 'BulkRelease' });
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
