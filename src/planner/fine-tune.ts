/**
 * What a fine-tuning job costs: its file's tokens by epochs by the price of training. Owns: the published rules of epochs and
 * of the longest example, and the sum. Pure. Invariant: the cost is at least the bill: what is not known is taken at its worst.
 */
import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import type { ImageRule } from '../domain/images.ts';
import { quote } from '../domain/input-bound.ts';
import { divideUp, type PicoUsd } from '../domain/money.ts';
import { namesOf, type TrainingPrice, textPriceOf } from '../domain/price.ts';
import { formatUsd } from '../domain/quantities.ts';
import type { Encoding } from '../domain/upstream.ts';
import type { PriceBook } from './book.ts';
import { parseScaled } from './numbers.ts';
import { encodingOf } from './text-count.ts';
import DATA from './training.json' with { type: 'json' };
import type { LineProblem, TrainingCount } from './training-file.ts';

export interface FineTuneQuestion {
  kind: 'fine_tune';
  model: string;
  /** `auto`, or from 1 to 50. */
  epochs: 'auto' | number;
  /** The most hours, where a model is billed by them. */
  hours?: string | undefined;
  date?: string | undefined;
}

export interface FineTuneEstimate {
  kind: 'fine_tune';
  model: string;
  date: string;
  /** Null: none is published, so that bytes are counted, which are never fewer than tokens. */
  encoding: Encoding | null;
  file_bytes: number | null;
  /** Null: not known. */
  examples: number | null;
  tokens: number;
  longest_example: { line: number; tokens: number } | null;
  cut_examples: number;
  unreadable_lines: number;
  histogram: { from_tokens: number; to_tokens: number; examples: number }[];
  epochs: number;
  /** Why so many. */
  epochs_by: 'given' | 'auto' | 'auto_at_most' | 'hours';
  trained_tokens: number | null;
  hours: string | null;
  price: { usd: string; per: string; source: string };
  /** Null: it is billed by the hour. */
  cost_per_epoch_usd: string | null;
  cost_usd: string;
  /** What a million tokens of the trained model cost; null: no price is known. */
  inference: {
    input_usd: string;
    cached_input_usd: string | null;
    output_usd: string;
    source: string;
  } | null;
  problem_count: number;
  problems: LineProblem[];
}

/** All that must be known before a file is counted. */
export interface FineTunePlan {
  question: FineTuneQuestion;
  /** The model as it is trained: `gpt-4o-mini` stands for its snapshot. */
  model: string;
  atMs: number;
  price: TrainingPrice;
  encoding: Encoding | null;
  /** The longest example that is trained; null: nothing says that longer ones are cut. */
  exampleTokensMax: number | null;
}

const HOURS_PLACES = 4;

/** Returns what the question means at the prices of the book; an error for a model that has no price of training. */
export function planFineTune(
  question: FineTuneQuestion,
  book: PriceBook,
  nowMs: number,
): FineTunePlan | ApiError {
  const atMs = question.date === undefined ? nowMs : Date.parse(question.date);
  const price = trainingPriceOf(book, question.model, atMs);
  if (isApiError(price)) return price;
  const { model } = price;
  const longest = DATA.longest_example.find((known) => namesOf(model).includes(known.model));
  const plan = { question, model, atMs, price };
  return { ...plan, encoding: encodingOf(model), exampleTokensMax: longest?.tokens ?? null };
}

/** How a plan's file is counted; plain data, so that it can be sent to a thread. */
export interface CountJob {
  encoding: Encoding | null;
  imageRule: ImageRule | null;
  /** Tokens that frame a tool. */
  perTool: number;
  exampleTokensMax: number | null;
}

export function countJobOf(
  { encoding, model, atMs, exampleTokensMax }: FineTunePlan,
  book: PriceBook,
): CountJob {
  const { per_tool } = DATA.tools;
  return {
    encoding,
    imageRule: book.cards.find(model, atMs)?.limits.imageRule ?? null,
    perTool: encoding === 'o200k_base' ? per_tool.o200k_base : per_tool.cl100k_base,
    exampleTokensMax,
  };
}

/** A price that an admin set for the model before the one that was published. */
function trainingPriceOf(book: PriceBook, model: string, atMs: number): TrainingPrice | ApiError {
  const own = book.cards.find(model, atMs)?.tiers.default;
  const line = own?.lines.find(({ meter }) => meter === 'trained_tokens' || meter === 'training_seconds');
  if (own !== undefined && line !== undefined) {
    const meter = line.meter === 'trained_tokens' ? line.meter : 'training_seconds';
    const { effectiveFromMs } = own;
    const source = book.sources.get(own.id) ?? '';
    return { model, meter, per: line.per, rate: line.rate, effectiveFromMs, source };
  }
  const known = book.training.filter(({ effectiveFromMs }) => effectiveFromMs <= atMs);
  const found =
    known.findLast((price) => price.model === model) ??
    known.findLast((price) => namesOf(model).includes(price.model) || namesOf(price.model).includes(model));
  if (found !== undefined) return found;
  const names = [...new Set(known.map((price) => price.model))].join(', ');
  const others = names === '' ? 'No model has one on that day.' : `Models that have one: ${names}.`;
  const what = `No price of training the model ${quote(model)} is known then. ${others}`;
  return apiError('unknown_price', `model: ${what}`, { param: 'model' });
}

/** Returns the epochs of `auto` for so many examples, by the published rule. */
export function autoEpochs(examples: number): number {
  const { target, examples_min, examples_max, min, max } = DATA.epochs;
  if (examples < 1) return max;
  if (examples * target < examples_min) return Math.min(max, Math.floor(examples_min / examples));
  if (examples * target > examples_max) return Math.max(min, Math.floor(examples_max / examples));
  return target;
}

/** What is known of a file without its text. */
export type KnownCount = Pick<TrainingCount, 'tokens'> & { examples: number | null };

/** Returns the estimate of a counted file, or of counts that were given. */
export function reckonFineTune(
  plan: FineTunePlan,
  count: TrainingCount | KnownCount,
  book: PriceBook,
): FineTuneEstimate | ApiError {
  const { question, model, atMs, price } = plan;
  const whole = 'histogram' in count ? count : null;
  if (whole !== null && whole.examples === 0)
    return apiError('invalid_request', 'file: there is no example in it', { param: 'file' });
  const cost = price.meter === 'trained_tokens' ? byTokens(plan, count) : byHours(plan);
  if (isApiError(cost)) return cost;
  return {
    kind: 'fine_tune',
    model,
    date: new Date(atMs).toISOString().slice(0, 10),
    encoding: plan.encoding,
    file_bytes: whole?.bytes ?? null,
    examples: count.examples,
    tokens: count.tokens,
    longest_example: whole?.longest ?? null,
    cut_examples: whole?.cut ?? 0,
    unreadable_lines: whole?.unreadable ?? 0,
    histogram: whole === null ? [] : histogramOf(whole),
    ...cost,
    price: {
      usd: formatUsd(price.rate),
      per: price.meter === 'trained_tokens' ? `${price.per} trained tokens` : 'hour',
      source: price.source,
    },
    inference: inferenceOf(book, model, question.model, atMs),
    ...problemsOf(whole),
  };
}

type Cost = Pick<
  FineTuneEstimate,
  'epochs' | 'epochs_by' | 'trained_tokens' | 'hours' | 'cost_per_epoch_usd' | 'cost_usd'
>;

function byTokens({ question, price }: FineTunePlan, { tokens, examples }: KnownCount): Cost | ApiError {
  const { epochs: given } = question;
  const epochs = given === 'auto' ? (examples === null ? DATA.epochs.max : autoEpochs(examples)) : given;
  const trained = tokens * epochs;
  if (!Number.isSafeInteger(trained))
    return apiError('invalid_request', 'tokens: more than can be counted', { param: 'tokens' });
  const costOf = (amount: number): PicoUsd => divideUp(BigInt(amount) * price.rate, BigInt(price.per));
  return {
    epochs,
    epochs_by: given !== 'auto' ? 'given' : examples === null ? 'auto_at_most' : 'auto',
    trained_tokens: trained,
    hours: null,
    cost_per_epoch_usd: formatUsd(costOf(tokens)),
    cost_usd: formatUsd(costOf(trained)),
  };
}

/** Reinforcement: the core training loop by the second, whatever the tokens. */
function byHours({ question, price }: FineTunePlan): Cost | ApiError {
  const hours = question.hours === undefined ? null : parseScaled(question.hours, HOURS_PLACES);
  if (hours === null || hours === 0n) {
    const what = 'must be given, as the most hours it may run: training this model is billed by the hour';
    return apiError('invalid_request', `hours: ${what}`, { param: 'hours' });
  }
  const perHour = BigInt(price.per) * 10n ** BigInt(HOURS_PLACES);
  return {
    epochs: 0,
    epochs_by: 'hours',
    trained_tokens: null,
    hours: question.hours ?? null,
    cost_per_epoch_usd: null,
    cost_usd: formatUsd(divideUp(hours * 3_600n * price.rate, perHour)),
  };
}

function histogramOf({ histogram }: TrainingCount): FineTuneEstimate['histogram'] {
  const used = histogram.flatMap((examples, index) => (examples > 0 ? [index] : []));
  const first = used[0] ?? 0;
  const last = used.at(-1) ?? 0;
  return histogram.slice(first, last + 1).map((examples, index) => ({
    from_tokens: first + index === 0 ? 0 : 2 ** (first + index),
    to_tokens: 2 ** (first + index + 1) - 1,
    examples,
  }));
}

/** Of the model that comes out: it has the price of its `ft:` base. */
function inferenceOf(
  book: PriceBook,
  model: string,
  asked: string,
  atMs: number,
): FineTuneEstimate['inference'] {
  const card = book.cards.find(`ft:${model}`, atMs) ?? book.cards.find(`ft:${asked}`, atMs);
  const price = card?.tiers.default;
  const text = price === undefined ? null : textPriceOf(price.lines, 'short');
  if (price === undefined || text === null) return null;
  const perMillion = (rate: PicoUsd) => formatUsd((rate * 1_000_000n) / BigInt(text.per));
  return {
    input_usd: perMillion(text.input),
    cached_input_usd: text.cachedInput === null ? null : perMillion(text.cachedInput),
    output_usd: perMillion(text.output),
    source: book.sources.get(price.id) ?? '',
  };
}

function problemsOf(whole: TrainingCount | null): Pick<FineTuneEstimate, 'problem_count' | 'problems'> {
  if (whole === null) return { problem_count: 0, problems: [] };
  const ofFile: LineProblem[] = [];
  if (whole.examples < DATA.examples_least) {
    const least = `the API takes no file of fewer than ${DATA.examples_least} examples`;
    ofFile.push({ line: 0, problem: `${whole.examples} examples: ${least}` });
  }
  if (whole.bytes > DATA.file_bytes_max)
    ofFile.push({ line: 0, problem: `${whole.bytes} bytes: the API takes at most ${DATA.file_bytes_max}` });
  return {
    problem_count: whole.problems + ofFile.length,
    problems: [...ofFile, ...whole.firstProblems],
  };
}
