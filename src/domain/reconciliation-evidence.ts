/** What numbers of a day show, for reconciliation.ts: what is compared with what, and whose tokens are whose. Pure. */
import {
  type CostRow,
  type Crossing,
  type DayInput,
  type Difference,
  type LedgerRow,
  OPEN_STATES,
  type OpenState,
  type UsageRow,
} from './differences.ts';
import { lineSubject, TOOL_METERS } from './line-items.ts';
import type { PicoUsd } from './money.ts';
import type { Price, ServiceTier } from './price.ts';
import { METER_NAMES, type MeterName, PARTS, type Quantities } from './quantities.ts';

/** Both sides of what is compared of a model and tier. */
export interface Group {
  /** Empty: several. */
  model: string;
  tier: ServiceTier;
  ledger: LedgerRow[];
  /** Of the gateway's keys. */
  usage: UsageRow[];
  crossing: Crossing[];
}

/** What is compared in dollars: a meter of a model and tier, or what has no meters that both sides know. */
export interface Bucket {
  /** Null: of no model. */
  model: string | null;
  tier: ServiceTier;
  /** Null: it is compared as a whole. */
  meter: MeterName | null;
  lineItems: Set<string>;
  billed: PicoUsd;
  /** Rows of the costs, each of which may be rounded. */
  costRows: number;
  /** Null: some row does not say. */
  quantity: number | null;
  charged: PicoUsd;
  /** In units, as the ledger has them. */
  used: number;
  calls: number;
  /** At several rates: its amount says none of them. */
  isMixed: boolean;
  /** By calls that are named for it already: tokens, and dollars at our rate. */
  explained: PicoUsd;
  /** What the usage report has more of than the ledger; null: it was not compared in tokens. */
  beyond: PicoUsd | null;
  reported: number | null;
}

export function emptyBucket(model: string | null, tier: ServiceTier, meter: MeterName | null): Bucket {
  return {
    ...{
      model,
      tier,
      meter,
      lineItems: new Set(),
      billed: 0n,
      costRows: 0,
      quantity: 0,
      charged: 0n,
      used: 0,
    },
    ...{ calls: 0, isMixed: false, explained: 0n, beyond: null, reported: null },
  };
}

/** Whether nothing is known of what a line item bills. */
export function isUnpriced({ model, tier, charged, calls }: Bucket, priceOf: DayInput['priceOf']): boolean {
  return model !== null && model !== '' && charged === 0n && calls === 0 && priceOf(model, tier) === null;
}

export function isOpen(state: LedgerRow['state']): state is OpenState {
  return state !== 'reported' && state !== 'voided';
}

/** What of each meter is none of its parts', in steps. */
export function ownAmounts(usage: Quantities): [MeterName, number][] {
  return METER_NAMES.flatMap((meter) => {
    const parts = PARTS.get(meter) ?? [];
    const own = parts.reduce((left, part) => left - (usage[part] ?? 0), usage[meter] ?? 0);
    return own === 0 ? [] : [[meter, own]];
  });
}

/** The line item that bills a meter, where it has none of its own. */
const BILLED_AS: Partial<Record<MeterName, MeterName>> = {
  cached_audio_tokens: 'cached_input_tokens',
  cached_image_tokens: 'cached_input_tokens',
  cache_write_12h_tokens: 'cache_write_tokens',
  reasoning_tokens: 'output_tokens',
};
/** The usage report counts images among text. */
export const REPORTED_AS: Partial<Record<MeterName, MeterName>> = {
  ...BILLED_AS,
  input_image_tokens: 'input_tokens',
  output_image_tokens: 'output_tokens',
};

/** What a usage report counts, where it is no tokens. */
export const REPORTED: Readonly<Record<string, MeterName>> = {
  web_search_calls: 'web_search_calls',
  file_search_calls: 'file_search_calls',
  code_interpreter_sessions: 'container_sessions',
  vector_stores: 'storage_gib_days',
  images: 'images',
  audio_speeches: 'characters',
  audio_transcriptions: 'audio_seconds',
};

export function billedAs(meter: MeterName): MeterName {
  return BILLED_AS[meter] ?? meter;
}

/** Sums tokens by the meters that the usage report tells apart. */
export function tokensOf(usages: readonly Quantities[]): Map<MeterName, number> {
  const sums = new Map<MeterName, number>();
  for (const usage of usages) {
    for (const [meter, amount] of ownAmounts(usage)) {
      if (!meter.endsWith('_tokens') || meter === 'trained_tokens' || TOOL_METERS.includes(meter)) continue;
      const name = REPORTED_AS[meter] ?? meter;
      sums.set(name, (sums.get(name) ?? 0) + amount);
    }
  }
  return sums;
}

/** What an amount of one meter costs, rounded towards 0; 0 where it has no rate. */
export function costAt(price: Price, meter: MeterName, amount: number, isLong: boolean): PicoUsd {
  const rates = isLong && price.long !== null ? price.long : price.short;
  return (BigInt(amount) * (rates.factors.get(meter) ?? 0n)) / rates.denominator;
}

/** Returns what is left of the cost of calls, beside their tokens: what tools cost, and less than a pico-USD of each call. */
export function restOf({ cost, usage, price, isLong }: LedgerRow): PicoUsd {
  if (price === null) return cost;
  return ownAmounts(usage).reduce(
    (rest, [meter, amount]) =>
      TOOL_METERS.includes(meter) ? rest : rest - costAt(price, meter, amount, isLong),
    cost,
  );
}

/** What the usage report has more of than the ledger, by meter, and what of it was named already. */
export class Beyond {
  readonly rest: Map<MeterName, number>;
  /** In dollars, by meter: all of it, and what was named. */
  readonly whole = new Map<MeterName, PicoUsd>();
  readonly named = new Map<MeterName, PicoUsd>();
  readonly #price: Price;

  constructor(price: Price, reported: ReadonlyMap<MeterName, number>, known: ReadonlyMap<MeterName, number>) {
    this.#price = price;
    this.rest = new Map(
      [...new Set([...reported.keys(), ...known.keys()])].map((meter) => [
        meter,
        (reported.get(meter) ?? 0) - (known.get(meter) ?? 0),
      ]),
    );
    for (const [meter, tokens] of this.rest) this.whole.set(meter, costAt(price, meter, tokens, false));
  }

  costOf(meter: MeterName, tokens: number): PicoUsd {
    return costAt(this.#price, meter, tokens, false);
  }

  /** Returns what so many tokens cost, which are named from now on. */
  take(meter: MeterName, tokens: number): PicoUsd {
    const left = (this.rest.get(meter) ?? 0) - tokens;
    this.rest.set(meter, left);
    const before = this.named.get(meter) ?? 0n;
    const now = (this.whole.get(meter) ?? 0n) - this.costOf(meter, left);
    this.named.set(meter, now);
    return now - before;
  }
}

/** Names what calls of other days explain, at most what they used. */
export function takeCrossing(
  beyond: Beyond,
  rows: readonly Crossing[],
): { amount: PicoUsd; quantity: number } {
  const mostOf = (direction: Crossing['direction'], meter: MeterName) => {
    const pool = rows.filter((row) => row.direction === direction);
    // Of a job that goes on no usage is known: as much as its hold pays.
    if (pool.some(({ usage }) => usage === null)) {
      const held = pool.reduce((sum, { cost }) => sum + cost, 0n);
      return beyond.costOf(meter, beyond.rest.get(meter) ?? 0) <= held ? Number.MAX_SAFE_INTEGER : 0;
    }
    return tokensOf(pool.map(({ usage }) => usage ?? {})).get(meter) ?? 0;
  };
  let amount = 0n;
  let quantity = 0;
  for (const [meter, tokens] of [...beyond.rest]) {
    const taken =
      tokens > 0 ? Math.min(tokens, mostOf('in', meter)) : -Math.min(-tokens, mostOf('out', meter));
    if (taken === 0) continue;
    amount += beyond.take(meter, taken);
    quantity += taken;
  }
  return { amount, quantity };
}

/** How many requests the usage report has that the ledger has no call for. */
export function requestsBeyond({ ledger, usage, crossing }: Group): number {
  const reported = usage.reduce((sum, { requests }) => sum + requests, 0);
  const known = ledger.reduce((sum, { calls }) => sum + calls, 0);
  const late = crossing.reduce((sum, { direction, calls }) => sum + (direction === 'in' ? calls : 0), 0);
  return reported - known - late;
}

type Named = Pick<Difference, 'kind' | 'with' | 'amount' | 'corrected' | 'calls'>;

/**
 * Shares what was billed of calls of several states. Where all calls of a state were corrected, the corrections say what they
 * cost; what is left is another state's. Between two states without such evidence nothing tells.
 */
export function shareOpen(rows: readonly LedgerRow[], billed: PicoUsd): Named[] {
  const states = OPEN_STATES.flatMap((kind) => {
    const own = rows.filter(({ state }) => state === kind);
    const sum = (pick: (row: LedgerRow) => PicoUsd) => own.reduce((total, row) => total + pick(row), 0n);
    const calls = own.reduce((total, row) => total + row.calls, 0);
    const isCorrected = own.every((row) => row.correctedCalls === row.calls);
    const charged = sum(({ cost }) => cost);
    return own.length === 0
      ? []
      : [{ kind, calls, charged, corrected: sum((row) => row.corrected), isCorrected }];
  });
  const [first, ...others] = states;
  if (first === undefined) return [];
  const known = states.filter(({ isCorrected }) => isCorrected);
  const open = states.filter(({ isCorrected }) => !isCorrected);
  const costKnown = known.reduce((sum, { charged, corrected }) => sum + charged + corrected, 0n);
  const left = billed - costKnown;
  if (others.length > 0 && left >= 0n && (open.length === 1 || (open.length === 0 && left === 0n))) {
    return states.map(({ kind, calls, charged, corrected, isCorrected }) => {
      const amount = isCorrected ? corrected : left - charged;
      return { kind, with: [], amount, corrected, calls };
    });
  }
  const total = (pick: (state: (typeof states)[number]) => PicoUsd) =>
    states.reduce((sum, state) => sum + pick(state), 0n);
  return [
    {
      kind: first.kind,
      with: others.map(({ kind }) => kind),
      amount: billed - total(({ charged }) => charged),
      corrected: total(({ corrected }) => corrected),
      calls: states.reduce((sum, { calls }) => sum + calls, 0),
    },
  ];
}

/**
 * Returns which models and tiers are compared as a whole, because one side does not tell meters apart, or the ledger not even
 * models; and which have line items of their own.
 */
export function wholesOf(
  { ledger, costs, usage }: DayInput,
  nameOf: (model: string) => string,
): { whole: Set<string>; tiers: Set<string> } {
  const whole = new Set<string>();
  const tiers = new Set<string>();
  for (const { model, tier, subject, price, state, cost } of ledger) {
    if ((subject !== 'text' && subject !== 'whole') || cost === 0n) continue;
    const isUnpriced = price === null && state !== 'voided';
    if (model === '') whole.add(`*/${tier}`);
    else if (subject === 'whole' || isUnpriced) whole.add(`${nameOf(model)}/${tier}`);
  }
  for (const { lineItem } of costs) {
    const subject = lineItem === null ? null : lineSubject(lineItem);
    if (subject?.of !== 'model') continue;
    const name = `${subject.model}/${subject.tier}`;
    tiers.add(name);
    if (subject.meter === null) whole.add(name);
  }
  for (const { model, tier, tokens } of usage)
    if (model !== null && tokens === null) whole.add(`${model}/${tier ?? 'default'}`);
  return { whole, tiers };
}

/**
 * Returns both sides of what is compared by model and tier.
 * @param nameOf the ledger's name of a model, as the report says it
 */
export function groupsOf(
  { ledger, usage, crossing }: DayInput,
  whole: ReadonlySet<string>,
  nameOf: (model: string) => string,
): Group[] {
  const groups = new Map<string, Group>();
  const groupOf = (model: string, tier: ServiceTier): Group => {
    const name = whole.has(`*/${tier}`) ? '' : model;
    const key = `${name}/${tier}`;
    const group = groups.get(key) ?? { model: name, tier, ledger: [], usage: [], crossing: [] };
    groups.set(key, group);
    return group;
  };
  for (const row of ledger)
    if (row.subject === 'text' || row.subject === 'whole')
      groupOf(nameOf(row.model), row.tier).ledger.push(row);
  for (const row of usage) if (row.model !== null) groupOf(row.model, row.tier ?? 'default').usage.push(row);
  for (const row of crossing) if (!row.isTraining) groupOf(nameOf(row.model), row.tier).crossing.push(row);
  return [...groups.values()];
}

/** A report that rounds to cents, or finer, rounds; what is larger is no rounding. */
const ROUNDING_MOST: PicoUsd = 10_000_000_000n;

/** Returns a unit of the last digit that the amounts of a report have. */
export function unitOf(costs: readonly CostRow[]): PicoUsd {
  const decimals = costs.reduce((most, row) => Math.max(most, row.decimals), 2);
  const unit = 10n ** BigInt(12 - Math.min(12, decimals));
  return unit < ROUNDING_MOST ? unit : ROUNDING_MOST;
}

export function abs(amount: PicoUsd): PicoUsd {
  return amount < 0n ? -amount : amount;
}

export function least(a: PicoUsd, b: PicoUsd): PicoUsd {
  return a < b ? a : b;
}
