/**
 * A thread that tells the load generator when the next call is due: arrivals are random and independent (Poisson), as those of
 * many clients are. Node's timers tick in whole milliseconds and would send bursts; a sleeping thread is exact to ~0.1 ms.
 */
import { parentPort, workerData } from 'node:worker_threads';

export interface TickerOptions {
  callsPerSecond: number;
  seconds: number;
}

/** What the thread posts: a call is due now; the last one was. */
export type Tick = 'due' | 'end';

const { callsPerSecond, seconds } = workerData as TickerOptions;
const never = new Int32Array(new SharedArrayBuffer(4));
const endMs = performance.now() + seconds * 1_000;
let dueMs = performance.now();

while (dueMs < endMs) {
  dueMs += (-Math.log(1 - Math.random()) * 1_000) / callsPerSecond;
  const waitMs = dueMs - performance.now();
  if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  parentPort?.postMessage('due' satisfies Tick);
}
parentPort?.postMessage('end' satisfies Tick);
