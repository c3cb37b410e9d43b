import fc from 'fast-check';
import { expect, test } from 'vitest';
import { grantAllOrNone } from '../../src/domain/budget.ts';
import { type CounterState, unlent } from '../../src/domain/quantities.ts';

const state = (amount: bigint, leased = 0n): CounterState => ({ amount, settled: 0n, held: 0n, leased });
const amounts = fc.bigInt({ min: 0n, max: 1_000n });

test('no grant exceeds what a counter has, and a call is lent all of its pools or none', () => {
  const need = fc.record({ counters: fc.integer({ min: 1, max: 3 }), min: amounts, want: amounts });
  const counter = fc.record({ amount: amounts, leased: amounts });
  fc.assert(
    fc.property(
      fc.array(need, { maxLength: 4 }),
      fc.array(counter, { minLength: 12, maxLength: 12 }),
      (asks, rows) => {
        const states = new Map(rows.map((row, index) => [`c${index}`, state(row.amount, row.leased)]));
        const needs = asks.map(({ counters, min, want }, index) => ({
          counterIds: Array.from({ length: counters }, (_, part) => `c${index * 3 + part}`),
          min,
          want,
        }));
        const { met, grants } = grantAllOrNone(needs, states);
        for (const [id, granted] of grants) expect(granted <= unlent(states.get(id)!)).toBe(true);
        const had = (ids: string[]) =>
          ids.reduce((sum, id) => sum + (unlent(states.get(id)!) > 0n ? unlent(states.get(id)!) : 0n), 0n);
        const got = (ids: string[]) => ids.reduce((sum, id) => sum + (grants.get(id) ?? 0n), 0n);
        expect(met).toBe(needs.every(({ counterIds, min }) => had(counterIds) >= min));
        for (const { counterIds, min, want } of needs) {
          const most = want > min ? want : min;
          const due = had(counterIds) < most ? had(counterIds) : most;
          expect(got(counterIds)).toBe(met || min === 0n ? due : 0n);
        }
      },
    ),
  );
});

test('a pool of several counters lends in their order, the next one only when the first is empty', () => {
  const states = new Map([
    ['soon', state(5n)],
    ['late', state(100n)],
  ]);
  const { grants } = grantAllOrNone([{ counterIds: ['soon', 'late'], min: 8n, want: 9n }], states);
  expect([...grants]).toEqual([
    ['soon', 5n],
    ['late', 4n],
  ]);
});

test.each([
  ['what others were lent would do', 40n, ['counter']],
  ['nothing that comes back would do', 61n, []],
])('a counter is marked as lacking only where %s', (_, min, marked) => {
  const states = new Map([['counter', { amount: 100n, settled: 40n, held: 0n, leased: 40n }]]);
  expect(grantAllOrNone([{ counterIds: ['counter'], min, want: 0n }], states).lacking).toEqual(marked);
});

test('a counter that two pools name is lent once', () => {
  const pool = { counterIds: ['shared'], min: 0n, want: 7n };
  const { grants } = grantAllOrNone([pool, pool], new Map([['shared', state(10n)]]));
  expect(grants.get('shared')).toBe(10n);
});
