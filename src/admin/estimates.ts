/** Route: what something would cost, before it is started. */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { z } from 'zod';
import { apiError } from '../domain/errors.ts';
import type { TrainingPrice } from '../domain/price.ts';
import { priceBook } from '../planner/book.ts';
import type { CountMessage } from '../planner/count-thread.ts';
import { estimate, type Sources } from '../planner/estimate.ts';
import type { TrainingCount } from '../planner/training-file.ts';
import { readSourcedPrices } from '../store/rate-cards.ts';
import { readSeed } from '../store/seed/read-seed.ts';
import { Estimate, NewEstimate } from './contract.ts';
import type { AdminOptions } from './options.ts';
import { route } from './route.ts';

export function estimateRoute(app: OpenAPIHono, { database, nowMs }: AdminOptions): void {
  const summary = 'Estimate what training, a batch or an application would cost; starts and keeps nothing';
  let training: TrainingPrice[] | null = null;
  const readBook = async () => {
    const { cards, rows } = await readSourcedPrices(database.readSql);
    training ??= readSeed().training;
    return priceBook(cards, rows, training);
  };
  route(
    app,
    { method: 'post', path: '/estimates', summary, body: NewEstimate, response: Estimate },
    async ({ body }) =>
      estimate(body, {
        readBook,
        countTraining: counterOf(body),
        readBatch: readerOf(body),
        nowMs: nowMs(),
      }),
  );
}

/** Files that may be counted at once: each has a thread with a tokeniser, which takes a hundred megabytes. */
const COUNTED_AT_ONCE = 1;
const THREAD_MB = 128;
const BUSY_RETRY_MS = 2_000;
let counting = 0;

/** Returns what counts the file of a question, in a thread of its own: the event loop has calls to serve. */
function counterOf(body: z.output<typeof NewEstimate>): Sources['countTraining'] {
  return async (job) => {
    if (body.kind !== 'fine_tune') throw new Error('only a training file has examples');
    const { file, tokens = 0, examples = null } = body;
    if (file === undefined) return { tokens, examples };
    if (counting >= COUNTED_AT_ONCE) {
      const what = 'Another file is being counted: try again, or use tollgate estimate.';
      return apiError('gateway_busy', what, { retryAfterMs: BUSY_RETRY_MS });
    }
    counting++;
    try {
      return await countInThread({ job, text: file });
    } finally {
      counting--;
    }
  };
}

/** What is read of a batch in one turn of the event loop. */
const SLICE_BYTES = 16 * 1024;

function readerOf(body: z.output<typeof NewEstimate>): Sources['readBatch'] {
  return async (push) => {
    const file = Buffer.from(body.kind === 'batch' ? body.file : '');
    for (let at = 0; at < file.length; at += SLICE_BYTES) {
      push(file.subarray(at, at + SLICE_BYTES));
      await nextTurn();
    }
    return null;
  };
}

function countInThread(message: CountMessage): Promise<TrainingCount> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL('../planner/count-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: THREAD_MB, maxYoungGenerationSizeMb: 8 },
    });
    thread.once('message', (count: TrainingCount) => {
      resolve(count);
      void thread.terminate();
    });
    thread.once('error', reject);
    thread.once('exit', () => reject(new Error('the thread that counts a file ended early')));
    thread.postMessage(message);
  });
}
