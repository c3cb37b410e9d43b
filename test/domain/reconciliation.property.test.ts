/**
 * A simulated truth of a day: calls through the gateway and beside it, known or not, prices that may have changed, and a
 * dollar that nothing explains. Whatever the truth was, each cause is named with its dollars.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type {
  CostRow,
  Crossing,
  DayInput,
  Difference,
  DifferenceKind,
  LedgerRow,
  UsageRow,
} from '../../src/domain/differences.ts';
import { costOf, type Price } from '../../src/domain/price.ts';
import type { MeterName } from '../../src/domain/quantities.ts';
import { reconcileDay } from '../../src/domain/reconciliation.ts';
import { seed } from './fixtures.ts';

const [OWN, FOREIGN] = ['key_own', 'key_foreign'];
const USD = 10n ** 12n;
const MODELS = { 'gpt-4o-mini': 'gpt-4o-mini-2024-07-18', 'gpt-4o': 'gpt-4o-2024-08-06' };
type Model = keyof typeof MODELS;
type Tier = 'default' | 'batch';

const priceOf = (model: string, tier: string): Price =>
  seed.prices.find((price) => price.tier === tier && price.id.startsWith(`${model.replace(/-20.*/, '')}/`))!;

type CallKind =
  | 'known'
  | 'foreign'
  | 'unknown_outcome'
  | 'estimated_outcome'
  | 'disconnect'
  | 'late_in'
  | 'late_out';

interface Call {
  kind: CallKind;
  model: Model;
  tier: Tier;
  /** By the upstream. */
  served: boolean;
  uncached: number;
  cached: number;
  output: number;
}

const usageOf = ({ uncached, cached, output }: Call) => ({
  input_tokens: uncached + cached,
  cached_input_tokens: cached,
  cache_write_tokens: 0,
  output_tokens: output,
  reasoning_tokens: 0,
});
const isBilled = ({ kind, served }: Call) =>
  kind === 'known' || kind === 'foreign' || kind === 'late_in' || (kind !== 'late_out' && served);
const OPEN = ['unknown_outcome', 'estimated_outcome', 'disconnect'];
const HELD = 5n * USD;

const LINES: [string, MeterName, (call: Call) => number][] = [
  ['input', 'input_tokens', ({ uncached }) => uncached],
  ['cached input', 'cached_input_tokens', ({ cached }) => cached],
  ['output', 'output_tokens', ({ output }) => output],
];

interface Planted {
  /** Output costs a multiple of 5 % more. */
  change: { model: Model; twentieths: number } | null;
  dollar: { model: Model; line: string; picoUsd: bigint } | null;
}

function rateOf(model: Model, tier: Tier, meter: MeterName, { change }: Planted): bigint {
  const { factors, denominator } = priceOf(model, tier).short;
  const rate = factors.get(meter)! / denominator;
  if (change?.model !== model || tier !== 'default' || meter !== 'output_tokens') return rate;
  return rate + (rate * BigInt(change.twentieths)) / 20n;
}

function dayOf(calls: readonly Call[], planted: Planted, tellsKeys: boolean): DayInput {
  const costs: CostRow[] = [];
  const usage: UsageRow[] = [];
  const ledger: LedgerRow[] = [];
  const crossing: Crossing[] = [];
  for (const call of calls) {
    const { kind, model, tier } = call;
    const apiKeyId = kind === 'foreign' ? FOREIGN : OWN;
    const price = priceOf(model, tier);
    const tokens = usageOf(call);
    if (isBilled(call)) {
      usage.push({
        report: 'completions',
        apiKeyId,
        model: MODELS[model],
        tier,
        requests: 1,
        tokens,
        units: 0,
      });
      for (const [name, meter, read] of LINES) {
        const quantity = read(call);
        const amount = BigInt(quantity) * rateOf(model, tier, meter, planted);
        const lineItem = `${tier === 'batch' ? 'batch | ' : ''}${MODELS[model]}, ${name}`;
        costs.push({ lineItem, projectId: 'proj', apiKeyId, amount, decimals: 12, quantity });
      }
    }
    const isOpen = OPEN.includes(kind);
    if (kind !== 'foreign' && kind !== 'late_in') {
      ledger.push({
        model: isOpen ? model : MODELS[model],
        tier,
        subject: 'text',
        state: isOpen ? (kind as LedgerRow['state']) : 'reported',
        price,
        isLong: false,
        calls: 1,
        usage: isOpen ? {} : tokens,
        cost: isOpen ? HELD : costOf(tokens, price)!,
        held: HELD,
        corrected: 0n,
        correctedCalls: 0,
      });
    }
    if (kind === 'late_in' || kind === 'late_out') {
      const direction = kind === 'late_in' ? 'in' : 'out';
      crossing.push({
        kind: 'late_batch',
        isTraining: false,
        direction,
        model,
        tier,
        calls: 1,
        usage: tokens,
        cost: costOf(tokens, price)!,
      });
    }
  }
  if (planted.dollar !== null) {
    const { model, line, picoUsd } = planted.dollar;
    const lineItem = `${MODELS[model]}, ${line}`;
    costs.push({ lineItem, projectId: 'proj', apiKeyId: OWN, amount: picoUsd, decimals: 12, quantity: 0 });
  }
  return {
    ledger,
    crossing,
    usage,
    costs: byLine(tellsKeys ? costs : costs.map((row) => ({ ...row, apiKeyId: null }))),
    ownKeys: new Set([OWN]),
    priceOf,
  };
}

function byLine(rows: readonly CostRow[]): CostRow[] {
  return [...Map.groupBy(rows, ({ lineItem, apiKeyId }) => `${lineItem} ${apiKeyId}`).values()].map(
    (group) => ({
      ...group[0]!,
      amount: group.reduce((sum, { amount }) => sum + amount, 0n),
      quantity: group.reduce((sum, { quantity }) => sum + (quantity ?? 0), 0),
    }),
  );
}

const sumOf = (rows: readonly Difference[], kind: DifferenceKind) =>
  rows.filter((row) => row.kind === kind).reduce((sum, { amount }) => sum + amount, 0n);

const tokens = {
  uncached: fc.integer({ min: 50, max: 90_000 }),
  cached: fc.nat(5_000),
  output: fc.integer({ min: 30, max: 9_000 }),
};
const model = fc.constantFrom<Model>('gpt-4o-mini', 'gpt-4o');
const call = fc.oneof(
  fc.record<Call>({
    ...{
      kind: fc.constantFrom<CallKind>('known', 'known', 'foreign', 'unknown_outcome'),
      model,
      tier: fc.constant<Tier>('default'),
    },
    ...{ served: fc.boolean(), ...tokens },
  }),
  fc.record<Call>({
    ...{
      kind: fc.constantFrom<CallKind>('known', 'late_in', 'late_out'),
      model,
      tier: fc.constant<Tier>('batch'),
    },
    ...{ served: fc.constant(true), ...tokens },
  }),
);
const WITNESSES: Call[] = (['gpt-4o-mini', 'gpt-4o'] as const).flatMap((model) =>
  (['default', 'batch'] as const).map(
    (tier): Call => ({
      ...{ kind: 'known', model, tier, served: true, uncached: 77_777, cached: 4_321, output: 1_237 },
    }),
  ),
);
const planted = fc.record<Planted>({
  change: fc.option(fc.record({ model, twentieths: fc.integer({ min: 1, max: 40 }) })),
  dollar: fc.option(
    fc.record({
      model,
      line: fc.constantFrom('input', 'cached input'),
      picoUsd: fc.bigInt(1_000_001n, 3n * USD),
    }),
  ),
});

describe('a day', () => {
  test('is explained to the last digit, each cause with its dollars, and only the unknown cause is unexplained', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 20 }), planted, (some, plan) => {
        const calls = [...WITNESSES, ...some];
        const { billed, charged, differences, unexplained } = reconcileDay(dayOf(calls, plan, true));
        expect(differences.reduce((sum, { amount }) => sum + amount, 0n)).toBe(billed - charged);
        expect(new Set(differences.map(({ id }) => id)).size).toBe(differences.length);
        const costAt = (kinds: CallKind[], prices: Planted) =>
          calls
            .filter((each) => kinds.includes(each.kind) && isBilled(each))
            .flatMap((each) =>
              LINES.map(
                ([, meter, read]) => BigInt(read(each)) * rateOf(each.model, each.tier, meter, prices),
              ),
            )
            .reduce((sum, cost) => sum + cost, 0n);
        const asWas: Planted = { change: null, dollar: null };
        expect(sumOf(differences, 'outside_gateway')).toBe(costAt(['foreign'], plan));
        const open = calls.filter(({ kind }) => kind === 'unknown_outcome');
        expect(sumOf(differences, 'unknown_outcome')).toBe(
          costAt(['unknown_outcome'], asWas) - BigInt(open.length) * HELD,
        );
        const own: CallKind[] = ['known', 'unknown_outcome', 'late_in'];
        expect(sumOf(differences, 'price_changed')).toBe(costAt(own, plan) - costAt(own, asWas));
        expect(unexplained).toBe(plan.dollar?.picoUsd ?? 0n);
        expect(sumOf(differences, 'rounding')).toBe(0n);
      }),
      { numRuns: 300 },
    );
  });

  test('has late batches named for no more than crossed midnight', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 12 }), (some) => {
        const calls = [...WITNESSES, ...some.filter(({ tier }) => tier === 'batch')];
        const { differences, billed, charged } = reconcileDay(
          dayOf(calls, { change: null, dollar: null }, true),
        );
        expect(differences.every(({ kind }) => kind === 'late_batch')).toBe(true);
        expect(sumOf(differences, 'late_batch')).toBe(billed - charged);
      }),
      { numRuns: 100 },
    );
  });

  test('tells the keys of others apart by their usage where the costs do not', () => {
    const foreign: Call = { ...WITNESSES[0]!, kind: 'foreign', uncached: 10_007 };
    const { differences } = reconcileDay(
      dayOf([...WITNESSES, foreign], { change: null, dollar: null }, false),
    );
    expect(new Set(differences.map(({ kind, apiKeyId }) => `${kind} ${apiKeyId}`))).toEqual(
      new Set([`outside_gateway ${FOREIGN}`]),
    );
    expect(sumOf(differences, 'outside_gateway')).toBe(
      costOf(usageOf(foreign), priceOf('gpt-4o-mini', 'default')),
    );
  });

  test("finds the gateway's key by its usage where nothing says which it is", () => {
    const foreign: Call = { ...WITNESSES[0]!, kind: 'foreign', uncached: 10_007 };
    const day = { ...dayOf([...WITNESSES, foreign], { change: null, dollar: null }, true), ownKeys: null };
    expect(reconcileDay(day).differences.map(({ kind, apiKeyId }) => `${kind} ${apiKeyId}`)).toContain(
      `outside_gateway ${FOREIGN}`,
    );
  });

  test("has requests with the gateway's own key beside it outside, by their number", () => {
    const day = dayOf(WITNESSES, { change: null, dollar: null }, true);
    const beside = dayOf(
      [{ ...WITNESSES[0]!, uncached: 999, cached: 0, output: 111 }],
      { change: null, dollar: null },
      true,
    );
    const { differences, unexplained } = reconcileDay({
      ...day,
      usage: [...day.usage, ...beside.usage],
      costs: byLine([...day.costs, ...beside.costs]),
    });
    expect(differences.map(({ kind, apiKeyId, quantity }) => [kind, apiKeyId, quantity])).toEqual([
      ['outside_gateway', OWN, 1_110],
    ]);
    expect(unexplained).toBe(0n);
  });

  test('names two open states of one model together, unless corrections say what one of them cost', () => {
    const calls: Call[] = [
      ...WITNESSES,
      { ...WITNESSES[0]!, kind: 'disconnect', uncached: 1_000 },
      { ...WITNESSES[0]!, kind: 'unknown_outcome', uncached: 2_000 },
    ];
    const day = dayOf(calls, { change: null, dollar: null }, true);
    const [together] = reconcileDay(day).differences;
    expect([together?.kind, together?.with]).toEqual(['disconnect', ['unknown_outcome']]);
    const cost = (at: number) => costOf(usageOf(calls[at]!), priceOf('gpt-4o-mini', 'default'))!;
    const ledger = day.ledger.map((row) =>
      row.state === 'disconnect' ? { ...row, corrected: cost(4) - HELD, correctedCalls: 1 } : row,
    );
    const apart = reconcileDay({ ...day, ledger }).differences;
    expect(apart.map(({ kind, amount, with: others }) => [kind, amount, others])).toEqual([
      ['disconnect', cost(4) - HELD, []],
      ['unknown_outcome', cost(5) - HELD, []],
    ]);
  });

  test('has a line that no price is of as such, and rounding as rounding', () => {
    const day = dayOf(WITNESSES, { change: null, dollar: null }, true);
    const rounded = day.costs.map((row) => ({
      ...row,
      amount: ((row.amount + 500_000n) / 1_000_000n) * 1_000_000n,
      decimals: 6,
    }));
    const odd = {
      lineItem: 'Data residency uplift',
      projectId: null,
      apiKeyId: null,
      amount: 3n * USD,
      decimals: 0,
      quantity: null,
    };
    const { differences, billed, charged } = reconcileDay({ ...day, costs: [...rounded, odd] });
    expect(differences.map(({ kind, lineItem }) => [kind, lineItem])).toEqual([
      ['unpriced_line', 'Data residency uplift'],
      ['rounding', null],
    ]);
    expect(differences.reduce((sum, { amount }) => sum + amount, 0n)).toBe(billed - charged);
  });

  test('is the same where the costs have no lines of their own for batches, and what costs nothing is beside the point', () => {
    const day = dayOf(WITNESSES, { change: null, dollar: null }, true);
    const costs = byLine(
      day.costs.map((row) => ({ ...row, lineItem: row.lineItem!.replace('batch | ', '') })),
    );
    const [first] = day.ledger;
    const free: LedgerRow = {
      ...first!,
      subject: 'whole',
      model: 'gpt-4o',
      price: null,
      cost: 0n,
      held: 0n,
      usage: {},
    };
    const files: LedgerRow = { ...free, model: '' };
    expect(reconcileDay({ ...day, costs, ledger: [...day.ledger, free, files] }).differences).toEqual([]);
    const dollar = { ...costs[0]!, amount: costs[0]!.amount + USD };
    const { differences } = reconcileDay({ ...day, costs: [dollar, ...costs.slice(1)] });
    expect(differences.map(({ kind, amount }) => [kind, amount])).toEqual([['unexplained', USD]]);
  });

  test('has training that ended on another day as such', () => {
    const day = dayOf(WITNESSES, { change: null, dollar: null }, true);
    const row: LedgerRow = {
      ...day.ledger[0]!,
      subject: 'training',
      usage: { trained_tokens: 1_000 },
      cost: 3n * USD,
    };
    const crossing: Crossing = {
      ...{
        kind: 'day_boundary',
        isTraining: true,
        direction: 'out',
        model: row.model,
        tier: 'default',
        calls: 1,
      },
      ...{ usage: { trained_tokens: 1_000 }, cost: 3n * USD },
    };
    const out = reconcileDay({ ...day, ledger: [...day.ledger, row], crossing: [crossing] });
    expect(out.differences.map(({ kind, amount }) => [kind, amount])).toEqual([['day_boundary', -3n * USD]]);
    const lineItem = `${row.model}, training`;
    const line = { lineItem, projectId: null, apiKeyId: OWN, amount: 3n * USD, decimals: 0, quantity: null };
    const here = reconcileDay({
      ...day,
      costs: [...day.costs, line],
      crossing: [{ ...crossing, direction: 'in' }],
    });
    expect(here.differences.map(({ kind, amount }) => [kind, amount])).toEqual([['day_boundary', 3n * USD]]);
    expect(
      reconcileDay({ ...day, costs: [...day.costs, line], ledger: [...day.ledger, row] }).differences,
    ).toEqual([]);
  });

  test('has no changed price where the amount of tokens is too small to tell', () => {
    const day = dayOf(WITNESSES, { change: null, dollar: null }, true);
    const [first, ...others] = day.costs;
    const more = { ...first!, amount: first!.amount + 12_345_678n };
    const { differences } = reconcileDay({ ...day, costs: [more, ...others] });
    expect(differences.map(({ kind, amount }) => [kind, amount])).toEqual([['unexplained', 12_345_678n]]);
  });
});
