/** Prices: what a model costs, in requests and in responses. */
import { z } from 'zod';
import { METER_NAMES } from '../../domain/quantities.ts';
import { instant, label, modelName, moment, money, page, rate, tokenCount } from './fields.ts';

const PER_MAX = 1_000_000_000;

const tier = z.enum(['default', 'flex', 'priority', 'batch']);
const meter = z.enum(METER_NAMES).meta({ description: 'What is counted', example: 'input_tokens' });
const band = z.enum(['short', 'long']).meta({
  description: 'Whether input stays within `long_context_above_tokens` or passes it; missing: both',
});

const rates = {
  input_usd: money.nullable().meta({
    description: 'Null, as `output_usd`: the price is not one of text alone; `lines` say what it is',
  }),
  cached_input_usd: money.nullable(),
  cache_write_usd: money.nullable(),
  output_usd: money.nullable(),
};
export const Price = z
  .strictObject({
    id: z.string(),
    model: z.string(),
    tier,
    effective_from: instant,
    lines: z.array(z.strictObject({ meter, per: z.int(), rate: money, tier, band: band.optional() })).meta({
      description:
        'What each meter costs: `rate` USD for `per` units. A part without a line of its own (cached input) costs as its whole',
    }),
    per_tokens: z.int().meta({ description: 'Of the rates of text beside it' }),
    ...rates,
    long_context: z.strictObject(rates).nullable(),
    long_context_above_tokens: z.int().nullable(),
    source: z.string(),
    origin: z.enum(['seed', 'admin']),
    created_at: instant,
    deleted_at: instant.nullable(),
  })
  .meta({ id: 'Price' });
export const Prices = page(Price);

const newLine = z.strictObject({
  meter,
  per: z.int().min(1).max(PER_MAX).meta({ description: 'Units: 1000000 tokens, 60 seconds, 1000 calls' }),
  rate,
  tier: tier.optional().meta({ description: 'That of the price, or missing' }),
  band: band.optional(),
});
const maxTokens = tokenCount.min(1).max(100_000_000).optional();
const textRate = rate.nullable().default(null);

export const NewPrice = z
  .strictObject({
    model: modelName,
    tier: tier.default('default'),
    input_usd: rate.optional(),
    cached_input_usd: textRate.meta({ description: 'Null: as input' }),
    cache_write_usd: textRate.meta({ description: 'Null: as input' }),
    output_usd: rate.optional().meta({ description: 'Zero for a model that has no output (embeddings)' }),
    per_tokens: z.int().min(1).max(PER_MAX).default(1_000_000),
    lines: z.array(newLine).min(1).max(100).optional().meta({
      description: 'What other meters cost, or all of them: then the rates of text may be left out',
    }),
    long_context_above_tokens: tokenCount.min(1).optional().meta({
      description: 'From which input on the lines of the band `long` apply; missing: there is one band',
    }),
    effective_from: moment.optional().meta({ description: 'Missing: now' }),
    max_input_tokens: maxTokens.meta({
      description: 'The largest input of the model; missing: as it is known',
    }),
    max_output_tokens: maxTokens.meta({ description: 'Its longest output; missing: as it is known' }),
    image_rule: label(50).optional().meta({
      description: 'The family by whose rule its images are billed (docs/PRICES.md); missing: as it is known',
      example: 'gpt-5.5',
    }),
    source: label(1_000).meta({ description: 'Where this price was published or agreed' }),
  })
  .superRefine((price, context) => {
    const add = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    if (price.lines === undefined || price.input_usd !== undefined || price.output_usd !== undefined) {
      if (price.input_usd === undefined) add(['input_usd'], 'must be given');
      if (price.output_usd === undefined) add(['output_usd'], 'must be given');
    } else if (price.cached_input_usd !== null || price.cache_write_usd !== null) {
      add(['input_usd'], 'must be given');
    }
    price.lines?.forEach((line, index) => {
      if (line.tier !== undefined && line.tier !== price.tier) {
        add(['lines', index, 'tier'], 'must be the tier of the price: add a price for each tier');
      }
      if (line.band !== undefined && price.long_context_above_tokens === undefined) {
        add(['lines', index, 'band'], 'needs long_context_above_tokens');
      }
    });
  })
  .meta({ id: 'NewPrice' });
export const PriceChange = z.strictObject({ source: label(1_000) }).meta({ id: 'PriceChange' });
