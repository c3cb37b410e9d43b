/**
 * What an application costs in a month: so many calls a day of so much text, by model, at the prices of any date. Owns: the
 * sum, which models were served then, and how far a credit goes. Pure; the time is an argument.
 */

import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { type PicoUsd, usd } from '../domain/money.ts';
import { costOf, namesOf, type Price, type ServiceTier } from '../domain/price.ts';
import { formatUsd, isTextOnly } from '../domain/quantities.ts';
import { cardOf, type PriceBook } from './book.ts';
import DATA from './models.json' with { type: 'json' };
import { quotientText } from './numbers.ts';

export interface UsageQuestion {
  kind: 'usage';
  calls_per_day: number;
  prompt_tokens: number;
  /** Of the prompt, those that come from the cache. */
  cached_tokens: number;
  answer_tokens: number;
  days: number;
  /** `2022-07-15`; missing: now. */
  date?: string | undefined;
  tier: ServiceTier;
  /** Missing: all that were served then. */
  models?: readonly string[] | undefined;
  /** A prepaid amount, of which the estimate says how far it goes. */
  credit_usd: string;
}

export interface UsageEstimate {
  kind: 'usage';
  date: string;
  calls_per_day: number;
  prompt_tokens: number;
  cached_tokens: number;
  answer_tokens: number;
  days: number;
  tier: ServiceTier;
  credit_usd: string;
  /** From the cheapest to the dearest. */
  models: UsageOfModel[];
}

export interface UsageOfModel {
  model: string;
  /** What its maker said of it then; null: nothing is sourced. */
  said: string | null;
  cost_per_call_usd: string;
  cost_usd: string;
  /** Calls that the credit pays for, and days; null: they cost nothing. */
  credit_calls: string | null;
  credit_days: string | null;
  price_id: string;
  source: string;
}

/** Returns the estimate; an error for a model that had no price on that day, or none in that tier. */
export function estimateUsage(
  question: UsageQuestion,
  book: PriceBook,
  nowMs: number,
): UsageEstimate | ApiError {
  const { models: named, cached_tokens: cached, prompt_tokens: prompt } = question;
  if (cached > prompt)
    return apiError('invalid_request', 'cached_tokens: must be at most prompt_tokens', {
      param: 'cached_tokens',
    });
  const atMs = question.date === undefined ? nowMs : Date.parse(question.date);
  const rows: (UsageOfModel & { cost: PicoUsd })[] = [];
  for (const model of named ?? modelsServed(book, atMs)) {
    const row = usageOf(question, book, model, atMs);
    if (!isApiError(row)) rows.push(row);
    else if (named !== undefined) return row;
  }
  if (rows.length === 0) {
    const what = `no model with a price in the tier '${question.tier}' is known on that day`;
    return apiError('unknown_price', `date: ${what}`, { param: 'date' });
  }
  rows.sort((a, b) => (a.cost === b.cost ? (a.model < b.model ? -1 : 1) : a.cost < b.cost ? -1 : 1));
  const { models: _, date: __, ...asked } = question;
  const date = new Date(atMs).toISOString().slice(0, 10);
  return { ...asked, date, models: rows.map(({ cost, ...row }) => row) };
}

function usageOf(
  question: UsageQuestion,
  book: PriceBook,
  model: string,
  atMs: number,
): (UsageOfModel & { cost: PicoUsd }) | ApiError {
  const card = cardOf(book, model, atMs);
  if (isApiError(card)) return apiError(card.code, card.message, { param: 'models' });
  const price = card.tiers[question.tier];
  const cost = price === undefined ? null : costOf(usageOfCall(question), price);
  if (price === undefined || cost === null) {
    const what = `No price of the model '${model}' is known for such calls in the tier '${question.tier}'.`;
    return apiError('unknown_price', what, { param: 'models' });
  }
  const { calls_per_day: callsPerDay, days, credit_usd: credit } = question;
  const paid = cost === 0n ? null : usd(credit) / cost;
  return {
    model,
    said: DATA.models.find((known) => known.model === model)?.said ?? null,
    cost_per_call_usd: formatUsd(cost),
    cost_usd: formatUsd(cost * BigInt(callsPerDay) * BigInt(days)),
    credit_calls: paid?.toString() ?? null,
    credit_days: paid === null ? null : quotientText(paid, BigInt(callsPerDay), 1),
    price_id: price.id,
    source: book.sources.get(price.id) ?? '',
    cost,
  };
}

function usageOfCall({ prompt_tokens, cached_tokens, answer_tokens }: UsageQuestion) {
  return {
    input_tokens: prompt_tokens,
    cached_input_tokens: cached_tokens,
    cache_write_tokens: 0,
    output_tokens: answer_tokens,
    reasoning_tokens: 0,
  };
}

/** Models that write text and were served on a day, fine-tuned ones left out. */
function modelsServed(book: PriceBook, atMs: number): string[] {
  return book.models.filter((model) => {
    if (model.startsWith('ft:')) return false;
    const card = book.cards.find(model, atMs);
    const price = card?.tiers.default;
    return (
      price !== undefined && card?.unboundedReason === null && writes(price) && isServed(book, price, atMs)
    );
  });
}

function writes({ lines }: Price): boolean {
  const isText = isTextOnly(Object.fromEntries(lines.map(({ meter }) => [meter, 1])));
  return isText && lines.some(({ meter, rate }) => meter === 'output_tokens' && rate > 0n);
}

const UNDATED_MS = Date.parse(DATA.undated_from);

/** The seed dates a price whose start has no source before all others: then the month of its source is when it was seen. */
function isServed(book: PriceBook, price: Price, atMs: number): boolean {
  const names = namesOf(price.model);
  const known = DATA.models.find(({ model }) => names.includes(model));
  if (known !== undefined) {
    if (known.until !== null && atMs >= Date.parse(known.until)) return false;
    if (known.from !== null) return atMs >= Date.parse(known.from);
  }
  if (price.origin === 'admin' || price.effectiveFromMs !== UNDATED_MS) return true;
  const seen = /\((20\d\d-\d\d)\)$/.exec(book.sources.get(price.id) ?? '')?.[1];
  return seen !== undefined && atMs >= Date.parse(`${seen}-01`);
}
