import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Refusals } from '../../src/gateway/refusals.ts';
import type { RefusalCount } from '../../src/store/refusals.ts';

let refusals: Refusals;
let written: RefusalCount[][];
let fail: Error | null;
let nowMs: number;
const errors = vi.fn();
beforeEach(() => {
  [written, fail, nowMs] = [[], null, 900_000];
  errors.mockClear();
  refusals = new Refusals({
    async write(counts) {
      if (fail) throw fail;
      written.push(counts);
    },
    nowMs: () => nowMs,
    onError: errors,
  });
});
afterEach(() => refusals.stop());

const count = (teamId: string, atMs: number, calls: number) => ({
  teamId,
  atMs,
  calls,
  reason: 'insufficient_quota',
});

test('are written as one sum for each team, reason and quarter of an hour', async () => {
  refusals.add('a', 'insufficient_quota');
  nowMs = 1_799_999;
  refusals.add('a', 'insufficient_quota');
  refusals.add('b', 'insufficient_quota');
  nowMs = 1_800_000;
  refusals.add('a', 'insufficient_quota');
  await refusals.flush();
  await refusals.flush();
  expect(written).toEqual([[count('a', 900_000, 2), count('b', 900_000, 1), count('a', 1_800_000, 1)]]);
});

test('that could not be written are written with the next ones, and those that come meanwhile too', async () => {
  fail = new Error('Postgres is away');
  refusals.add('a', 'insufficient_quota');
  const failing = refusals.flush();
  refusals.add('a', 'insufficient_quota');
  await failing;
  expect(errors).toHaveBeenCalledWith(fail);
  fail = null;
  await refusals.stop();
  expect(written).toEqual([[count('a', 900_000, 2)]]);
});

test('take no more memory than a bound allows, however long Postgres is away', async () => {
  for (let team = 0; team < 10_100; team++) refusals.add(`team ${team}`, 'insufficient_quota');
  refusals.add('team 0', 'insufficient_quota');
  await refusals.flush();
  expect(written[0]).toHaveLength(10_000);
  expect(written[0]![0]!.calls).toBe(2);
});
