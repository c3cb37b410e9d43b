/** The tables of the bench, and its goals. */
import { describe, expect, it } from 'vitest';
import { CASES } from '../../bench/cases.ts';
import { CONTESTANTS, type ContestantName } from '../../bench/contestants.ts';
import { GOALS, goalsReached } from '../../bench/goals.ts';
import type { Cell } from '../../bench/measure.ts';
import { ratioOf, report, summaryOf } from '../../bench/report.ts';
import { percentiles, summarize } from '../../bench/statistics.ts';

function cells(contestant: ContestantName, values: number[]): Cell[] {
  return values.map((cpuUs, round) => ({ contestant, case: 'json-1', round, numbers: { cpuUs } }));
}

/** In every round the machine is another one, and this build takes half of the earlier one's CPU. */
const RUN = [...cells('tollgate', [100, 300, 50]), ...cells('previous', [200, 600, 100])];

describe('statistics', () => {
  it('take the middle of the rounds, and the mean of the middle two', () => {
    expect(summarize([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5 });
    expect(summarize([4, 1, 2, 9])).toEqual({ median: 3, min: 1, max: 9 });
    expect(summarize([7])).toEqual({ median: 7, min: 7, max: 7 });
  });

  it('take percentiles of unsorted values', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentiles(values)).toEqual({ p50Us: 51, p99Us: 100 });
  });
});

describe('a ratio', () => {
  it('is taken inside each round, not of the medians', () => {
    const shuffled = [...cells('tollgate', [100, 300, 50]), ...cells('previous', [100, 100, 100])];
    expect(ratioOf(shuffled, 'json-1', ['tollgate', 'previous'], 'cpuUs')).toEqual({
      median: 1,
      min: 0.5,
      max: 3,
    });
    expect(ratioOf(RUN, 'json-1', ['tollgate', 'previous'], 'cpuUs')).toEqual({
      median: 0.5,
      min: 0.5,
      max: 0.5,
    });
  });

  it('is none where one of the two was not measured, or measured nothing', () => {
    expect(ratioOf(RUN, 'json-1', ['tollgate', 'bare'], 'cpuUs')).toBeNull();
    expect(ratioOf(RUN, 'json-1', ['tollgate', 'previous'], 'databaseCpuUs')).toBeNull();
    const zero = [...cells('tollgate', [100]), ...cells('bare', [0])];
    expect(ratioOf(zero, 'json-1', ['tollgate', 'bare'], 'cpuUs')).toBeNull();
    expect(summaryOf(RUN, 'json-16', 'tollgate', 'cpuUs')).toBeNull();
  });
});

describe('the report', () => {
  it('has a table a case, without columns that have no number', () => {
    expect(report(RUN, ['tollgate', 'previous']).split('\n')).toEqual([
      'json-1',
      'gateway     CPU µs/call        × previous',
      'tollgate   100 (50–300)  0.50 (0.50–0.50)',
      'previous  200 (100–600)',
    ]);
  });

  it('compares no gateway with a newer one', () => {
    const text = report(
      [...RUN, ...cells('bare', [50, 100, 20]), ...cells('workers', [110, 330, 55])],
      ['bare', 'tollgate', 'previous', 'workers'],
    );
    const line = (name: string) => text.split('\n').find((other) => other.startsWith(name));
    expect(line('bare')).toMatch(/^bare +50 \(20–100\)$/);
    expect(line('previous')).toMatch(/^previous +200 \(100–600\) +5\.00 \(4\.00–6\.00\)$/);
    expect(line('workers')).toMatch(/1\.10 \(1\.10–1\.10\)$/);
  });
});

describe('goals', () => {
  it('name cases and gateways that there are', () => {
    const cases = CASES.map(({ name }) => name);
    const gateways: readonly string[] = CONTESTANTS;
    for (const { case: name, contestant, over } of GOALS) {
      expect(cases).toContain(name);
      expect(gateways).toContain(contestant);
      if (over !== null) expect(gateways).toContain(over);
    }
  });

  it('are held against the median, and left out where nothing was measured', () => {
    const goal = {
      case: 'json-1',
      measure: 'cpuUs',
      what: 'CPU',
      contestant: 'tollgate',
      over: 'previous',
    } as const;
    expect(goalsReached(RUN, [{ ...goal, most: 0.5 }])).toMatch(/0\.50 × previous +≤ 0\.50 +met$/);
    expect(goalsReached(RUN, [{ ...goal, most: 0.49 }])).toMatch(/missed$/);
    expect(goalsReached(RUN, [{ ...goal, over: null, most: 100 }])).toMatch(/100\.00 +≤ 100\.00 +met$/);
    expect(goalsReached(RUN, [{ ...goal, over: null, most: 99 }])).toMatch(/missed$/);
    expect(goalsReached(RUN, [{ ...goal, case: 'json-64', most: 1 }])).toBe('');
  });
});
