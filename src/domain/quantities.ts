/**
 * Quantities: amounts of named meters. Owns: the registry of meters, which part belongs to which whole, in which integer
 * unit an amount is counted, how amounts are written (of money too), claims (what one call takes of every meter that a
 * limit may count), and what a counter has left for them. Does not own: what a unit costs (price.ts), nor where usage stands in a response.
 * Invariants: an amount is a non-negative safe integer; the parts of one whole never overlap, so that their sum is at
 * most the whole; a name never changes its meaning, because events keep it for ever.
 */
import type { Meter } from './limit.ts';
import type { PicoUsd } from './money.ts';

/** What one unit of a meter is, as published prices name it. */
export type MeterUnit =
  | 'token'
  | 'second'
  | 'minute'
  | 'character'
  | 'image'
  | 'call'
  | 'session'
  | 'GiB-day';

export interface MeterDefinition {
  readonly unit: MeterUnit;
  /**
   * Steps in which an amount counts one unit: 1, or 1,000,000 where a unit is divisible. 12.5 seconds are the amount
   * 12,500,000; money needs integers, and usage reports give seconds with fractions.
   */
  readonly steps: 1 | 1_000_000;
  /** The meter that this one is a part of; null: it is a whole. */
  readonly partOf: string | null;
  /**
   * The meter whose bound bounds this one before the call. A request does not say what will come from the cache or be
   * spent on reasoning, so any share of its whole may; how much audio it has, it says itself.
   */
  readonly boundBy: string;
  /** Name of the attribute in OpenTelemetry's GenAI conventions; null: they have none. */
  readonly attribute: string | null;
}

const MILLIONTHS = 1_000_000;
const whole = { steps: 1, partOf: null, attribute: null } as const;

/**
 * All meters. Cached, written, audio and image input never overlap: `input_audio_tokens` are
 * those that neither came from the cache nor were written to it; what did is `cached_audio_tokens`.
 */
export const METERS = {
  input_tokens: {
    ...whole,
    unit: 'token',
    boundBy: 'input_tokens',
    attribute: 'gen_ai.usage.input_tokens',
  },
  cached_input_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'input_tokens',
    boundBy: 'input_tokens',
    attribute: 'gen_ai.usage.cache_read.input_tokens',
  },
  cached_audio_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'cached_input_tokens',
    boundBy: 'input_audio_tokens',
  },
  cached_image_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'cached_input_tokens',
    boundBy: 'input_image_tokens',
  },
  cache_write_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'input_tokens',
    boundBy: 'input_tokens',
    attribute: 'gen_ai.usage.cache_creation.input_tokens',
  },
  /** Written to be kept for twelve hours, which a request asks for. */
  cache_write_12h_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'cache_write_tokens',
    boundBy: 'cache_write_12h_tokens',
  },
  input_audio_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'input_tokens',
    boundBy: 'input_audio_tokens',
  },
  input_image_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'input_tokens',
    boundBy: 'input_image_tokens',
  },
  /** Rejected prediction tokens are among them. */
  output_tokens: {
    ...whole,
    unit: 'token',
    boundBy: 'output_tokens',
    attribute: 'gen_ai.usage.output_tokens',
  },
  reasoning_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'output_tokens',
    boundBy: 'output_tokens',
    attribute: 'gen_ai.usage.reasoning.output_tokens',
  },
  output_audio_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'output_tokens',
    boundBy: 'output_audio_tokens',
  },
  output_image_tokens: {
    ...whole,
    unit: 'token',
    partOf: 'output_tokens',
    boundBy: 'output_image_tokens',
  },
  /** Tokens that a fine-tuning job is billed for, over all epochs. */
  trained_tokens: { ...whole, unit: 'token', boundBy: 'trained_tokens' },
  /** The core loop of a reinforcement fine-tuning job; published per hour. */
  training_seconds: { ...whole, unit: 'second', steps: MILLIONTHS, boundBy: 'training_seconds' },
  /** Length of the audio that is transcribed or translated. */
  audio_seconds: { ...whole, unit: 'second', steps: MILLIONTHS, boundBy: 'audio_seconds' },
  /** How long a live session was open. */
  session_seconds: { ...whole, unit: 'second', steps: MILLIONTHS, boundBy: 'session_seconds' },
  video_seconds: { ...whole, unit: 'second', steps: MILLIONTHS, boundBy: 'video_seconds' },
  /** From the sending of a call to the end of its response, where an upstream is paid for its time; measured here. */
  upstream_seconds: { ...whole, unit: 'second', steps: MILLIONTHS, boundBy: 'upstream_seconds' },
  /** Of text that is spoken. */
  characters: { ...whole, unit: 'character', boundBy: 'characters' },
  /** Made by a model that is billed by the image, not by its tokens. */
  images: { ...whole, unit: 'image', boundBy: 'images' },
  web_search_calls: { ...whole, unit: 'call', boundBy: 'web_search_calls' },
  web_search_preview_calls: { ...whole, unit: 'call', boundBy: 'web_search_preview_calls' },
  file_search_calls: { ...whole, unit: 'call', boundBy: 'file_search_calls' },
  /** Of whether a file was made by the upstream's models. */
  provenance_checks: { ...whole, unit: 'call', boundBy: 'provenance_checks' },
  /** What the image model of the tool `image_generation` read and wrote, beside the tokens of the model that called it. */
  image_tool_input_tokens: { ...whole, unit: 'token', boundBy: 'image_tool_input_tokens' },
  image_tool_output_tokens: { ...whole, unit: 'token', boundBy: 'image_tool_output_tokens' },
  /** Of one GiB of memory; a session of 4 GiB counts as four, as the published prices do. */
  container_sessions: { ...whole, unit: 'session', boundBy: 'container_sessions' },
  /** Of one GiB of memory, where a container is billed by the minute. */
  container_minutes: { ...whole, unit: 'minute', steps: MILLIONTHS, boundBy: 'container_minutes' },
  storage_gib_days: { ...whole, unit: 'GiB-day', steps: MILLIONTHS, boundBy: 'storage_gib_days' },
} as const satisfies Record<string, MeterDefinition>;

export type MeterName = keyof typeof METERS;

/** Tools that the upstream runs, each with a fee for a call. */
export type FeeMeter = Extract<
  MeterName,
  'web_search_calls' | 'web_search_preview_calls' | 'file_search_calls'
>;

/** Amounts by meter, each in the steps of its meter. What is missing is 0. */
export type Quantities = Partial<Record<MeterName, number>>;

/** Every meter, wholes before their parts. */
export const METER_NAMES = Object.keys(METERS).filter(isMeterName);

/** Whether a text names a meter. */
export function isMeterName(text: string): text is MeterName {
  return Object.hasOwn(METERS, text);
}

/** Returns what is known of a meter, in the type that all meters share. */
export function meterDefinition(meter: MeterName): MeterDefinition {
  return METERS[meter];
}

/** Returns the whole that a meter is a part of; null: it is a whole itself. */
export function wholeOf(meter: MeterName): MeterName | null {
  const { partOf } = meterDefinition(meter);
  return partOf !== null && isMeterName(partOf) ? partOf : null;
}

/** Returns the whole that a meter belongs to, over all levels; a whole itself for a whole. */
export function outermost(meter: MeterName): MeterName {
  const whole = wholeOf(meter);
  return whole === null ? meter : outermost(whole);
}

/** By whole, its parts; meters without parts are not in it. */
export const PARTS: ReadonlyMap<MeterName, readonly MeterName[]> = Map.groupBy(
  METER_NAMES.filter((meter) => wholeOf(meter) !== null),
  (part) => wholeOf(part) ?? part,
);

/** Whether every name is a meter, every amount a non-negative safe integer, and no parts are more than their whole. */
export function areQuantities(amounts: Readonly<Record<string, unknown>>): amounts is Quantities {
  if (isTextOnly(amounts)) return isTextUsage(amounts);
  for (const name in amounts) {
    if (!isMeterName(name) || !isCount(amounts[name])) return false;
  }
  const checked: Quantities = amounts;
  for (const [meter, parts] of PARTS) {
    let sum = 0;
    for (const part of parts) sum += checked[part] ?? 0;
    if (sum > (checked[meter] ?? 0)) return false;
  }
  return true;
}

/** The same for amounts of text alone, of which nearly every call has one. */
export function isTextUsage(amounts: Readonly<Record<string, unknown>>): boolean {
  const {
    input_tokens: input = 0,
    cached_input_tokens: cached = 0,
    cache_write_tokens: written = 0,
  } = amounts;
  const { output_tokens: output = 0, reasoning_tokens: reasoning = 0 } = amounts;
  if (!isCount(input) || !isCount(cached) || !isCount(written)) return false;
  return cached + written <= input && isCount(output) && isCount(reasoning) && reasoning <= output;
}

/** Whether a value is a non-negative integer that a Number holds exactly. */
export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/**
 * Whether usage names no meters but those of text. They have columns of their own in events and rollups, and a shape of
 * their own in code, because nearly all calls use no other.
 */
export function isTextOnly(usage: object): boolean {
  for (const meter in usage) if (!isTextMeter(meter)) return false;
  return true;
}

function isTextMeter(meter: string): boolean {
  switch (meter) {
    case 'input_tokens':
    case 'cached_input_tokens':
    case 'cache_write_tokens':
    case 'output_tokens':
    case 'reasoning_tokens':
      return true;
    default:
      return false;
  }
}

/** An amount in units: 12.5 for 12,500,000 steps of a second. */
export function inUnits(meter: MeterName, amount: number): number {
  return amount / METERS[meter].steps;
}

/** The same as decimal text, exact to the last step. */
export function formatQuantity(meter: MeterName, amount: number): string {
  const { steps } = METERS[meter];
  if (steps === 1) return String(amount);
  const rest = amount % steps;
  const units = String((amount - rest) / steps);
  return rest === 0 ? units : `${units}.${String(rest).padStart(6, '0').replace(/0+$/, '')}`;
}

/** The amounts of all meters that have no column of their own, by name in units, as JSON; `null`: none is more than 0. */
export function quantitiesJson(usage: Quantities): string {
  let json = '';
  for (const meter of METER_NAMES) {
    const amount = usage[meter];
    if (!amount || isTextMeter(meter)) continue;
    json += `${json === '' ? '{' : ','}"${meter}":${formatQuantity(meter, amount)}`;
  }
  return json === '' ? 'null' : `${json}}`;
}

/** Writes an exact decimal string of USD with at least two digits after the point: `18.00`, `0.000000125`. */
export function formatUsd(amount: PicoUsd): string {
  if (amount >= 0n && amount <= MAX_SAFE) return formatSafe(Number(amount));
  const sign = amount < 0n ? '-' : '';
  const digits = (amount < 0n ? -amount : amount).toString().padStart(13, '0');
  let end = digits.length;
  const point = end - 12;
  while (end > point + 2 && digits.charCodeAt(end - 1) === 48) end--;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point, end)}`;
}

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);
const MILLION = 1_000_000;

/** The same for what a Number holds, nine thousand dollars: a call writes a dozen amounts. */
function formatSafe(amount: number): string {
  // Below 2^53 a quotient is further from the next integer than it is rounded.
  const millions = Math.floor(amount / MILLION);
  const low = amount - millions * MILLION;
  const whole = Math.floor(millions / MILLION);
  const high = sixDigits(millions - whole * MILLION);
  const digits = low === 0 ? high : high + sixDigits(low);
  let end = digits.length;
  while (end > 2 && digits.charCodeAt(end - 1) === 48) end--;
  return `${whole}.${end === digits.length ? digits : digits.slice(0, end)}`;
}

/** Small integers become text much faster than large ones. */
function sixDigits(value: number): string {
  return String(MILLION + value).slice(1);
}

/** The amount of so many units, rounded up to a step: what {@link formatQuantity} wrote comes back as it was. */
export function quantityOf(meter: MeterName, units: number): number {
  const { steps } = METERS[meter];
  const amount = units * steps;
  // A decimal of six digits is seldom a binary fraction: what is a step within the precision of a Number is that step.
  const nearest = Math.round(amount);
  return Math.abs(amount - nearest) <= 4 * Number.EPSILON * amount ? nearest : Math.ceil(amount);
}

/** Cost beside quantities: those that limits count are always given. */
export type Claim = Pick<Required<Quantities>, 'input_tokens' | 'output_tokens'> & { cost: PicoUsd };

/** One token, request or slot in the ledger's fixed point: amounts of every meter have twelve decimals, as money has. */
export const UNIT = 1_000_000_000_000n;

/** A call that used nothing but its request. */
export const NOTHING_USED: Claim = { cost: 0n, input_tokens: 0, output_tokens: 0 };

/** How much of a meter a claim takes. */
export function claimed(meter: Meter, claim: Claim): bigint {
  switch (meter) {
    case 'cost_usd':
      return claim.cost;
    case 'tokens':
      return BigInt(claim.input_tokens + claim.output_tokens) * UNIT;
    case 'input_tokens':
      return BigInt(claim.input_tokens) * UNIT;
    case 'output_tokens':
      return BigInt(claim.output_tokens) * UNIT;
    case 'requests':
    case 'concurrency':
      return UNIT;
  }
}

/** How much of a meter is gone for good once the call has ended: its slot is free again. */
export function used(meter: Meter, claim: Claim): bigint {
  return meter === 'concurrency' ? 0n : claimed(meter, claim);
}

/** The state of a counter, as far as granting needs it. */
export interface CounterState {
  amount: bigint;
  settled: bigint;
  held: bigint;
  leased: bigint;
}

/** What can still be lent or held. Negative when the amount was lowered below what is out. */
export function unlent(state: CounterState): bigint {
  return state.amount - state.settled - state.held - state.leased;
}
