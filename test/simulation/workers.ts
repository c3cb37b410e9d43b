/** Runs many seeds on a few threads; each thread gets the next seed as soon as it has finished one. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { SeedResult } from './simulate.ts';
import type { SeedJob } from './worker.ts';

export interface RunOptions {
  seeds: readonly [first: number, last: number];
  steps: number;
  jobs: number;
  fault: string | null;
  /** Which of the seeds; missing: all. */
  takes?: ((seed: number) => boolean) | undefined;
  /** Called as each seed ends, in any order; returns whether to go on. */
  onResult(result: SeedResult): boolean;
}

/** A seed makes much short-lived garbage: a larger young generation is collected less often. */
const resourceLimits = { maxYoungGenerationSizeMb: 64 };

/** Resolves when all seeds are done, or `onResult` wanted no more. */
export async function runSeeds({ seeds, steps, jobs, fault, takes = () => true, onResult }: RunOptions) {
  const [first, last] = seeds;
  const all = Array.from({ length: last - first + 1 }, (_, at) => first + at).filter(takes);
  let next = 0;
  let goOn = true;
  const work = async (worker: Worker) => {
    while (goOn && next < all.length) {
      const job: SeedJob = { seed: all[next++]!, steps, fault };
      const result = await resultOf(worker, job);
      if (!onResult(result)) goOn = false;
    }
    await worker.terminate();
  };
  const count = Math.min(jobs, all.length);
  const workers = Array.from(
    { length: count },
    () => new Worker(new URL('./worker.ts', import.meta.url), { resourceLimits }),
  );
  await Promise.all(workers.map(work));
}

async function resultOf(worker: Worker, job: SeedJob): Promise<SeedResult> {
  const message = once(worker, 'message');
  worker.postMessage(job);
  // Rejects with the thread's error.
  const [result] = (await message) as [SeedResult];
  return result;
}
