/** Estimates: what training, batches and an application would cost, in requests and in responses. */
import { z } from 'zod';
import { SERVICE_TIERS } from '../../domain/price.ts';
import { modelName, modelNames, money, rate, tokenCount } from './fields.ts';

const COUNT_MAX = 1_000_000_000;

/** Numbers of pre-training are text: 3.14e23 has no exact float. */
const number = (description: string, example: string) =>
  z
    .string({ error: `must be text such as "${example}": numbers this large are not exact in JSON` })
    .max(60)
    .optional()
    .meta({ description, example });
const count = z.int().min(0).max(COUNT_MAX);
const date = z.iso.date({ error: 'must be a date such as "2022-07-15"' }).optional().meta({
  description: 'At the prices of which day (UTC); missing: now',
  example: '2022-07-15',
});

const pretrain = z.strictObject({
  kind: z.literal('pretrain'),
  preset: z.string().max(60).optional().meta({ description: 'A published training: gpt-3' }),
  flops: number('All operations of the training; or `parameters` and `tokens`', '3.14e23'),
  parameters: number('Of the model', '175B'),
  tokens: number('That it is trained on', '300B'),
  gpu: z.string().max(60).optional().meta({ description: 'v100, a100 or h100; or `tflops`' }),
  tflops: number('What a GPU computes at most, in 10^12 operations a second', '312'),
  utilisation: number('Percent of that which training reaches', '40'),
  usd_per_hour: rate.optional().meta({ description: 'Of one GPU' }),
  gpus: number('How many work at once', '1024'),
});

const usage = z.strictObject({
  kind: z.literal('usage'),
  calls_per_day: count.min(1),
  prompt_tokens: count,
  cached_tokens: count.default(0).meta({ description: 'Of the prompt, those that come from the cache' }),
  answer_tokens: count,
  days: z.int().min(1).max(366).default(30).meta({ description: 'Of a month' }),
  date,
  tier: z.enum(SERVICE_TIERS).default('default'),
  models: modelNames.optional().meta({ description: 'Missing: all that write text and were served then' }),
  credit_usd: rate.default('18.00').meta({ description: 'A prepaid amount: how far does it go?' }),
});

const EPOCHS_MAX = 50;

const fineTune = z
  .strictObject({
    kind: z.literal('fine_tune'),
    model: modelName,
    epochs: z
      .union([z.literal('auto'), z.int().min(1).max(EPOCHS_MAX)], {
        error: `must be "auto" or a whole number from 1 to ${EPOCHS_MAX}`,
      })
      .default('auto'),
    hours: number('The most hours, for a model whose training is billed by them', '2.5'),
    date,
    file: z.string().min(1).optional().meta({ description: 'The training file (JSONL), or `tokens`' }),
    tokens: count.optional().meta({ description: 'Of all examples, instead of the file' }),
    examples: count.min(1).optional().meta({ description: 'How many; missing: the worst case of `auto`' }),
  })
  .superRefine(({ file, tokens, examples }, context) => {
    const add = (path: string, message: string) =>
      context.addIssue({ code: 'custom', path: [path], message });
    if (file === undefined && tokens === undefined) add('file', 'must be given, or tokens');
    if (file !== undefined && tokens !== undefined) add('tokens', 'must be missing where a file is given');
    if (file !== undefined && examples !== undefined)
      add('examples', 'must be missing where a file is given');
  });

const batch = z.strictObject({
  kind: z.literal('batch'),
  file: z.string().min(1).meta({ description: 'The input file of the batch (JSONL)' }),
  date,
  answer_tokens: count.min(1).optional().meta({
    description: 'Of a call that sets no output limit; missing: the most that its model writes',
  }),
});

export const NewEstimate = z
  .discriminatedUnion('kind', [pretrain, usage, fineTune, batch], {
    error: 'must have a kind: "pretrain", "usage", "fine_tune" or "batch"',
  })
  .meta({ id: 'NewEstimate' });

const PretrainEstimate = z.strictObject({
  kind: z.literal('pretrain'),
  preset: z.string().nullable(),
  flops: z.string(),
  parameters: z.string().nullable(),
  tokens: z.string().nullable(),
  gpu: z.string().nullable(),
  tflops: z.string(),
  utilisation: z.string().meta({ description: 'Percent' }),
  usd_per_hour: money,
  gpu_hours: z.string().meta({ description: 'Rounded to a hundredth' }),
  gpu_years: z.string().meta({ description: 'Rounded to a tenth' }),
  cost_usd: money,
  gpus: z.string().nullable(),
  days: z.string().nullable().meta({ description: 'With so many GPUs at once' }),
  published: z.strictObject({ cost: z.string(), gpu_years: z.string(), source: z.string() }).nullable().meta({
    description: 'What was published of the same training',
  }),
  sources: z.array(z.strictObject({ what: z.string(), value: z.string(), source: z.string() })),
});

const UsageEstimate = z.strictObject({
  kind: z.literal('usage'),
  date: z.iso.date(),
  calls_per_day: tokenCount,
  prompt_tokens: tokenCount,
  cached_tokens: tokenCount,
  answer_tokens: tokenCount,
  days: z.int(),
  tier: z.enum(SERVICE_TIERS),
  credit_usd: money,
  models: z
    .array(
      z.strictObject({
        model: modelName,
        said: z.string().nullable().meta({ description: 'What its maker said of it then' }),
        cost_per_call_usd: money,
        cost_usd: money.meta({ description: 'Of all days' }),
        credit_calls: z.string().nullable().meta({ description: 'That the credit pays for' }),
        credit_days: z.string().nullable(),
        price_id: z.string(),
        source: z.string().meta({ description: 'Where the price was published or agreed' }),
      }),
    )
    .meta({ description: 'From the cheapest to the dearest' }),
});

const LineProblem = z.strictObject({
  line: z.int().meta({ description: '0: of the whole file' }),
  problem: z.string(),
});

const FineTuneEstimate = z.strictObject({
  kind: z.literal('fine_tune'),
  model: modelName,
  date: z.iso.date(),
  encoding: z.string().nullable().meta({
    description: 'Null: none is published, so bytes are counted, which are never fewer than tokens',
  }),
  file_bytes: z.int().nullable(),
  examples: z.int().nullable(),
  tokens: tokenCount.meta({ description: 'Of all examples, once' }),
  longest_example: z.strictObject({ line: z.int(), tokens: tokenCount }).nullable(),
  cut_examples: z.int().meta({ description: 'That are longer than what is trained of one' }),
  unreadable_lines: z.int(),
  histogram: z
    .array(z.strictObject({ from_tokens: z.int(), to_tokens: z.int(), examples: z.int() }))
    .meta({ description: 'How long the examples are' }),
  epochs: z.int(),
  epochs_by: z.enum(['given', 'auto', 'auto_at_most', 'hours']),
  trained_tokens: z.int().nullable(),
  hours: z.string().nullable(),
  price: z.strictObject({ usd: money, per: z.string(), source: z.string() }),
  cost_per_epoch_usd: money.nullable(),
  cost_usd: money,
  inference: z
    .strictObject({
      input_usd: money,
      cached_input_usd: money.nullable(),
      output_usd: money,
      source: z.string(),
    })
    .nullable()
    .meta({ description: 'What a million tokens of the trained model cost' }),
  problem_count: z.int(),
  problems: z.array(LineProblem).meta({ description: 'The first hundred' }),
});

const BatchEstimate = z.strictObject({
  kind: z.literal('batch'),
  date: z.iso.date(),
  file_bytes: z.int(),
  lines: z.int(),
  open_ended_lines: z.int().meta({ description: 'Calls that set no output limit' }),
  answer_tokens: z.int().nullable().meta({
    description: 'What is assumed of them; null: the most that their model writes',
  }),
  models: z.array(
    z.strictObject({
      model: z.string(),
      operation: z.string(),
      lines: z.int(),
      input_tokens: tokenCount.meta({ description: 'At most' }),
      output_tokens: tokenCount.meta({ description: 'At most' }),
      batch_usd: money,
      single_usd: money.meta({ description: 'The same calls, sent one by one' }),
    }),
  ),
  batch_usd: money,
  single_usd: money,
  unpriced_lines: z.int().meta({ description: 'Lines that are in no sum' }),
  problem_count: z.int(),
  problems: z.array(LineProblem).meta({ description: 'The first hundred' }),
});

export const Estimate = z
  .discriminatedUnion('kind', [PretrainEstimate, UsageEstimate, FineTuneEstimate, BatchEstimate])
  .meta({ id: 'Estimate' });
