/**
 * What the upstream bills in other units than tokens of a model, for reconciliation.ts: calls and sessions of the tools that it
 * runs, storage, images, speech and audio. Owns: how many units each side counts, and which tool a call's cost was for. Pure.
 */
import {
  type Crossing,
  type DayInput,
  type Difference,
  type LedgerRow,
  OPEN_STATES,
  type UsageRow,
} from './differences.ts';
import { type LineSubject, lineSubject, TOOLS, type Tool } from './line-items.ts';
import type { PicoUsd } from './money.ts';
import type { Price } from './price.ts';
import { hasNewPrice } from './published-rate.ts';
import { type MeterName, meterDefinition, type Quantities } from './quantities.ts';
import {
  abs,
  type Bucket,
  costAt,
  type Group,
  least,
  REPORTED,
  requestsBeyond,
  restOf,
} from './reconciliation-evidence.ts';

/** What has both a line item and a report that no model is in, and the name of its price. */
const COUNTED = {
  web_search_calls: 'web_search',
  file_search_calls: 'file_search',
  container_sessions: 'container',
  storage_gib_days: 'vector_store',
} as const satisfies Partial<Record<MeterName, string>>;
export type Counted = keyof typeof COUNTED;
export const COUNTED_METERS = Object.keys(COUNTED).filter(isCounted);

const GIB = 1024 ** 3;
/** The first GiB of an account is free (OpenAI's pricing page, 2026-09). */
const FREE_GIB = 1;

function isCounted(meter: string): meter is Counted {
  return Object.hasOwn(COUNTED, meter);
}

/** Returns what a line item counts that is reported without keys; null: nothing. */
export function countedIn(subject: LineSubject | null): Counted | null {
  if (subject?.of === 'storage') return 'storage_gib_days';
  return subject?.of === 'tools' && subject.tool === 'container_sessions' ? subject.tool : null;
}

export function priceOfCounted(meter: Counted, priceOf: DayInput['priceOf']): Price | null {
  return priceOf(COUNTED[meter], 'default');
}

/** Returns the meter that the reports of a model count in; null: they count tokens, or there is none. */
function reportedMeter(usage: readonly UsageRow[]): MeterName | null {
  const meters = new Set(usage.map(({ report }) => REPORTED[report] ?? null));
  const [meter = null] = meters.size === 1 ? meters : [];
  return meter;
}

/** Returns how many units of a meter reports count. */
function reportedUnits(usage: readonly UsageRow[], meter: MeterName): number {
  const units = usage.reduce((sum, row) => sum + (REPORTED[row.report] === meter ? row.units : 0), 0);
  return meter === 'storage_gib_days' ? Math.max(0, units / GIB - FREE_GIB) : units;
}

/** Returns how many units of a line item calls used. */
export function usedUnits(usages: readonly Quantities[], meter: MeterName): number {
  const meters: readonly MeterName[] = Object.hasOwn(TOOLS, meter) ? TOOLS[meter as Tool] : [meter];
  return usages.reduce(
    (sum, usage) => meters.reduce((all, each) => all + (usage[each] ?? 0) / meterDefinition(each).steps, sum),
    0,
  );
}

/** Returns what so many units cost. */
function costOfUnits(price: Price, meter: MeterName, units: number): PicoUsd {
  return costAt(price, meter, Math.round(units * meterDefinition(meter).steps), false);
}

/** The same calls of other days, with what they cost of one line item alone. */
export function crossingOf(rows: readonly Crossing[], meter: Counted, price: Price): Crossing[] {
  return rows.flatMap((row) => {
    const units = row.usage === null ? 0 : usedUnits([row.usage], meter);
    return units === 0 ? [] : [{ ...row, cost: costOfUnits(price, meter, units) }];
  });
}

/** Whether one rate says what all units cost: a preview has other rates, and a session costs by its memory. */
function hasOneRate(ledger: readonly LedgerRow[], meter: Counted): boolean {
  if (meter === 'container_sessions' || meter === 'storage_gib_days') return false;
  return ledger.every(({ usage }) => meter !== 'web_search_calls' || !usage.web_search_preview_calls);
}

/** What is compared, and what is left of it. */
interface Rest {
  bucket: Bucket;
  rest: PicoUsd;
  tolerance: PicoUsd;
}

type Outside = Pick<Difference, 'amount' | 'quantity'> & Partial<Pick<Difference, 'with'>>;
const NONE: Outside = { amount: 0n, quantity: null };

/** Returns what more requests than the ledger has calls cost, of what is billed by the unit or as a whole. */
export function outsideOf(
  group: Group,
  { bucket, rest, tolerance, priceOf }: Rest & Pick<DayInput, 'priceOf'>,
): Outside {
  const { model, tier, ledger, usage, crossing } = group;
  const price = ledger.find((row) => row.price !== null)?.price ?? priceOf(model, tier);
  if (requestsBeyond(group) <= 0 || price === null) return NONE;
  const meter = reportedMeter(usage);
  if (meter === null || !price.short.factors.has(meter))
    return rest > 0n ? { amount: rest, quantity: null } : NONE;
  const [reported, known] = [reportedUnits(usage, meter), knownUnits(ledger, meter)];
  bucket.beyond = costOfUnits(price, meter, reported - known);
  bucket.reported = reported;
  // An image costs by its size and quality.
  bucket.isMixed ||= meter === 'images';
  const quantity = reported - known - arrivedUnits(crossing, meter);
  if (quantity <= 0) return NONE;
  const cost = costOfUnits(price, meter, quantity);
  // Seconds are reported in whole ones, which each call may be rounded to.
  const spare = meter === 'audio_seconds' ? usage.reduce((sum, { requests }) => sum + requests, 0) : 0;
  const isClose = spare > 0 && rest > 0n && abs(rest - cost) <= costOfUnits(price, meter, spare);
  return { quantity, amount: isClose ? rest : costBeyond({ bucket, rest, tolerance }, cost) };
}

interface CountedRest extends Rest {
  meter: Counted;
  price: Price;
  /** What others' keys were billed of it. */
  foreign: PicoUsd;
  /** Its calls of other days. */
  over: readonly Crossing[];
}

/** Returns what calls and sessions of tools, or storage, cost that the reports have more of than the ledger. */
export function countedOutside(
  { usage, ledger }: Pick<DayInput, 'usage' | 'ledger'>,
  { meter, price, foreign, over, ...rest }: CountedRest,
): Outside {
  const { bucket } = rest;
  // Without keys in the report, what others were billed says how many are theirs.
  const others = Number(foreign) / Number(costOfUnits(price, meter, 1));
  const reported = reportedUnits(usage, meter) - others;
  const known = knownUnits(ledger, meter);
  if (!hasOneRate(ledger, meter)) bucket.isMixed = true;
  else if (reported > 0) {
    bucket.beyond = costOfUnits(price, meter, reported - known);
    bucket.reported = reported;
  }
  const quantity = reported - known - arrivedUnits(over, meter);
  if (quantity <= 0) return NONE;
  // Calls of unknown outcome may have run tools as well.
  const open = OPEN_STATES.filter((open) => ledger.some(({ state }) => state === open));
  const amount = costBeyond(rest, costOfUnits(price, meter, quantity));
  return { with: open, amount, quantity: Math.round(quantity) };
}

function knownUnits(ledger: readonly LedgerRow[], meter: MeterName): number {
  return usedUnits(
    ledger.flatMap((row) => (row.state === 'reported' ? [row.usage] : [])),
    meter,
  );
}

/** Units of calls that the ledger has on another day. */
function arrivedUnits(rows: readonly Crossing[], meter: MeterName): number {
  return usedUnits(
    rows.flatMap((row) => (row.direction === 'in' && row.usage !== null ? [row.usage] : [])),
    meter,
  );
}

/** What units that the ledger does not know are named for: all that they cost at our rate where a new rate explains the rest. */
function costBeyond({ bucket, rest, tolerance }: Rest, cost: PicoUsd): PicoUsd {
  if (bucket.reported !== null && hasNewPrice(bucket, bucket.reported, tolerance)) return cost;
  return rest > 0n ? least(rest, cost) : 0n;
}

/** Whether line items and the ledger say which tool was run: else tools are compared in sum. */
export function tellsTools({ costs, ledger, priceOf }: DayInput): boolean {
  const isNamed = costs.every(({ lineItem }) => {
    const subject = lineItem === null ? null : lineSubject(lineItem);
    return subject?.of !== 'tools' || subject.tool !== null;
  });
  return (
    isNamed && ledger.every((row) => row.price === null || toolParts(row, restOf(row), priceOf) !== null)
  );
}

/**
 * Returns what each tool is charged of what calls cost beside their tokens; null: several ran, and prices of the day do not say
 * what each of them cost.
 */
export function toolParts(
  { usage, calls }: Pick<LedgerRow, 'usage' | 'calls'>,
  cost: PicoUsd,
  priceOf: DayInput['priceOf'],
): [Tool, PicoUsd][] | null {
  const fees = Object.entries(TOOLS).flatMap(([tool, meters]): [Tool, PicoUsd | null][] =>
    meters.some((meter) => (usage[meter] ?? 0) > 0)
      ? [[tool as Tool, feeOf(tool, meters, usage, priceOf)]]
      : [],
  );
  const unknown = fees.filter(([, fee]) => fee === null);
  const rest = fees.reduce((left, [, fee]) => left - (fee ?? 0n), cost);
  // Less than a pico-USD of each call was rounded up.
  const isRounding = rest >= 0n && rest <= BigInt(calls);
  const isClear = unknown.length === 1 ? rest >= 0n : unknown.length === 0 && isRounding;
  if (fees.length > 1 && !isClear) return null;
  const last = unknown[0]?.[0] ?? fees.at(-1)?.[0];
  return fees.map(([tool, fee]) => [tool, (fee ?? 0n) + (tool === last ? rest : 0n)]);
}

/** Null: its price depends on the model that ran it. */
function feeOf(
  tool: string,
  meters: readonly MeterName[],
  usage: Quantities,
  priceOf: DayInput['priceOf'],
): PicoUsd | null {
  const price = isCounted(tool) ? priceOfCounted(tool, priceOf) : null;
  let fee = 0n;
  for (const meter of meters) {
    const amount = usage[meter] ?? 0;
    if (amount === 0) continue;
    if (!price?.short.factors.has(meter)) return null;
    fee += costAt(price, meter, amount, false);
  }
  return fee;
}
