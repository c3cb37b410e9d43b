/** A thread that runs seeds, one after the other as they are given out. */
import { parentPort } from 'node:worker_threads';
import { faultNamed } from './faults/list.ts';
import { simulate } from './simulate.ts';

/** One seed to run, by a thread that has nothing to do. */
export interface SeedJob {
  seed: number;
  steps: number;
  /** The planted fault's name; null: none. */
  fault: string | null;
}

parentPort?.on('message', async ({ seed, steps, fault }: SeedJob) => {
  parentPort!.postMessage(await simulate({ seed, steps, fault: fault === null ? null : faultNamed(fault) }));
});
