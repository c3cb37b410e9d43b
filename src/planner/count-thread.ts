/** A thread that counts one training file, so that no gateway waits for it: it is sent a file, sends its sums back, and ends. */
import { parentPort } from 'node:worker_threads';
import { countTrainingFile } from './count-file.ts';
import type { CountJob } from './fine-tune.ts';
import { lowerPriority } from './low-priority.ts';

lowerPriority();

export interface CountMessage {
  job: CountJob;
  text: string;
}

parentPort?.once('message', ({ job, text }: CountMessage) => {
  // A rejection ends the thread with that error.
  void countTrainingFile(job, [Buffer.from(text)]).then((count) => parentPort?.postMessage(count));
});
