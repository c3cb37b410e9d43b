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
 * from requests that it never saw. Then by line item, in dollars: what tokens do not explain is a price that changed, where all
 * of the line's tokens have another published rate, or a rounding of the report.
 */
import type { Crossing, DayInput, Difference, LedgerRow, Reconciled } from './differences.ts';
import { lineSubject } from './line-items.ts';
import type { PicoUsd } from './money.ts';
import { namesOf, type ServiceTier } from './price.ts';
import { METER_NAMES, type MeterName, meterDefinition } from './quantities.ts';
import {
  abs,
  Beyond,
  type Bucket,
  billedAs,
  costAt,
  costsByKey,
  emptyBucket,
  type Group,
  isOpen,
  least,
  namesBilled,
  ownAmounts,
  ownKeysOf,
  publishedRate,
  requestsBeyond,
  shareOpen,
  TOOL_METERS,
  takeCrossing,
  tokensOf,
  unitOf,
} from './reconciliation-evidence.ts';

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
  readonly #whole = new Set<string>();
  readonly #billedNames: ReadonlySet<string>;
  /** Models and tiers with a line item of their own. */
  readonly #billedTiers = new Set<string>();
  /** Half a unit of the last digit may be missing, or a whole one. */
  readonly #unit: PicoUsd;
  #rounding = 0n;

  constructor(input: DayInput) {
    this.#input = input;
    this.#billedNames = namesBilled(input);
    this.#ownKeys = input.ownKeys ?? ownKeysOf(input, (model) => this.#nameOf(model));
    this.#unit = unitOf(input.costs);
  }

  explain(): Difference[] {
    this.#findWhole();
    this.#takeCosts();
    for (const row of this.#input.ledger) {
      const isText = row.subject === 'text' || row.subject === 'whole';
      if (!isText || !isOpen(row.state)) this.#takeCharges(row);
    }
    for (const group of this.#groups()) {
      if (this.#isWhole(group.model, group.tier)) this.#compareWhole(group);
      else this.#compareTokens(group);
    }
    this.#compareTraining();
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

  /** Where one side does not tell meters apart, or the ledger not even models. */
  #findWhole(): void {
    for (const { model, tier, subject, price, state, cost } of this.#input.ledger) {
      if ((subject !== 'text' && subject !== 'whole') || cost === 0n) continue;
      const isUnpriced = price === null && state !== 'voided';
      if (model === '') this.#whole.add(`*/${tier}`);
      else if (subject === 'whole' || isUnpriced) this.#whole.add(`${this.#nameOf(model)}/${tier}`);
    }
    for (const { lineItem } of this.#input.costs) {
      const subject = lineItem === null ? null : lineSubject(lineItem);
      if (subject?.of === 'model') this.#billedTiers.add(`${subject.model}/${subject.tier}`);
      if (subject?.of === 'model' && subject.meter === null)
        this.#whole.add(`${subject.model}/${subject.tier}`);
    }
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
    if (subject.of === 'tools') return this.#bucket(null, 'default', 'web_search_calls');
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
    let rest = cost;
    let last: Bucket | null = null;
    for (const [meter, amount] of ownAmounts(usage)) {
      if (TOOL_METERS.includes(meter) || price === null) continue;
      const part = costAt(price, meter, amount, row.isLong);
      last = this.#bucket(this.#nameOf(row.model), row.tier, billedAs(meter));
      last.charged += part;
      last.used += amount / meterDefinition(meter).steps;
      last.calls += calls;
      last.isMixed ||= row.isLong;
      rest -= part;
    }
    // Less than a pico-USD of each call was rounded up; what is more is what tools cost.
    const hasTools = TOOL_METERS.some((meter) => (usage[meter] ?? 0) > 0);
    const target = hasTools || last === null ? this.#bucket(null, 'default', 'web_search_calls') : last;
    if (rest === 0n) return;
    target.charged += rest;
    target.calls += calls;
  }

  #wholeBucketOf({ subject, model, tier, price }: LedgerRow): Bucket | null {
    if (subject === 'tools') return this.#bucket(null, 'default', 'web_search_calls');
    if (subject === 'storage') return this.#bucket(null, 'default', 'storage_gib_days');
    const name = this.#nameOf(model);
    if (subject === 'training') return this.#bucket(name, 'default', 'trained_tokens');
    return price === null || this.#isWhole(name, tier) ? this.#bucket(name, tier, null) : null;
  }

  #groups(): Group[] {
    const groups = new Map<string, Group>();
    const groupOf = (model: string, tier: ServiceTier): Group => {
      const name = this.#whole.has(`*/${tier}`) ? '' : model;
      const key = `${name}/${tier}`;
      const group = groups.get(key) ?? { model: name, tier, ledger: [], usage: [], crossing: [] };
      groups.set(key, group);
      return group;
    };
    for (const row of this.#input.ledger)
      if (row.subject === 'text' || row.subject === 'whole')
        groupOf(this.#nameOf(row.model), row.tier).ledger.push(row);
    for (const row of this.#input.usage)
      if (row.model !== null && row.tokens !== null && !this.#isForeign(row.apiKeyId))
        groupOf(row.model, row.tier ?? 'default').usage.push(row);
    for (const row of this.#input.crossing)
      if (!row.isTraining) groupOf(this.#nameOf(row.model), row.tier).crossing.push(row);
    return [...groups.values()];
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
    bucket.explained = bucket.billed - bucket.charged - rest;
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
    for (const kind of ['late_batch', 'day_boundary'] as const) {
      const rows = crossing.filter((row) => row.kind === kind && (row.direction === 'in') === rest > 0n);
      const most = rows.reduce((sum, { cost }) => sum + cost, 0n);
      const amount = rest > 0n ? least(rest, most) : -least(-rest, most);
      if (amount === 0n) continue;
      const calls = rows.reduce((sum, row) => sum + row.calls, 0);
      this.#name({ kind, model: model || null, tier, amount, calls });
      bucket.explained += amount;
      rest -= amount;
    }
    return rest;
  }

  /** Names what is left of a line item: a price that changed, rounding, or nothing that is known. */
  #compareDollars(bucket: Bucket): void {
    const { model, tier, meter, billed, charged, explained, beyond, calls } = bucket;
    const rest = billed - charged - explained;
    const tolerance = this.#unit * BigInt(bucket.costRows) + BigInt(calls) + (abs(billed) >> 50n);
    if (abs(rest) <= tolerance) {
      this.#rounding += rest;
      return;
    }
    const lineItem = [...bucket.lineItems].join('; ') || null;
    const about = { model: model || null, tier, lineItem };
    if (this.#isUnpriced(bucket)) {
      this.#name({ kind: 'unpriced_line', ...about, quantity: bucket.quantity, amount: rest });
      return;
    }
    const ofPrice = billed - charged - (beyond ?? 0n);
    const quantity = bucket.reported ?? bucket.quantity;
    const isSteady = beyond !== null || quantity === bucket.used;
    if (
      isSteady &&
      abs(ofPrice) > tolerance &&
      quantity !== null &&
      this.#hasNewPrice(bucket, quantity, tolerance)
    ) {
      this.#name({ kind: 'price_changed', ...about, quantity, amount: ofPrice, calls });
      if (rest !== ofPrice) this.#name({ kind: 'unexplained', ...about, amount: rest - ofPrice });
    } else
      this.#name({ kind: 'unexplained', ...about, quantity: meter === null ? null : quantity, amount: rest });
  }

  #isUnpriced({ model, tier, charged, calls }: Bucket): boolean {
    return (
      model !== null &&
      model !== '' &&
      charged === 0n &&
      calls === 0 &&
      this.#input.priceOf(model, tier) === null
    );
  }

  #hasNewPrice(
    { isMixed, billed, charged, used, meter, lineItems, costRows, calls }: Bucket,
    quantity: number,
    tolerance: PicoUsd,
  ) {
    if (isMixed || lineItems.size !== 1 || used === 0) return false;
    const [name = ''] = lineItems;
    const subject = lineSubject(name);
    const unit = meter ?? (subject?.of === 'model' ? subject.meter : null);
    if (unit === null) return false;
    // A report that happens to have few decimals may be exact all the same.
    const exact = BigInt(costRows + calls) + (abs(billed) >> 50n);
    return [exact, tolerance].some(
      (most) => publishedRate(unit, { billed, quantity, tolerance: most }, { charged, used }) !== null,
    );
  }
}
