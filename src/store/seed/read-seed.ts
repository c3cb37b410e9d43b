/**
 * The seed rate card: `prices.seed.json` and `models.seed.json`, read and checked. Owns the shape of these files and
 * the ids of their rows. Does not own the rows in Postgres, nor which row applies to a call (domain/price).
 * Invariants: every row names its source; a row's id is its model, tier and date, so a price that changed is a new row.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { ImageRule } from '../../domain/images.ts';
import { usd } from '../../domain/money.ts';
import {
  type Model,
  makePrice,
  type Price,
  type TextPrice,
  type TrainingPrice,
  textLines,
} from '../../domain/price.ts';
import { storedPriceLine, toPriceLine } from '../price-lines.ts';

export interface SeedPrice extends Price {
  source: string;
}

export interface SeedModel extends Model {
  /** The name of its image rule. */
  imageRuleName: string | null;
  source: string;
}

/** What is read from both files. */
export interface Seed {
  prices: SeedPrice[];
  models: SeedModel[];
  imageRules: ReadonlyMap<string, ImageRule>;
  training: TrainingPrice[];
}

/** The unit of every rate in the files, as OpenAI publishes them. */
const PER_TOKENS = 1_000_000;
const HOUR_SECONDS = 3_600;

const amount = z
  .string()
  .regex(/^\d+(\.\d+)?$/)
  .transform(usd);

const rates = z
  .strictObject({
    input: amount,
    cached_input: amount.nullable(),
    cache_write: amount.nullable(),
    output: amount,
  })
  .transform(
    (row): TextPrice => ({
      input: row.input,
      cachedInput: row.cached_input,
      cacheWrite: row.cache_write,
      output: row.output,
    }),
  );

const text = z.string().min(1);
const tokens = z.int().positive();
const date = z.iso.date();

const pricesFile = z.strictObject({
  unit: z.literal(`USD per ${PER_TOKENS} tokens`),
  effective_from: text,
  prices: z.array(
    z
      .strictObject({
        model: text,
        tier: z.enum(['default', 'flex', 'priority', 'batch']),
        effective_from: date,
        // A model that bills text alone has rates; what bills other meters has lines, or both.
        rates: rates.optional(),
        lines: z.array(storedPriceLine).optional(),
        long_context_above_tokens: tokens.nullable(),
        long_context: rates.nullable(),
        source: text,
        note: text.optional(),
      })
      .refine((row) => row.rates !== undefined || (row.lines?.length ?? 0) > 0, {
        message: 'nothing is priced',
      })
      .refine((row) => row.long_context === null || row.long_context_above_tokens !== null, {
        message: 'long-context rates without a threshold',
      }),
  ),
  training: z.array(
    z.strictObject({
      model: text,
      usd: amount,
      per: z.enum(['hour', `${PER_TOKENS} trained tokens`]),
      effective_from: date,
      source: text,
    }),
  ),
});

const budget = tokens.nullable();
const imageRule = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('patches'),
    hundredths: tokens,
    budget: z.strictObject({ low: budget, high: budget, auto: budget, original: budget }),
    most: tokens.optional(),
    source: text,
  }),
  z.strictObject({ kind: z.literal('tiles'), base: tokens, tile: tokens, source: text }),
]);

const modelsFile = z.strictObject({
  unit: text,
  image_rules: z.record(text, imageRule),
  models: z.array(
    z.strictObject({
      model: text,
      max_input_tokens: tokens.nullable(),
      max_output_tokens: tokens.nullable(),
      image_rule: text.nullable(),
      unbounded_reason: text.nullable(),
      source: text,
      note: text.optional(),
    }),
  ),
});

function toSeedTraining({
  model,
  usd: rate,
  per,
  effective_from,
  source,
}: z.output<typeof pricesFile>['training'][number]): TrainingPrice {
  const unit =
    per === 'hour'
      ? ({ meter: 'training_seconds', per: HOUR_SECONDS } as const)
      : ({ meter: 'trained_tokens', per: PER_TOKENS } as const);
  return { model, ...unit, rate, effectiveFromMs: Date.parse(effective_from), source };
}

/** Reads both files. Throws when they break their own rules: the seed is ours, so that is a bug. */
export function readSeed(): Seed {
  const priced = read('prices.seed.json', pricesFile);
  const prices = priced.prices.map(toSeedPrice);
  const training = priced.training.map(toSeedTraining);
  const file = read('models.seed.json', modelsFile);
  const imageRules = new Map(Object.entries(file.image_rules));
  const models = file.models.map(
    (row): SeedModel => ({
      model: row.model,
      maxInputTokens: row.max_input_tokens,
      maxOutputTokens: row.max_output_tokens,
      imageRule: imageRules.get(row.image_rule ?? '') ?? null,
      imageRuleName: row.image_rule,
      unboundedReason: row.unbounded_reason,
      source: row.source,
    }),
  );
  assertUnique(prices.map((price) => price.id));
  assertUnique(models.map((model) => model.model));
  for (const { model, imageRule, imageRuleName } of models) {
    if (imageRuleName !== null && imageRule === null) throw new Error(`${model}: no rule ${imageRuleName}`);
  }
  return { prices, models, imageRules, training };
}

let imageRules: ReadonlyMap<string, ImageRule> | null = null;

/** Returns the rules by which images are billed, by name; read once. */
export function readImageRules(): ReadonlyMap<string, ImageRule> {
  imageRules ??= readSeed().imageRules;
  return imageRules;
}

function toSeedPrice(row: z.output<typeof pricesFile>['prices'][number]): SeedPrice {
  const { model, tier, effective_from, rates, lines = [], long_context, source } = row;
  const band = row.long_context_above_tokens === null ? undefined : 'short';
  const price = makePrice({
    id: `${model}/${tier}/${effective_from}`,
    model,
    tier,
    effectiveFromMs: Date.parse(effective_from),
    lines: [
      ...(rates === undefined ? [] : textLines(rates, PER_TOKENS, band)),
      ...(long_context === null ? [] : textLines(long_context, PER_TOKENS, 'long')),
      ...lines.map(toPriceLine),
    ],
    longContextAboveTokens: row.long_context_above_tokens,
    origin: 'seed',
  });
  return { ...price, source };
}

function read<T>(file: string, schema: z.ZodType<T>): T {
  const result = schema.safeParse(JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')));
  if (!result.success) throw new Error(`${file}: ${z.prettifyError(result.error)}`);
  return result.data;
}

function assertUnique(ids: string[]): void {
  const seen = new Set<string>();
  for (const id of ids) {
    if (seen.has(id)) throw new Error(`the seed names ${id} twice`);
    seen.add(id);
  }
}
