/**
 * Reconciliation of a UTC day: why the upstream billed another amount than the ledger charged. Owns: the kinds of differences,
 * and what has to be shown before one is named. Does not own: reading either side (jobs/, store/), nor single calls of
 * unknown outcome (reconcile.ts), whose corrections it takes as evidence. Pure.
 *
 * Invariants: the differences of a day add up to what was billed less what was charged, to the last digit; a cause is named
 * for no more than numbers of the day show; what is left is `unexplained`.
 *
 * How: what keys of others bear is outside of the gateway. The rest is compared by model and tier, in tokens, which are
 * whole numbers: more or fewer of them come from calls over midnight, late batches, outcomes that the ledger does not know, or
 * from requests that it never saw. So are calls of tools, images and audio, in the units that are reported of them. Then by
 * line item, in dollars: what tokens do not explain is a price that changed, where all of the line's tokens have another
 * published rate, or a rounding of the report.
 */
import type { Crossing, DayInput, Difference, LedgerRow, Reconciled, UsageRow } from './differences.ts';
import { lineSubject, TOOL_METERS, type Tool } from './line-items.ts';
import type { PicoUsd } from './money.ts';
import { namesOf, type ServiceTier } from './price.ts';
import { hasNewPrice } from './published-rate.ts';
import { METER_NAMES, type MeterName, meterDefinition } from './quantities.ts';
import {
  abs,
  Beyond,
  type Bucket,
  billedAs,
  costAt,
  emptyBucket,
  type Group,
  groupsOf,
  isOpen,
  isUnpriced,
  least,
  ownAmounts,
  requestsBeyond,
  restOf,
  shareOpen,
  takeCrossing,
  tokensOf,
  unitOf,
  wholesOf,
} from './reconciliation-evidence.ts';
import { costsByKey, namesBilled, ownKeysOf } from './reconciliation-keys.ts';
import {
  COUNTED_METERS,
  type Counted,
  countedIn,
  countedOutside,
  crossingOf,
  outsideOf,
  priceOfCounted,
  tellsTools,
  toolParts,
  usedUnits,
} from './reconciliation-units.ts';

/** Explains a day. */
export function reconcileDay(input: DayInput): Reconciled {
  const differences = new Day(input).explain();
  const sum = (rows: readonly { amount: PicoUsd }[]) =>
    rows.reduce((total, { amount }) => total + amount, 0n);
  return {
    billed: sum(input.costs),
    charged: input.ledger.reduce((total, { cost }) => total + cost, 0n),
    corrected: input.ledger.reduce((total, { corrected }) => total + corrected, 0n),
    unexplained: sum(differences.filter(({ kind }) => kind === 'unexplained')),
    differences,
  };
}

class Day {
  readonly #input: DayInput;
  readonly #ownKeys: ReadonlySet<string> | null;
  readonly #buckets = new Map<string, Bucket>();
  readonly #differences: Difference[] = [];
  /** Models and tiers that are compared as a whole. */
  readonly #whole: ReadonlySet<string>;
  readonly #billedNames: ReadonlySet<string>;
  /** Models and tiers with a line item of their own. */
  readonly #billedTiers: ReadonlySet<string>;
  /** Half a unit of the last digit may be missing, or a whole one. */
  readonly #unit: PicoUsd;
  #rounding = 0n;
  /** Each tool is compared by itself; else all of them in sum, as some row does not tell them apart. */
  readonly #isByTool: boolean;
  /** What others' keys were billed of what is reported without keys. */
  readonly #foreign = new Map<MeterName, PicoUsd>();

  constructor(input: DayInput) {
    this.#input = input;
    this.#billedNames = namesBilled(input);
    this.#ownKeys = input.ownKeys ?? ownKeysOf(input, (model) => this.#nameOf(model));
    this.#unit = unitOf(input.costs);
    this.#isByTool = tellsTools(input);
    const { whole, tiers } = wholesOf(input, (model) => this.#nameOf(model));
    this.#whole = whole;
    this.#billedTiers = tiers;
  }

  explain(): Difference[] {
    this.#takeCosts();
    for (const row of this.#input.ledger) {
      const isText = row.subject === 'text' || row.subject === 'whole';
      if (!isText || !isOpen(row.state)) this.#takeCharges(row);
    }
    const usage = this.#input.usage.filter(({ apiKeyId }) => !this.#isForeign(apiKeyId));
    for (const group of groupsOf({ ...this.#input, usage }, this.#whole, (model) => this.#nameOf(model))) {
      if (this.#isWhole(group.model, group.tier)) this.#compareWhole(group);
      else this.#compareTokens(group);
    }
    this.#compareTraining();
    for (const meter of COUNTED_METERS) this.#compareCounted(meter, usage);
    for (const bucket of this.#buckets.values()) this.#compareDollars(bucket);
    if (this.#rounding !== 0n) this.#name({ kind: 'rounding', amount: this.#rounding });
    return this.#differences;
  }

  #name(found: Pick<Difference, 'kind' | 'amount'> & Partial<Difference>): void {
    const { kind, model = null, tier = null, lineItem = null, apiKeyId = null } = found;
    const id = [kind, model ?? '-', tier ?? '-', lineItem ?? '-', apiKeyId ?? '-'].join('/');
    const rest = { with: [], quantity: null, corrected: 0n, calls: 0 };
    this.#differences.push({ ...rest, model, tier, lineItem, apiKeyId, ...found, id });
  }

  /** The ledger's name of a model, as the bill says it. */
  #nameOf(model: string): string {
    if (this.#billedNames.has(model)) return model;
    const family = namesOf(model).at(-1);
    const same = [...this.#billedNames].filter((name) => namesOf(name).at(-1) === family);
    return same.length === 1 ? (same[0] ?? model) : model;
  }

  #isForeign(apiKeyId: string | null): boolean {
    return this.#ownKeys !== null && apiKeyId !== null && !this.#ownKeys.has(apiKeyId);
  }

  #isWhole(model: string, tier: ServiceTier): boolean {
    return this.#whole.has(`*/${tier}`) || this.#whole.has(`${model}/${tier}`);
  }

  /** A tier without line items of its own is on those of the standard one, where it is billed at another rate. */
  #bucket(model: string | null, asked: ServiceTier, meter: MeterName | null): Bucket {
    const isOwn = asked === 'default' || this.#billedTiers.has(`${model}/${asked}`);
    const isShared =
      !isOwn && this.#billedTiers.has(`${model}/default`) && !this.#isWhole(model ?? '', asked);
    const tier = isShared ? 'default' : asked;
    const isAll = this.#whole.has(`*/${tier}`);
    const named = model === null ? null : isAll ? '' : model;
    const shown = named !== null && this.#isWhole(named, tier) ? null : meter;
    const key = `${named} ${tier} ${shown}`;
    const bucket = this.#buckets.get(key) ?? emptyBucket(named, tier, shown);
    bucket.isMixed ||= isShared;
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #takeCosts(): void {
    for (const row of costsByKey(this.#input, (key) => this.#isForeign(key))) {
      const { lineItem, amount, quantity } = row;
      if (this.#isForeign(row.apiKeyId)) {
        const subject = lineItem === null ? null : lineSubject(lineItem);
        const whose = subject?.of === 'model' ? { model: subject.model, tier: subject.tier } : {};
        const { apiKeyId } = row;
        const counted = countedIn(subject);
        if (counted !== null) this.#foreign.set(counted, (this.#foreign.get(counted) ?? 0n) + amount);
        if (amount !== 0n)
          this.#name({ kind: 'outside_gateway', ...whose, lineItem, apiKeyId, quantity, amount });
        continue;
      }
      const bucket = lineItem === null ? null : this.#bucketOfLine(lineItem);
      if (bucket === null) {
        const kind = lineItem === null ? 'unexplained' : 'unpriced_line';
        if (amount !== 0n) this.#name({ kind, lineItem, quantity, amount });
        continue;
      }
      bucket.lineItems.add(lineItem ?? '');
      bucket.billed += amount;
      bucket.costRows++;
      bucket.quantity = quantity === null || bucket.quantity === null ? null : bucket.quantity + quantity;
    }
  }

  #bucketOfLine(lineItem: string): Bucket | null {
    const subject = lineSubject(lineItem);
    if (subject === null) return null;
    if (subject.of === 'tools') return this.#toolBucket(subject.tool);
    if (subject.of === 'storage') return this.#bucket(null, 'default', 'storage_gib_days');
    const bucket = this.#bucket(subject.model, subject.tier, subject.meter);
    bucket.isMixed ||= subject.isLong;
    return bucket;
  }

  #takeCharges(row: LedgerRow): void {
    const { cost, calls, usage, price } = row;
    const whole = this.#wholeBucketOf(row);
    if (whole !== null) {
      whole.charged += cost;
      whole.calls += calls;
      for (const meter of METER_NAMES) {
        const { steps, partOf } = meterDefinition(meter);
        if (partOf === null) whole.used += (usage[meter] ?? 0) / steps;
      }
      return;
    }
    let last: Bucket | null = null;
    for (const [meter, amount] of ownAmounts(usage)) {
      if (TOOL_METERS.includes(meter) || price === null) continue;
      const part = costAt(price, meter, amount, row.isLong);
      last = this.#bucket(this.#nameOf(row.model), row.tier, billedAs(meter));
      last.charged += part;
      last.used += amount / meterDefinition(meter).steps;
      last.calls += calls;
      last.isMixed ||= row.isLong;
    }
    // Less than a pico-USD of each call was rounded up; what is more is what tools cost.
    const rest = restOf(row);
    const hasTools = TOOL_METERS.some((meter) => (usage[meter] ?? 0) > 0);
    const tools = this.#isByTool ? (toolParts(row, rest, this.#input.priceOf) ?? []) : [];
    const parts = tools.map(([tool, part]) => ({ part, bucket: this.#toolBucket(tool) }));
    if (parts.length === 0)
      parts.push({ part: rest, bucket: hasTools || last === null ? this.#toolBucket(null) : last });
    for (const { part, bucket } of parts) {
      if (part === 0n) continue;
      bucket.charged += part;
      bucket.calls += calls;
      if (bucket.model === null && bucket.meter !== null) bucket.used += usedUnits([usage], bucket.meter);
    }
  }

  /** Null: of several tools, or of one that its line does not name. */
  #toolBucket(tool: Tool | null): Bucket {
    return this.#bucket(null, 'default', (this.#isByTool ? tool : null) ?? 'web_search_calls');
  }

  #wholeBucketOf({ subject, model, tier, price }: LedgerRow): Bucket | null {
    if (subject === 'tools') return this.#toolBucket('container_sessions');
    if (subject === 'storage') return this.#bucket(null, 'default', 'storage_gib_days');
    const name = this.#nameOf(model);
    if (subject === 'training') return this.#bucket(name, 'default', 'trained_tokens');
    return price === null || this.#isWhole(name, tier) ? this.#bucket(name, tier, null) : null;
  }

  /** Names what tokens tell of a model and tier. */
  #compareTokens(group: Group): void {
    const { model, tier, ledger, usage, crossing } = group;
    const price = ledger.find((row) => row.price !== null)?.price ?? this.#input.priceOf(model, tier);
    if (price === null) return;
    const reported = tokensOf(usage.map(({ tokens }) => tokens ?? {}));
    const known = tokensOf(ledger.flatMap((row) => (row.state === 'reported' ? [row.usage] : [])));
    const beyond = new Beyond(price, reported, known);
    for (const kind of ['late_batch', 'day_boundary'] as const) {
      const rows = crossing.filter((row) => row.kind === kind);
      const { amount, quantity } = takeCrossing(beyond, rows);
      const calls = rows.reduce((sum, row) => sum + row.calls, 0);
      if (amount !== 0n) this.#name({ kind, model, tier, amount, quantity, calls });
    }
    this.#nameOpen(group, beyond);
    if (requestsBeyond(group) > 0) this.#nameOutside(group, beyond);
    for (const [meter, amount] of beyond.whole) {
      const bucket = this.#bucket(model, tier, meter);
      bucket.beyond = (bucket.beyond ?? 0n) + amount;
      bucket.reported = (bucket.reported ?? 0) + (reported.get(meter) ?? 0);
      bucket.explained += beyond.named.get(meter) ?? 0n;
    }
  }

  /** What the upstream billed of calls whose cost the ledger does not know: all tokens that no other call explains. */
  #nameOpen({ model, tier, ledger }: Group, beyond: Beyond): void {
    const open = ledger.filter(({ state }) => isOpen(state));
    if (open.length === 0) return;
    // What they can have cost: more is not theirs.
    const most = open.reduce((sum, { held, cost }) => sum + (held > cost ? held : cost), 0n);
    let billed = 0n;
    let quantity = 0;
    for (const [meter, tokens] of [...beyond.rest]) {
      if (tokens <= 0 || billed + beyond.costOf(meter, tokens) > most) continue;
      billed += beyond.take(meter, tokens);
      quantity += tokens;
    }
    for (const named of shareOpen(open, billed))
      if (named.amount !== 0n) this.#name({ model, tier, quantity, ...named });
  }

  /** More requests than the ledger has calls: others call with the gateway's key. */
  #nameOutside({ model, tier, usage }: Group, beyond: Beyond): void {
    const keys = new Set(usage.map(({ apiKeyId }) => apiKeyId));
    const [apiKeyId = null] = keys.size === 1 ? keys : [];
    let amount = 0n;
    let quantity = 0;
    for (const [meter, tokens] of [...beyond.rest]) {
      if (tokens <= 0) continue;
      amount += beyond.take(meter, tokens);
      quantity += tokens;
    }
    if (quantity > 0) this.#name({ kind: 'outside_gateway', model, tier, apiKeyId, quantity, amount });
  }

  /** Names what dollars tell of what has no tokens that could be compared. */
  #compareWhole(group: Group): void {
    const { model, tier, ledger, crossing } = group;
    const { priceOf } = this.#input;
    const bucket = this.#bucket(model, tier, null);
    let rest = this.#takeWhole(bucket, crossing);
    const open = ledger.filter(({ state }) => isOpen(state));
    if (open.length > 0) {
      const most = open.reduce((sum, { held, cost }) => sum + (held > cost ? held : cost), 0n);
      const billed = rest > 0n ? least(rest, most) : 0n;
      for (const named of shareOpen(open, billed))
        if (named.amount !== 0n) this.#name({ model: model || null, tier, ...named });
      rest -= billed;
    }
    const outside = outsideOf(group, { bucket, rest, tolerance: this.#toleranceOf(bucket), priceOf });
    if (outside.amount > 0n) this.#name({ kind: 'outside_gateway', model: model || null, tier, ...outside });
    rest -= outside.amount;
    bucket.explained = bucket.billed - bucket.charged - rest;
  }

  /** Names what reports of tools and of storage, which know no models, tell of their line items. */
  #compareCounted(meter: Counted, usage: readonly UsageRow[]): void {
    const isStorage = meter === 'storage_gib_days';
    const price = priceOfCounted(meter, this.#input.priceOf);
    if (price === null || !(this.#isByTool || isStorage)) return;
    const bucket = isStorage ? this.#bucket(null, 'default', meter) : this.#toolBucket(meter);
    const over = crossingOf(this.#input.crossing, meter, price);
    const rest = this.#takeWhole(bucket, over);
    const foreign = this.#foreign.get(meter) ?? 0n;
    const of = { bucket, rest, tolerance: this.#toleranceOf(bucket), price, meter, foreign, over };
    const outside = countedOutside({ ledger: this.#input.ledger, usage }, of);
    if (outside.amount === 0n) return;
    bucket.explained += outside.amount;
    this.#name({ kind: 'outside_gateway', lineItem: [...bucket.lineItems].join('; ') || null, ...outside });
  }

  /** What roundings can add up to. */
  #toleranceOf({ costRows, calls, billed }: Bucket): PicoUsd {
    return this.#unit * BigInt(costRows) + BigInt(calls) + (abs(billed) >> 50n);
  }

  /** Training that ended on another day than it began is billed when it ends. */
  #compareTraining(): void {
    const rows = Map.groupBy(
      this.#input.crossing.filter(({ isTraining }) => isTraining),
      ({ model }) => this.#nameOf(model),
    );
    for (const [model, jobs] of rows) {
      const bucket = this.#bucket(model, 'default', 'trained_tokens');
      if (bucket.meter !== null) this.#takeWhole(bucket, jobs);
    }
  }

  /** Names what jobs and calls of other days explain in dollars; returns what is left. */
  #takeWhole(bucket: Bucket, crossing: readonly Crossing[]): PicoUsd {
    const { model, tier } = bucket;
    let rest = bucket.billed - bucket.charged - bucket.explained;
    if (abs(rest) <= this.#toleranceOf(bucket)) return rest;
    for (const kind of ['late_batch', 'day_boundary'] as const) {
      const rows = crossing.filter((row) => row.kind === kind && (row.direction === 'in') === rest > 0n);
      const most = rows.reduce((sum, { cost }) => sum + cost, 0n);
      const amount = rest > 0n ? least(rest, most) : -least(-rest, most);
      if (amount === 0n) continue;
      const calls = rows.reduce((sum, row) => sum + row.calls, 0);
      const lineItem = model === null ? [...bucket.lineItems].join('; ') || bucket.meter : null;
      this.#name({ kind, model: model || null, tier, lineItem, amount, calls });
      bucket.explained += amount;
      rest -= amount;
    }
    return rest;
  }

  /** Names what is left of a line item: a price that changed, rounding, or nothing that is known. */
  #compareDollars(bucket: Bucket): void {
    const { model, tier, meter, billed, charged, explained, beyond, calls } = bucket;
    const rest = billed - charged - explained;
    const tolerance = this.#toleranceOf(bucket);
    if (abs(rest) <= tolerance) {
      this.#rounding += rest;
      return;
    }
    const lineItem = [...bucket.lineItems].join('; ') || null;
    const about = { model: model || null, tier, lineItem };
    if (isUnpriced(bucket, this.#input.priceOf)) {
      this.#name({ kind: 'unpriced_line', ...about, quantity: bucket.quantity, amount: rest });
      return;
    }
    const ofPrice = billed - charged - (beyond ?? 0n);
    const quantity = bucket.reported ?? bucket.quantity;
    const isSteady = quantity !== null && (beyond !== null || quantity === bucket.used);
    if (isSteady && abs(ofPrice) > tolerance && hasNewPrice(bucket, quantity, tolerance)) {
      this.#name({ kind: 'price_changed', ...about, quantity, amount: ofPrice, calls });
      if (rest !== ofPrice) this.#name({ kind: 'unexplained', ...about, amount: rest - ofPrice });
    } else
      this.#name({ kind: 'unexplained', ...about, quantity: meter === null ? null : quantity, amount: rest });
  }
}
