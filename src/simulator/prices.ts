/**
 * The simulator's own price table. Owns: which models exist, what they cost, how a bill is computed.
 * It is written apart from Tollgate's rate card on purpose: a judge that shared it would share its mistakes.
 * Every published price has at most six decimals per million tokens, so a token costs whole pico-USD and no bill
 * is ever rounded; a price that broke this would stop the start.
 */
import { readFileSync } from 'node:fs';

export type Tier = 'default' | 'flex' | 'priority' | 'batch';
export type ModelKind = 'chat' | 'responses' | 'completion' | 'embedding' | 'moderation';

/** Pico-USD per token. Null: not on the list; cached input then costs as input, and there are no cache writes. */
export interface Rates {
  input: bigint;
  cachedInput: bigint | null;
  cacheWrite: bigint | null;
  /** Cache writes kept for 12 hours instead of 30 minutes. */
  cacheWrite12h: bigint | null;
  output: bigint;
  /** Tokens of audio; null: as those of text. */
  inputAudio: bigint | null;
  outputAudio: bigint | null;
}

export interface Model {
  name: string;
  kind: ModelKind;
  /** `responses` models serve that API alone; reasoning models report reasoning tokens and reject `max_tokens`. */
  reasoning: boolean;
  maxInputTokens: number | null;
  maxOutputTokens: number | null;
  feePerCallPicoUsd: bigint;
  tiers: Partial<Record<Tier, { standard: Rates; long: Rates | null }>>;
}

/** What a call consumed, in the words of the API; reasoning lies inside output, cached and written inside input. */
export interface Usage {
  input_tokens: number;
  cached_input_tokens: number;
  cache_write_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
  /** Inside input and output; missing: none. */
  input_audio_tokens?: number;
  output_audio_tokens?: number;
}

interface PriceBand {
  input: string;
  cached_input?: string;
  cache_write?: string;
  cache_write_12h?: string;
  output?: string;
  input_audio?: string;
  output_audio?: string;
}

interface ModelRow {
  kind: ModelKind;
  names?: string[];
  max_input_tokens?: number;
  max_output_tokens?: number;
  usd_per_call?: string;
  usd_per_1m_tokens: { default: PriceBand } & Record<string, PriceBand | undefined>;
}

interface PriceFile {
  long_context_above_input_tokens: number;
  /** USD per million trained tokens, and per hour. */
  training: Record<string, string>;
  training_usd_per_hour: Record<string, string>;
  models: Record<string, ModelRow>;
}

const PRICES: PriceFile = JSON.parse(readFileSync(new URL('./prices.json', import.meta.url), 'utf8'));
const TIERS: Tier[] = ['default', 'flex', 'priority', 'batch'];
const REASONING = /^(o\d|gpt-[5-9])/;
const DATED = /-\d{4}-\d{2}-\d{2}$/;

/** Decimal USD to pico-USD, exactly. */
function picoUsd(text: string): bigint {
  const [whole = '', fraction = ''] = text.split('.');
  return BigInt(whole + fraction.padEnd(12, '0'));
}

function picoUsdPerToken(usdPerMillion: string): bigint {
  const perMillion = picoUsd(usdPerMillion);
  if (perMillion % 1_000_000n !== 0n)
    throw new Error(`price finer than a pico-USD a token: ${usdPerMillion}`);
  return perMillion / 1_000_000n;
}

function rates(band: PriceBand): Rates {
  const optional = (text: string | undefined) => (text === undefined ? null : picoUsdPerToken(text));
  return {
    input: picoUsdPerToken(band.input),
    cachedInput: optional(band.cached_input),
    cacheWrite: optional(band.cache_write),
    cacheWrite12h: optional(band.cache_write_12h),
    output: optional(band.output) ?? 0n,
    inputAudio: optional(band.input_audio),
    outputAudio: optional(band.output_audio),
  };
}

function readModel(name: string, row: ModelRow): Model {
  const tiers: Model['tiers'] = {};
  for (const tier of TIERS) {
    const standard = row.usd_per_1m_tokens[tier];
    const long = row.usd_per_1m_tokens[`${tier}_long`];
    if (standard) tiers[tier] = { standard: rates(standard), long: long ? rates(long) : null };
  }
  return {
    name,
    kind: row.kind,
    reasoning: REASONING.test(name),
    maxInputTokens: row.max_input_tokens ?? null,
    maxOutputTokens: row.max_output_tokens ?? null,
    feePerCallPicoUsd: picoUsd(row.usd_per_call ?? '0'),
    tiers,
  };
}

const MODELS = new Map<string, Model>();
const SERVED_NAMES = new Map<string, string>();
for (const [name, row] of Object.entries(PRICES.models)) {
  const model = readModel(name, row);
  for (const alias of [name, ...(row.names ?? [])]) {
    MODELS.set(alias, model);
    // For an undated name, the API's response names the dated snapshot that served it.
    SERVED_NAMES.set(alias, DATED.test(alias) ? alias : (row.names?.find((one) => DATED.test(one)) ?? name));
  }
}

/** All names that `GET /v1/models` lists: models and their snapshots, without the fine-tuned bases. */
export const MODEL_NAMES: string[] = [...MODELS.keys()].filter((name) => !name.startsWith('ft:'));

/** Returns the model of a name, and the name in its responses. Fine-tuned names end in `:org:suffix:id`. */
export function findModel(name: string): { model: Model; servedName: string } | null {
  if (name.startsWith('ft:')) {
    const base = name.split(':', 2).join(':');
    const model = name.length > base.length + 1 ? MODELS.get(base) : undefined;
    return model ? { model, servedName: name } : null;
  }
  const model = MODELS.get(name);
  return model ? { model, servedName: SERVED_NAMES.get(name) ?? name } : null;
}

/**
 * The rates of a whole request: above the threshold every token costs the long-context price. Null: the tier is not
 * offered for this model, or not for a request of this length.
 */
export function findRates(model: Model, tier: Tier, inputTokens: number): Rates | null {
  const bands = model.tiers[tier];
  if (!bands) return null;
  const hasLongBand = model.tiers.default?.long != null;
  return hasLongBand && inputTokens > PRICES.long_context_above_input_tokens ? bands.long : bands.standard;
}

/** The exact bill of one call, in pico-USD. `keeps12h`: its cache writes are kept for 12 hours. */
export function bill(usage: Usage, rates: Rates, keeps12h: boolean, feePicoUsd: bigint): bigint {
  const uncached = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens;
  return (
    BigInt(uncached) * rates.input +
    BigInt(usage.cached_input_tokens) * (rates.cachedInput ?? rates.input) +
    BigInt(usage.cache_write_tokens) * cacheWriteRate(rates, keeps12h) +
    BigInt(usage.output_tokens) * rates.output +
    BigInt(usage.input_audio_tokens ?? 0) * ((rates.inputAudio ?? rates.input) - rates.input) +
    BigInt(usage.output_audio_tokens ?? 0) * ((rates.outputAudio ?? rates.output) - rates.output) +
    feePicoUsd
  );
}

/** What a cache-written token costs; without a price of its own it is plain input. */
export function cacheWriteRate(rates: Rates, keeps12h: boolean): bigint {
  return (keeps12h ? rates.cacheWrite12h : rates.cacheWrite) ?? rates.input;
}

/** What training a model costs: pico-USD for a token, or for an hour. Null: it cannot be trained. */
export function trainingRate(name: string): { perToken: bigint } | { perHour: bigint } | null {
  const base = (name.startsWith('ft:') ? (name.split(':')[1] ?? '') : name).replace(DATED, '');
  const token = PRICES.training[base];
  const hour = PRICES.training_usd_per_hour[base];
  if (token !== undefined) return { perToken: picoUsdPerToken(token) };
  return hour === undefined ? null : { perHour: picoUsd(hour) };
}
