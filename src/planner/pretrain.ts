/**
 * What training a model from nothing costs: FLOPs by a GPU's speed by its price. Owns: the reckoning, and its constants,
 * each with a source (pretrain.json). Pure. Invariant: integers only; money is rounded once, up, to a pico-USD.
 */

import { type ApiError, apiError, isApiError } from '../domain/errors.ts';
import { divideUp, type PicoUsd, parseUsd } from '../domain/money.ts';
import { formatUsd } from '../domain/quantities.ts';
import { parseScaled, quotientText, trimmed } from './numbers.ts';
import DATA from './pretrain.json' with { type: 'json' };

/** As the admin API and the command line ask. Numbers are text: 3.14e23 has no exact float. */
export interface PretrainQuestion {
  kind: 'pretrain';
  preset?: string | undefined;
  flops?: string | undefined;
  parameters?: string | undefined;
  tokens?: string | undefined;
  gpu?: string | undefined;
  /** What one GPU computes at most, in 10^12 FLOPs a second. */
  tflops?: string | undefined;
  /** Percent of that which training reaches; 100 where it is missing. */
  utilisation?: string | undefined;
  usd_per_hour?: string | undefined;
  gpus?: string | undefined;
}

export interface PretrainEstimate {
  kind: 'pretrain';
  preset: string | null;
  flops: string;
  parameters: string | null;
  tokens: string | null;
  gpu: string | null;
  tflops: string;
  /** Percent. */
  utilisation: string;
  usd_per_hour: string;
  /** Rounded to a hundredth. */
  gpu_hours: string;
  gpu_years: string;
  cost_usd: string;
  /** How many work at once, and how long they then take; null: not asked. */
  gpus: string | null;
  days: string | null;
  /** What was published of the same training; null: nothing. */
  published: { cost: string; gpu_years: string; source: string } | null;
  sources: { what: string; value: string; source: string }[];
}

const TERA = 10n ** 12n;
/** Beyond all that is planned; keeps the numbers of a question small. */
const FLOPS_MAX = 10n ** 40n;
const PERCENT_PLACES = 4;
const TFLOPS_PLACES = 3;
const HOUR_SECONDS = 3600n;
const HOURS_PER_DAY = 24n;
const HOURS_PER_YEAR = BigInt(DATA.hours_per_year.value);

type Source = PretrainEstimate['sources'][number];

/** Returns the estimate; an error names the field that is missing or wrong, and what would do. */
export function estimatePretrain(question: PretrainQuestion): PretrainEstimate | ApiError {
  const preset = find(DATA.presets, question.preset, 'preset');
  if (isApiError(preset)) return preset;
  const gpu = find(
    DATA.gpus,
    question.gpu ?? (question.tflops === undefined ? preset?.gpu : undefined),
    'gpu',
  );
  if (isApiError(gpu)) return gpu;
  const work = workOf(question, preset);
  if (isApiError(work)) return work;
  const speed = speedOf(question, gpu);
  if (isApiError(speed)) return speed;
  const price = priceOf(question, gpu);
  if (isApiError(price)) return price;
  const gpus = countOf(question.gpus, 'gpus');
  if (isApiError(gpus)) return gpus;
  const percent = parseScaled(question.utilisation ?? '100', PERCENT_PLACES);
  if (percent === null || percent === 0n || percent > 100n * 10n ** BigInt(PERCENT_PLACES))
    return wrong('utilisation', 'must be a percentage above 0 and up to 100, such as 40');

  // Hours are flops / (tflops × percent × 3600), as one fraction.
  const numerator = work.flops * 10n ** BigInt(TFLOPS_PLACES + PERCENT_PLACES) * 100n;
  const denominator = speed.tflops * TERA * percent * HOUR_SECONDS;
  const isPublished = preset !== null && work.flops === presetFlops(preset.flops);
  return {
    kind: 'pretrain',
    preset: preset?.name ?? null,
    flops: work.flops.toString(),
    parameters: work.parameters?.toString() ?? null,
    tokens: work.tokens?.toString() ?? null,
    gpu: gpu?.name ?? null,
    tflops: trimmed(quotientText(speed.tflops, 10n ** BigInt(TFLOPS_PLACES), TFLOPS_PLACES)),
    utilisation: trimmed(quotientText(percent, 10n ** BigInt(PERCENT_PLACES), PERCENT_PLACES)),
    usd_per_hour: formatUsd(price.usdPerHour),
    gpu_hours: quotientText(numerator, denominator, 2),
    gpu_years: quotientText(numerator, denominator * HOURS_PER_YEAR, 1),
    cost_usd: formatUsd(divideUp(numerator * price.usdPerHour, denominator)),
    gpus: gpus?.toString() ?? null,
    days: gpus === null ? null : quotientText(numerator, denominator * HOURS_PER_DAY * gpus, 1),
    published: isPublished ? preset.published : null,
    sources: [...work.sources, ...speed.sources, ...price.sources, YEAR],
  };
}

const YEAR: Source = {
  what: 'hours a year',
  value: String(DATA.hours_per_year.value),
  source: DATA.hours_per_year.source,
};
const GIVEN = 'given';

interface Work {
  flops: bigint;
  parameters: bigint | null;
  tokens: bigint | null;
  sources: Source[];
}

/** From FLOPs, else from parameters and tokens, else the preset's. */
function workOf(question: PretrainQuestion, preset: (typeof DATA.presets)[number] | null): Work | ApiError {
  const { parameters: parametersText, tokens: tokensText } = question;
  const none = { parameters: null, tokens: null };
  if (question.flops !== undefined) {
    if (parametersText !== undefined || tokensText !== undefined)
      return wrong('flops', 'says it all: leave out parameters and tokens, or the FLOPs');
    const flops = countOf(question.flops, 'flops');
    if (flops === null || isApiError(flops)) return flops ?? wrong('flops', 'must be given');
    return { flops, ...none, sources: [{ what: 'FLOPs', value: question.flops, source: GIVEN }] };
  }
  if (parametersText === undefined && tokensText === undefined && preset !== null) {
    const source = { what: 'FLOPs', value: preset.flops, source: preset.source };
    return { flops: presetFlops(preset.flops), ...none, sources: [source] };
  }
  const parameters = countOf(parametersText, 'parameters');
  if (isApiError(parameters)) return parameters;
  const tokens = countOf(tokensText, 'tokens');
  if (isApiError(tokens)) return tokens;
  if (parameters === null || tokens === null) {
    const param =
      parameters === null && tokens !== null ? 'parameters' : tokens === null ? 'tokens' : 'flops';
    return wrong(param, 'must be given: FLOPs, or parameters and tokens, or a preset');
  }
  const { value, source } = DATA.flops_per_parameter_and_token;
  const sources = [
    { what: 'parameters', value: parametersText ?? '', source: GIVEN },
    { what: 'tokens', value: tokensText ?? '', source: GIVEN },
    { what: 'FLOPs for each parameter and token', value: String(value), source },
  ];
  return { flops: BigInt(value) * parameters * tokens, parameters, tokens, sources };
}

function presetFlops(text: string): bigint {
  return parseScaled(text) ?? 0n;
}

function speedOf(
  { tflops: text }: PretrainQuestion,
  gpu: (typeof DATA.gpus)[number] | null,
): { tflops: bigint; sources: Source[] } | ApiError {
  const given = text ?? gpu?.tflops;
  if (given === undefined)
    return wrong('gpu', `must be given, as one of ${GPU_NAMES}, or tflops with its speed`);
  const tflops = parseScaled(given, TFLOPS_PLACES);
  if (tflops === null || tflops === 0n) return wrong('tflops', 'must be a number above 0, such as 312');
  const source = text === undefined ? (gpu?.source ?? GIVEN) : GIVEN;
  return { tflops, sources: [{ what: 'TFLOPS of a GPU', value: given, source }] };
}

function priceOf(
  { usd_per_hour: text }: PretrainQuestion,
  gpu: (typeof DATA.gpus)[number] | null,
): { usdPerHour: PicoUsd; sources: Source[] } | ApiError {
  const given = text ?? gpu?.usd_per_hour ?? undefined;
  if (given === undefined) {
    const which = gpu === null ? 'this GPU' : `an ${gpu.name}`;
    return wrong('usd_per_hour', `must be given: no price of ${which} an hour has a source`);
  }
  const usdPerHour = parseUsd(given);
  if (usdPerHour === null || usdPerHour < 0n)
    return wrong('usd_per_hour', 'must be a decimal amount of USD, such as 1.50');
  const source = text === undefined ? (gpu?.price_source ?? GIVEN) : GIVEN;
  return { usdPerHour, sources: [{ what: 'USD an hour of a GPU', value: given, source }] };
}

const GPU_NAMES = DATA.gpus.map(({ name }) => name).join(', ');

/** Null: the question has none. */
function countOf(text: string | undefined, param: string): bigint | null | ApiError {
  if (text === undefined) return null;
  const count = parseScaled(text);
  if (count === null || count === 0n || count > FLOPS_MAX)
    return wrong(param, 'must be a whole number above 0, such as 300B or 3.14e23');
  return count;
}

function find<Item extends { name: string }>(
  items: readonly Item[],
  name: string | undefined,
  param: string,
): Item | null | ApiError {
  if (name === undefined) return null;
  const found = items.find((item) => item.name === name.toLowerCase());
  return found ?? wrong(param, `must be one of ${items.map((item) => item.name).join(', ')}`);
}

function wrong(param: string, what: string): ApiError {
  return apiError('invalid_request', `${param}: ${what}`, { param });
}
