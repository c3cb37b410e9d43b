/** What could be cheaper, and which model does what for how much. */
import { z } from 'zod';
import { instant, moment, money, teamId, tokenCount } from './fields.ts';
import { tagText } from './tags.ts';

const range = {
  team_id: teamId.optional(),
  from: moment.optional().meta({ description: 'Missing: 30 days before to' }),
  to: moment.optional().meta({ description: 'Exclusive; missing: now' }),
};
export const SavingsQuery = z.strictObject(range);
export const ModelReportQuery = z.strictObject({ ...range, tag: tagText.optional() });

const SAVING_KINDS = [
  'cached_input',
  'cache_misses',
  'repeats',
  'cheaper_model',
  'batch',
  'written_in_limits',
] as const;

const lookedAt = z
  .strictObject({ calls: tokenCount, most: tokenCount })
  .meta({ description: 'Where single calls are looked at: how many, the latest; and how many at most' });

export const Savings = z
  .strictObject({
    from: instant,
    to: instant,
    looked_at: lookedAt,
    data: z.array(
      z.strictObject({
        kind: z.enum(SAVING_KINDS),
        bound: z.enum(['by_price', 'at_most', 'unknown']).meta({
          description:
            'by_price: what the prices say of the same usage. at_most: no more than this can be saved. unknown: the ledger cannot tell',
        }),
        saving_usd: money.nullable().meta({ description: 'Null: unknown' }),
        spent_usd: money.nullable().meta({ description: 'What the calls cost of which it is a part' }),
        calls: tokenCount.nullable(),
        share: z
          .number()
          .nullable()
          .meta({ description: 'Of cached_input: the part of what could come from the cache that did' }),
        basis: z.string().meta({ description: 'What was compared' }),
        query: z.string().nullable().meta({ description: 'The request that shows the same rows' }),
        models: z.array(
          z.strictObject({
            model: z.string(),
            instead: z.string().nullable().meta({ description: 'The cheaper model' }),
            calls: tokenCount,
            spent_usd: money,
            saving_usd: money,
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'Savings' });

export const ModelReport = z
  .strictObject({
    from: instant,
    to: instant,
    tag: z.string().nullable(),
    looked_at: lookedAt,
    data: z.array(
      z.strictObject({
        model: z.string(),
        calls: tokenCount,
        cost_usd: money,
        cost_per_call_usd: money.meta({ description: 'Over the calls that did not fail' }),
        input_usd_per_million: money
          .nullable()
          .meta({ description: 'The standard price; null: it has none of this form' }),
        output_usd_per_million: money.nullable(),
        latency_median_ms: z.number().nullable(),
        latency_p95_ms: z.number().nullable(),
        first_byte_ms: z.number().nullable().meta({
          description:
            'Median of the streamed calls, from the end of the request to the first byte of the response; null: there was none',
        }),
        output_tokens_per_second: z.number().nullable(),
        labelled_calls: tokenCount,
        accepted: tokenCount,
        edited: tokenCount,
        rejected: tokenCount,
        cost_per_accepted_usd: money.nullable(),
        agreement: z.number().nullable(),
        accepted_share: z.number().nullable().meta({ description: 'Of the labelled calls; null: none is' }),
        accepted_share_before: z
          .number()
          .nullable()
          .meta({ description: 'The same, in as long a time before' }),
      }),
    ),
  })
  .meta({ id: 'ModelReport' });
