import { expect, test } from 'vitest';
import { Paces } from '../../src/domain/shares.ts';

test('calls of one key go one after another at the rate, each key for itself', () => {
  const paces = new Paces();
  expect([0, 1, 2].map(() => paces.take('one', 100, 1_000, 500))).toEqual([0, 100, 200]);
  expect(paces.take('other', 100, 1_000, 500)).toBe(0);
  expect(paces.take('one', 100, 1_250, 500)).toBe(50);
  expect(paces.take('one', 100, 9_000, 500)).toBe(0);
});

test('a call that would wait too long takes no turn', () => {
  const paces = new Paces();
  for (const expected of [0, 100, 200, null, null]) expect(paces.take('one', 100, 0, 200)).toBe(expected);
  expect(paces.take('one', 100, 100, 200)).toBe(200);
});

test('a faster rate binds the next call', () => {
  const paces = new Paces();
  paces.take('one', 60_000, 0, 1_000);
  expect(paces.take('one', 60_000, 1_000, 10_000)).toBeNull();
  expect(paces.take('one', 1_000, 1_000, 10_000)).toBe(0);
});
