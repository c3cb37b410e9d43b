import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { ApiErrorCounts } from '../../src/jobs/api-error-counts.ts';
import type { ApiErrorCount } from '../../src/store/api-errors.ts';

let counts: ApiErrorCounts;
let written: ApiErrorCount[][];
let fail: Error | null;
let nowMs: number;
const errors = vi.fn();
beforeEach(() => {
  [written, fail, nowMs] = [[], null, 900_000];
  errors.mockClear();
  counts = new ApiErrorCounts({
    async write(added) {
      if (fail) throw fail;
      written.push(added);
    },
    nowMs: () => nowMs,
    onError: errors,
  });
});
afterEach(() => counts.stop());

const count = (teamId: string, atMs: number, calls: number) => ({
  teamId,
  atMs,
  calls,
  code: 'insufficient_quota',
});

test('counts are written as one sum for each team, code and quarter of an hour', async () => {
  counts.add(asId('a'), 'insufficient_quota');
  nowMs = 1_799_999;
  counts.add(asId('a'), 'insufficient_quota');
  counts.add(asId('b'), 'insufficient_quota');
  nowMs = 1_800_000;
  counts.add(asId('a'), 'insufficient_quota');
  await counts.flush();
  await counts.flush();
  expect(written).toEqual([[count('a', 900_000, 2), count('b', 900_000, 1), count('a', 1_800_000, 1)]]);
});

test('counts whose write failed are written with the next ones, and those added meanwhile too', async () => {
  fail = new Error('Postgres is away');
  counts.add(asId('a'), 'insufficient_quota');
  const failing = counts.flush();
  counts.add(asId('a'), 'insufficient_quota');
  await failing;
  expect(errors).toHaveBeenCalledWith(fail);
  fail = null;
  await counts.stop();
  expect(written).toEqual([[count('a', 900_000, 2)]]);
});

test('the counts that wait for Postgres are bounded, however long it is away', async () => {
  for (let team = 0; team < 10_100; team++) counts.add(asId(`team ${team}`), 'insufficient_quota');
  counts.add(asId('team 0'), 'insufficient_quota');
  await counts.flush();
  expect(written[0]).toHaveLength(10_000);
  expect(written[0]![0]!.calls).toBe(2);
});

test('the counts are written every two seconds', async () => {
  vi.useFakeTimers();
  try {
    const timed = new ApiErrorCounts({
      write: async (added) => void written.push(added),
      nowMs: () => nowMs,
      onError: errors,
    });
    timed.add(asId('a'), 'insufficient_quota');
    await vi.advanceTimersByTimeAsync(2_000);
    timed.add(asId('b'), 'insufficient_quota');
    await vi.advanceTimersByTimeAsync(2_000);
    expect(written).toEqual([[count('a', 900_000, 1)], [count('b', 900_000, 1)]]);
    await timed.stop();
  } finally {
    vi.useRealTimers();
  }
});
