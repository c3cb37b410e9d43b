/**
 * Prices. Owns: the shape of a price and of a rate card, which price a call is billed at, and the exact cost of usage.
 * Does not own: where prices come from (store/seed, admin overrides). Invariants: integers only; one rounding, up, per
 * event; no price means no call.
 *
 * The rule: every amount is charged at the most specific line. A part that has no line of its own is charged with its
 * whole; what a whole has beyond its parts is charged at the line of the whole. All of one event is added up before it
 * is rounded, up, once. An amount that no line charges has no cost: it is unknown, not free.
 *
 * Every call is priced, most of them twice. Text alone is therefore computed from six factors in Numbers, which are
 * exact below 2^53 (a product or sum that is not below it shows in the total, which then is not either); everything
 * else in bigints. A property test holds both equal.
 */
import type { ImageRule } from './images.ts';
import { divideUp, type PicoUsd } from './money.ts';
import {
  areQuantities,
  type FeeMeter,
  isTextOnly,
  isTextUsage,
  METER_NAMES,
  type MeterName,
  PARTS,
  type Quantities,
} from './quantities.ts';
import { type ContextBand, compileRates, type PriceLine, type Rates } from './rates.ts';
import type { Usage } from './usage.ts';

/** A processing tier as the API names it in `service_tier`; `default` is the standard price. */
export const SERVICE_TIERS = ['default', 'flex', 'priority', 'batch'] as const;
export type ServiceTier = (typeof SERVICE_TIERS)[number];

/** One dated price: the lines of a model in one tier from a moment on. Its id is stored on every event that it priced. */
export interface PriceFields {
  id: string;
  model: string;
  tier: ServiceTier;
  /** Milliseconds since the epoch; the newest row at or before the call's admission applies. */
  effectiveFromMs: number;
  lines: readonly PriceLine[];
  /** Input of more tokens moves the whole request to the band `long`; null: there is one band. */
  longContextAboveTokens: number | null;
  /** Who set it; an admin's row overrides the seed's, whatever their dates. */
  origin: 'seed' | 'admin';
}

export interface Price extends Readonly<PriceFields> {
  readonly short: Rates;
  /** Null: there is one band, or the tier has no published price for input beyond the threshold. */
  readonly long: Rates | null;
}

/**
 * Compiles the lines of a price.
 * @throws RangeError when a line's `per` is no positive integer or its rate is negative
 */
export function makePrice(fields: PriceFields): Price {
  const { lines, longContextAboveTokens } = fields;
  const short = compileRates(lines.filter(({ band }) => band !== 'long'));
  const long =
    longContextAboveTokens === null ? null : compileRates(lines.filter(({ band }) => band !== 'short'));
  return { ...fields, short, long: long?.factors.has('input_tokens') ? long : null };
}

/**
 * What most prices are: rates of text in one band, in pico-USD for as many tokens. Null: the card lists none, so that
 * such input costs as input.
 */
export interface TextPrice {
  input: PicoUsd;
  cachedInput: PicoUsd | null;
  cacheWrite: PicoUsd | null;
  output: PicoUsd;
}

/** Returns the text price among the lines that apply in a band; null: it cannot be said as one, per as many tokens. */
export function textPriceOf(
  lines: readonly PriceLine[],
  band: ContextBand,
): (TextPrice & { per: number }) | null {
  const lineOf = (meter: MeterName) =>
    lines.findLast((line) => line.meter === meter && (line.band ?? band) === band) ?? null;
  const input = lineOf('input_tokens');
  const output = lineOf('output_tokens');
  if (input === null || output === null) return null;
  const cached = lineOf('cached_input_tokens');
  const written = lineOf('cache_write_tokens');
  const { per } = input;
  if ([cached, written, output].some((line) => line !== null && line.per !== per)) return null;
  const cachedInput = cached?.rate ?? null;
  const cacheWrite = written?.rate ?? null;
  return { per, input: input.rate, cachedInput, cacheWrite, output: output.rate };
}

/** Returns the lines of a text price. */
export function textLines(text: TextPrice, per: number, band?: ContextBand): PriceLine[] {
  const lines: PriceLine[] = [{ meter: 'input_tokens', per, rate: text.input, band }];
  if (text.cachedInput !== null)
    lines.push({ meter: 'cached_input_tokens', per, rate: text.cachedInput, band });
  if (text.cacheWrite !== null) lines.push({ meter: 'cache_write_tokens', per, rate: text.cacheWrite, band });
  lines.push({ meter: 'output_tokens', per, rate: text.output, band });
  return lines;
}

/** What is known of a model beside its prices; null means no source gives it, so it must not be assumed. */
export interface ModelLimits {
  maxInputTokens: number | null;
  maxOutputTokens: number | null;
  /** What its images cost. */
  imageRule: ImageRule | null;
}

/** A model's row beside its prices. */
export interface Model extends ModelLimits {
  model: string;
  /** Why no bound of this model's bill is known (fees outside its tokens); null: it is bounded. */
  unboundedReason: string | null;
}

/** All that prices a call to one model at one moment: the price rows by tier and the model's limits. */
export interface RateCard {
  model: string;
  limits: ModelLimits;
  unboundedReason: string | null;
  tiers: Partial<Record<ServiceTier, Price>>;
}

/** Longer names are no model's: a fine-tuned one has about 60 characters. Keeps the cache small in bytes. */
const MODEL_NAME_LENGTH_MAX = 256;
const CACHED_CARDS_MAX = 1_000;
const NO_LIMITS: ModelLimits = { maxInputTokens: null, maxOutputTokens: null, imageRule: null };

/** A card and the moments between which no row of its model starts: `[fromMs, untilMs)`. */
interface ResolvedCard {
  card: RateCard;
  fromMs: number;
  untilMs: number;
}

/** Every price and model known at one version of the catalog. Immutable: a change of prices makes a new book. */
export class RateCards {
  /** Rows of a name, in the order in which a later one overrides an earlier one. */
  readonly #prices = new Map<string, Price[]>();
  readonly #models = new Map<string, Model>();
  readonly #cards = new Map<string, ResolvedCard>();
  readonly #source: { readonly prices: readonly Price[]; readonly models: readonly Model[] };

  constructor(prices: Iterable<Price>, models: Iterable<Model>) {
    this.#source = { prices: [...prices], models: [...models] };
    for (const price of this.#source.prices.toSorted(byPrecedence)) {
      const rows = this.#prices.get(price.model);
      if (rows) rows.push(price);
      else this.#prices.set(price.model, [price]);
    }
    for (const model of this.#source.models) this.#models.set(model.model, model);
  }

  /**
   * The cards of an upstream that bills a percentage of these prices, and has prices of its own: of a model that it prices
   * itself nothing else applies. The rows' ids say whose they are.
   * @param aliases names by which clients call models that have another one there: it is the one that has prices, unless
   * theirs has
   */
  ofUpstream(
    name: string,
    percent: number,
    own: { readonly prices: readonly Price[]; readonly models: readonly Model[] },
    aliases: ReadonlyMap<string, string>,
  ): RateCards {
    const ownNames = new Set(own.prices.map(({ model }) => model));
    const prices = this.#source.prices.filter(({ model }) => !ownNames.has(model));
    const models = this.#source.models.filter(({ model }) => !ownNames.has(model));
    for (const [alias, there] of aliases) {
      if (ownNames.has(alias) || namesOf(alias).some((each) => this.#prices.has(each))) continue;
      const meant = namesOf(there);
      prices.push(...this.#pricesOf(meant).map((price) => ({ ...price, model: alias })));
      const known = meant.map((each) => this.#models.get(each)).find((model) => model !== undefined);
      if (known !== undefined) models.push({ ...known, model: alias });
    }
    const billed = percent === 100 ? prices : prices.map((price) => scaledPrice(price, name, percent));
    return new RateCards([...billed, ...own.prices], [...models, ...own.models]);
  }

  /** The rows of the first name that has any. */
  #pricesOf(names: readonly string[]): readonly Price[] {
    for (const name of names) {
      const rows = this.#prices.get(name);
      if (rows !== undefined) return rows;
    }
    return [];
  }

  /** Returns all that it was made of, as plain data: another thread makes the same cards of it. */
  rows(): { prices: PriceFields[]; models: Model[] } {
    const fields = ({ short: _short, long: _long, ...own }: Price): PriceFields => own;
    return { prices: [...this.#prices.values()].flat().map(fields), models: [...this.#models.values()] };
  }

  /**
   * The card of a model at a moment (milliseconds since the epoch), or null when it has no price then. Looked up are,
   * in this order: the exact name, that of a checkpoint's model, a fine-tuned model's `ft:` base, and that without its snapshot date. A
   * fine-tuned model never gets the price of the plain base, which is lower.
   */
  find(model: string, atMs: number): RateCard | null {
    const cached = this.#cards.get(model);
    if (cached && atMs >= cached.fromMs && atMs < cached.untilMs) return cached.card;
    if (model.length > MODEL_NAME_LENGTH_MAX) return null;
    const resolved = this.#resolve(model, atMs);
    if (!resolved) return null;
    if (this.#cards.size >= CACHED_CARDS_MAX) this.#cards.clear();
    this.#cards.set(model, resolved);
    return resolved.card;
  }

  /**
   * What a model's call of a tool that the upstream runs costs at a moment; null: it has no price. The preview of web
   * search has a price of its own for models that do not reason (OpenAI's pricing page, 2026-09).
   */
  toolFee(meter: FeeMeter, model: string, atMs: number): PicoUsd | null {
    switch (meter) {
      case 'web_search_calls':
        return this.#fee('web_search', meter, atMs);
      case 'file_search_calls':
        return this.#fee('file_search', meter, atMs);
      case 'web_search_preview_calls':
        return this.#fee(
          REASONS.test(model) ? 'web_search_preview' : 'web_search_preview/non-reasoning',
          meter,
          atMs,
        );
    }
  }

  /** What a session of a container costs at a moment, for each GiB of its memory; null: it has no price. */
  sessionFee(atMs: number): PicoUsd | null {
    return this.#fee('container', 'container_sessions', atMs);
  }

  /**
   * What one unit of a tool's meter costs at a moment; null: it has no price. Its price has the tool's name where another
   * has a model's.
   */
  #fee(tool: string, meter: MeterName, atMs: number): PicoUsd | null {
    const line = this.find(tool, atMs)?.tiers.default?.lines.find((each) => each.meter === meter);
    return line === undefined ? null : divideUp(line.rate, BigInt(line.per));
  }

  #resolve(model: string, atMs: number): ResolvedCard | null {
    const names = namesOf(model);
    let tiers: RateCard['tiers'] | null = null;
    let fromMs = Number.NEGATIVE_INFINITY;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const name of names) {
      const own: RateCard['tiers'] = {};
      for (const price of this.#prices.get(name) ?? []) {
        if (price.effectiveFromMs > atMs) untilMs = Math.min(untilMs, price.effectiveFromMs);
        else {
          fromMs = Math.max(fromMs, price.effectiveFromMs);
          own[price.tier] = price;
        }
      }
      // Tiers of two names are never mixed: a snapshot may cost more than its base.
      if (!tiers && Object.keys(own).length > 0) tiers = own;
    }
    const known = names.map((name) => this.#models.get(name)).find((row) => row !== undefined);
    // Without a price but with a reason, the card says why.
    if (!tiers && !known?.unboundedReason) return null;
    const { maxInputTokens, maxOutputTokens, imageRule } = known ?? NO_LIMITS;
    const limits = { maxInputTokens, maxOutputTokens, imageRule };
    return {
      card: { model, limits, unboundedReason: known?.unboundedReason ?? null, tiers: tiers ?? {} },
      fromMs,
      untilMs,
    };
  }
}

/** Models that reason before they answer. */
const REASONS = /^(?:ft:)?(?:o\d|gpt-(?:[5-9]|\d\d))/;

function scaledPrice(price: Price, upstream: string, percent: number): Price {
  const lines = price.lines.map((line) => ({
    ...line,
    per: line.per * 100,
    rate: line.rate * BigInt(percent),
  }));
  return makePrice({ ...price, id: `${price.id}@${upstream}*${percent}%`, lines });
}

/** The seed's rows before the admin's, then by date: the last one that is in effect applies. */
function byPrecedence(a: Price, b: Price): number {
  const origin = Number(a.origin === 'admin') - Number(b.origin === 'admin');
  return origin || a.effectiveFromMs - b.effectiveFromMs;
}

/** `-2026-01-31`, and `-0613` as of 2023. */
const SNAPSHOT = /-(?:20\d\d-(?:0[1-9]|1[0-2])-[0-3]\d|(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))$/;
const CHECKPOINT = /:ckpt-step-\d+$/;

/** The names under which a model may be listed: its own, a checkpoint's model, a fine-tuned model's `ft:` base, and without the date. */
export function namesOf(model: string): string[] {
  // `ft:<base>:<organization>:<suffix>:<id>`
  const base = model.startsWith('ft:') ? model.split(':', 2).join(':') : model;
  return [...new Set([model, model.replace(CHECKPOINT, ''), base, base.replace(SNAPSHOT, '')])];
}

/** From gpt-5.6 on writing to the prompt cache costs more than reading the input (OpenAI's guide to prompt caching). */
const BILLS_CACHE_WRITES = /^(?:ft:)?gpt-(?:5\.(?:[6-9]|\d\d)|[6-9]|\d\d)/;

/** Whether a price of this model would be too low without a rate for cache writes. */
export function needsCacheWriteRate(model: string): boolean {
  return BILLS_CACHE_WRITES.test(model);
}

/** Whether a list of models names this one; a name stands for its snapshots too. Null lists all. */
export function includesModel(models: readonly string[] | null, model: string): boolean {
  return models === null || namesOf(model).some((name) => models.includes(name));
}

/**
 * The tier that a response is billed at. OpenAI bills the tier that the response names, and names none (or echoes
 * `auto`) where the standard price applies; newer models say `fast` for `priority`. Null: a tier that we do not know or
 * that the card does not price; then the call's hold is what is charged.
 */
export function tierBilled(card: RateCard, responseTier: string | null): ServiceTier | null {
  const named = responseTier === 'fast' ? 'priority' : responseTier;
  const tier = named === null || named === 'auto' ? 'default' : named;
  return isServiceTier(tier) && card.tiers[tier] ? tier : null;
}

function isServiceTier(text: string): text is ServiceTier {
  return text === 'default' || text === 'flex' || text === 'priority' || text === 'batch';
}

/** The exact cost of usage at a price, in pico-USD; null: it has none (see `costAt`), or none that long. */
export function costOf(usage: Usage, price: Price): PicoUsd | null {
  const { longContextAboveTokens } = price;
  const isLong = longContextAboveTokens !== null && (usage.input_tokens ?? 0) > longContextAboveTokens;
  const rates = isLong ? price.long : price.short;
  return rates === null ? null : costAt(rates, usage);
}

/**
 * The exact cost of usage in pico-USD, rounded up once. Null when it has none: amounts that are no counts, parts that
 * are more than their whole, or an amount without a line. The upstream said so, which is no bug of ours: the caller then
 * charges the hold.
 */
export function costAt(rates: Rates, usage: Quantities): PicoUsd | null {
  const { text } = rates;
  if (text === null || !isTextOnly(usage)) return areQuantities(usage) ? costOfAny(rates, usage) : null;
  if (!isTextUsage(usage)) return null;
  const input = usage.input_tokens ?? 0;
  const cached = usage.cached_input_tokens ?? 0;
  const written = usage.cache_write_tokens ?? 0;
  const output = usage.output_tokens ?? 0;
  const reasoning = usage.reasoning_tokens ?? 0;
  const total =
    (input - cached - written) * text.input +
    cached * text.cachedInput +
    written * text.cacheWrite +
    (output - reasoning) * text.output +
    reasoning * text.reasoning;
  return Number.isSafeInteger(total) ? quotientUp(total, text.denominator) : costOfAny(rates, usage);
}

/** The same for any meters, in bigints. */
function costOfAny({ factors, denominator }: Rates, usage: Quantities): PicoUsd | null {
  let total = 0n;
  for (const meter of METER_NAMES) {
    const amount = usage[meter];
    if (amount === undefined || amount === 0) continue;
    let rest = amount;
    for (const part of PARTS.get(meter) ?? []) rest -= usage[part] ?? 0;
    if (rest === 0) continue;
    const factor = factors.get(meter);
    if (factor === undefined) return null;
    total += BigInt(rest) * factor;
  }
  return divideUp(total, denominator);
}

/** `total / denominator` rounded up, for safe non-negative integers: exact, because the remainder is. */
export function quotientUp(total: number, denominator: number): PicoUsd {
  if (denominator === 1) return BigInt(total);
  const rest = total % denominator;
  return BigInt((total - rest) / denominator + (rest > 0 ? 1 : 0));
}

/** What training a model costs. Published per model, not per tier. */
export interface TrainingPrice {
  model: string;
  /** Tokens over all epochs, or seconds of the training loop. */
  meter: 'trained_tokens' | 'training_seconds';
  /** Units of the meter. */
  per: number;
  rate: PicoUsd;
  effectiveFromMs: number;
  source: string;
}
