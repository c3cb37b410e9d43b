import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RateCards } from '../../src/domain/price.ts';
import { type CountedUpload, FileCounts } from '../../src/gateway/file-counts.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const NOW_MS = Date.parse('2026-11-28T12:00:00Z');
const seed = readSeed();
const rates = new RateCards(seed.prices, seed.models);

let counts: FileCounts;
let started: Worker[];
const errors: unknown[] = [];
const onWorker = (thread: Worker) => started.push(thread);

beforeEach(() => {
  counts = new FileCounts(seed.training, (error) => errors.push(error));
  started = [];
  process.on('worker', onWorker);
});
afterEach(async () => {
  process.off('worker', onWorker);
  await counts.close();
  expect(errors).toEqual([]);
});

/** A file of training with so many equal examples. */
function examples(count: number): Buffer {
  const messages = [
    { role: 'user', content: 'Which city?' },
    { role: 'assistant', content: 'That one.' },
  ];
  return Buffer.from(`${JSON.stringify({ messages })}\n`.repeat(count));
}

function begin(count: number): CountedUpload {
  const upload = counts.beginFile(rates, NOW_MS);
  upload.push(examples(count));
  return upload;
}

it('files that come one after another are counted by one thread, each for itself', async () => {
  const first = await begin(3).end();
  const second = await begin(5).end();
  expect(await begin(3).end()).toEqual(first);
  expect(first).not.toBeNull();
  expect(second).not.toEqual(first);
  expect(started).toHaveLength(1);
});

it('of many at once two are counted, and the others by the same threads when their turn comes', async () => {
  const uploads = [3, 5, 3, 5, 3].map(begin);
  const [three, five, ...others] = await Promise.all(uploads.map((upload) => upload.end()));
  expect(others).toEqual([three, five, three]);
  expect(three).not.toBeNull();
  expect(five).not.toEqual(three);
  expect(started).toHaveLength(2);
});

it('the thread of an upload that failed counts no other file: what it had read is in it', async () => {
  const failed = begin(4);
  failed.stop();
  expect(await failed.end()).toBeNull();
  const whole = await begin(3).end();
  expect(await begin(3).end()).toEqual(whole);
  expect(started).toHaveLength(2);
});
