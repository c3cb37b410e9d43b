import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { startJob } from '../../src/jobs/every.ts';

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
