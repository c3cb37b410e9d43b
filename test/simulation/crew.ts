/** Runs many seeds on a few threads; each thread is given the next seed as soon as it is done with the last. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { SeedResult } from './simulate.ts';
import type { Order } from './worker.ts';

export interface CrewOptions {
  seeds: readonly [first: number, last: number];
  steps: number;
  jobs: number;
  fault: string | null;
  /** Called as each seed ends, in no order; answers whether to go on. */
  onResult(result: SeedResult): boolean;
}

/** A seed leaves much behind that is garbage soon: the less often it is looked for, the faster. */
const resourceLimits = { maxYoungGenerationSizeMb: 64 };

/** Resolves when all seeds are done, or `onResult` wanted no more. */
export async function runSeeds({ seeds, steps, jobs, fault, onResult }: CrewOptions): Promise<void> {
  const [first, last] = seeds;
  let next = first;
  let goOn = true;
  const work = async (worker: Worker) => {
    while (goOn && next <= last) {
      const order: Order = { seed: next++, steps, fault };
      const result = await answerOf(worker, order);
      if (!onResult(result)) goOn = false;
    }
    await worker.terminate();
  };
  const count = Math.min(jobs, last - first + 1);
  const crew = Array.from(
    { length: count },
    () => new Worker(new URL('./worker.ts', import.meta.url), { resourceLimits }),
  );
  await Promise.all(crew.map(work));
}

async function answerOf(worker: Worker, order: Order): Promise<SeedResult> {
  const answer = once(worker, 'message');
  worker.postMessage(order);
  // Rejects with the thread's error, if that is what comes.
  const [result] = (await answer) as [SeedResult];
  return result;
}
