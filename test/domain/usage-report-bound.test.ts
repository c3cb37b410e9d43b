import { describe, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { boundUnknownCost, minutesOf } from '../../src/domain/reconcile.ts';
import {
  type KnownUsage,
  type ReportedQuantities,
  type ReportedUsage,
  UsageReportBound,
} from '../../src/domain/usage-report-bound.ts';
import { seed } from './fixtures.ts';

const counts = (inputTokens: number, outputTokens = 0): ReportedQuantities => ({
  input_tokens: inputTokens,
  uncached_input_tokens: inputTokens,
  cached_input_tokens: 0,
  cache_write_tokens: 0,
  output_tokens: outputTokens,
});
const SPAN = { firstMinute: 100, lastMinute: 109 };
const reported = (
  minute: number,
  usage: ReportedQuantities,
  model: string | null = 'gpt-4o-2024-08-06',
): ReportedUsage => ({
  minute,
  model,
  usage,
});
const known = (
  firstMinute: number,
  lastMinute: number,
  usage: ReportedQuantities,
  model = 'gpt-4o',
): KnownUsage => ({
  firstMinute,
  lastMinute,
  model,
  responseModel: `${model}-2024-08-06`,
  usage,
});
const life = (firstMinute: number, lastMinute: number) => ({ firstMinute, lastMinute });
const of = (rows: ReportedUsage[], calls: KnownUsage[]) =>
  new UsageReportBound({ span: SPAN, reported: rows, known: calls });

describe('what a report leaves unexplained', () => {
  test('is nothing when known calls explain all of it', () => {
    const evidence = of([reported(104, counts(10, 5))], [known(104, 104, counts(10, 5))]);
    expect(evidence.unexplained('gpt-4o', life(103, 105))).toEqual(counts(0));
  });

  test('still counts a known call that may have been reported outside of the life', () => {
    const evidence = of(
      [reported(104, counts(10)), reported(108, counts(10))],
      [known(104, 106, counts(10)), known(108, 108, counts(10))],
    );
    // Around 104 to 105 alone the first call may have been reported at 106; around 104 to 106 it is accounted for.
    expect(evidence.unexplained('gpt-4o', life(104, 105))).toEqual(counts(0));
    const busy = of([reported(104, counts(10)), reported(106, counts(3))], [known(104, 106, counts(10))]);
    expect(busy.unexplained('gpt-4o', life(104, 105))).toEqual(counts(3));
  });

  test('leaves out other models once responses have named the model', () => {
    const rows = [reported(104, counts(10)), reported(104, counts(999), 'o3-2025-04-16')];
    const calls = [known(104, 104, counts(10))];
    expect(of(rows, calls).unexplained('gpt-4o', life(104, 104))).toEqual(counts(999));
    const o3 = { ...known(104, 104, counts(1), 'o3'), responseModel: 'o3-2025-04-16' };
    expect(of(rows, [...calls, o3]).unexplained('gpt-4o', life(104, 104))).toEqual(counts(0));
  });

  test('is no evidence outside of what was read, without a known call, or with less than the known calls', () => {
    const evidence = of([reported(104, counts(10))], [known(104, 104, counts(10))]);
    expect(evidence.unexplained('gpt-4o', life(99, 104))).toBe('outside');
    expect(evidence.unexplained('gpt-4o', life(104, 110))).toBe('outside');
    expect(of([reported(104, counts(10))], []).unexplained('gpt-4o', life(104, 104))).toBe('unwitnessed');
    expect(
      of([reported(104, counts(10))], [known(104, 104, counts(11))]).unexplained('gpt-4o', life(101, 101)),
    ).toBe('contradicted');
  });

  test('of minutes that were not read throws', () => {
    expect(() => of([reported(110, counts(1))], [])).toThrow(RangeError);
    expect(() => of([], [known(99, 101, counts(1))])).toThrow(RangeError);
  });
});

describe('the verdict', () => {
  const price = seed.prices.find(({ id }) => id.startsWith('gpt-4o/') && id.includes('/default/'))!;
  const dearer = seed.prices.find(({ id }) => id.startsWith('gpt-4o/') && id.includes('/priority/'))!;
  const evidence = of([reported(104, counts(1_010))], [known(104, 104, counts(10))]);
  const call = { model: 'gpt-4o', charged: usd('1'), prices: [price] };

  test('prices what is unexplained, and never above the charge', () => {
    expect(boundUnknownCost(call, evidence, life(104, 104))).toEqual({ kept: usd('0.0025') });
    expect(boundUnknownCost({ ...call, charged: usd('0.001') }, evidence, life(104, 104))).toEqual({
      kept: usd('0.001'),
    });
  });

  test('takes the dearest price that may have been billed', () => {
    const verdict = boundUnknownCost({ ...call, prices: [price, dearer] }, evidence, life(104, 104));
    expect(verdict).toEqual({ kept: usd('0.00425') });
  });

  test('is withheld without a price', () => {
    expect(boundUnknownCost({ ...call, prices: [] }, evidence, life(104, 104))).toEqual({
      withheld: 'unpriced',
    });
  });

  test('allows a minute for clocks that differ, on both sides of a life', () => {
    expect(minutesOf(600_000, 659_999)).toEqual(life(9, 11));
    expect(minutesOf(599_999, 660_000)).toEqual(life(8, 12));
  });
});
