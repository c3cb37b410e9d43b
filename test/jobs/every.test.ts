import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { batched, startJob } from '../../src/jobs/every.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const times = { firstAfterMs: 10, intervalMs: 100 };

it('a job runs soon after the start, then at its interval, counted from the end of a run', async () => {
  let runs = 0;
  let end = () => {};
  const run = () => {
    runs++;
    return new Promise<void>((resolve) => {
      end = resolve;
    });
  };
  const job = startJob({ ...times, run, onError: () => {} });
  await vi.advanceTimersByTimeAsync(9);
  expect(runs).toBe(0);
  await vi.advanceTimersByTimeAsync(1);
  expect(runs).toBe(1);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(runs).toBe(1);
  end();
  await vi.advanceTimersByTimeAsync(99);
  expect(runs).toBe(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(runs).toBe(2);
  end();
  await job.stop();
});

it('a failed run is reported and tried again', async () => {
  const errors: unknown[] = [];
  let runs = 0;
  const run = async () => {
    runs++;
    throw new Error(`run ${runs}`);
  };
  const job = startJob({ ...times, run, onError: (error) => errors.push((error as Error).message) });
  await vi.advanceTimersByTimeAsync(110);
  expect(errors).toEqual(['run 1', 'run 2']);
  await job.stop();
});

it('stop aborts the present run without an error, and no run follows', async () => {
  const errors: unknown[] = [];
  let runs = 0;
  const run = (signal: AbortSignal) => {
    runs++;
    return new Promise<void>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  const job = startJob({ ...times, run, onError: (error) => errors.push(error) });
  await vi.advanceTimersByTimeAsync(10);
  await job.stop();
  await vi.advanceTimersByTimeAsync(1_000);
  expect([runs, errors]).toEqual([1, []]);
});

it('work that returns at once is repeated from its begin, and may be put off', async () => {
  let runs = 0;
  const job = startJob({ intervalMs: 100, run: () => void runs++ });
  await vi.advanceTimersByTimeAsync(99);
  job.restart();
  await vi.advanceTimersByTimeAsync(99);
  expect(runs).toBe(0);
  await vi.advanceTimersByTimeAsync(101);
  expect(runs).toBe(2);
  await job.stop();
  job.restart();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(runs).toBe(2);
});

it('the interval may change from run to run, and a restart while one is under way begins no second', async () => {
  const at: number[] = [];
  const startMs = Date.now();
  const waits = [10, 20, 40];
  let end = () => {};
  const job = startJob({
    intervalMs: () => waits.shift() ?? 1_000,
    run: () => {
      at.push(Date.now() - startMs);
      return new Promise<void>((resolve) => {
        end = resolve;
      });
    },
  });
  await vi.advanceTimersByTimeAsync(10);
  job.restart();
  await vi.advanceTimersByTimeAsync(2_000);
  end();
  await vi.advanceTimersByTimeAsync(20);
  end();
  await vi.advanceTimersByTimeAsync(40);
  expect(at).toEqual([10, 2_030, 2_070]);
  end();
  await job.stop();
});

it('an error of work that returns at once is reported, and the next run comes', async () => {
  const errors: unknown[] = [];
  const run = () => {
    throw new Error('no');
  };
  const job = startJob({ intervalMs: 100, run, onError: (error) => errors.push(error) });
  await vi.advanceTimersByTimeAsync(200);
  expect(errors).toHaveLength(2);
  await job.stop();
});

it('work that many ask for is done once for all who ask before it begins, and no sooner than its time after the last', async () => {
  let runs = 0;
  const done: number[] = [];
  const ask = batched(
    async () => {
      runs++;
    },
    () => 20,
  );
  const askAll = (count: number) => {
    for (let at = 0; at < count; at++) void ask().then(() => done.push(runs));
  };
  askAll(10);
  await vi.advanceTimersByTimeAsync(1);
  expect(done).toEqual(Array(10).fill(1));
  askAll(5);
  await vi.advanceTimersByTimeAsync(15);
  expect(runs).toBe(1);
  askAll(5);
  await vi.advanceTimersByTimeAsync(5);
  expect(done.slice(10)).toEqual(Array(10).fill(2));
});

it('work that fails does so for those who asked, and is done again for who asks next', async () => {
  let runs = 0;
  const ask = batched(
    async () => {
      if (++runs === 1) throw new Error('away');
    },
    () => 0,
  );
  const failed = Promise.allSettled([ask(), ask()]);
  await vi.advanceTimersByTimeAsync(1);
  expect((await failed).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  const next = ask();
  await vi.advanceTimersByTimeAsync(1);
  await next;
  expect(runs).toBe(2);
});
