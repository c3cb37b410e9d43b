/** Which job an event of the upstream's webhooks speaks of. */
import { expect, it } from 'vitest';
import { jobInEvent } from '../../src/openai/webhook-event.ts';

const read = (event: unknown) => jobInEvent(Buffer.from(JSON.stringify(event)));

it.each([
  ['batch.completed', 'batch'],
  ['batch.failed', 'batch'],
  ['batch.cancelled', 'batch'],
  ['batch.expired', 'batch'],
  ['fine_tuning.job.succeeded', 'fine_tuning'],
  ['fine_tuning.job.failed', 'fine_tuning'],
  ['fine_tuning.job.cancelled', 'fine_tuning'],
  ['response.completed', 'response'],
  ['response.failed', 'response'],
  ['response.cancelled', 'response'],
  ['response.incomplete', 'response'],
  ['eval.run.succeeded', 'eval_run'],
  ['eval.run.failed', 'eval_run'],
  ['eval.run.canceled', 'eval_run'],
])('%s speaks of a %s', (type, kind) => {
  expect(read({ id: 'evt_1', type, data: { id: 'x-1.y:2_z' } })).toEqual({ kind, upstreamId: 'x-1.y:2_z' });
});

it.each([
  [{ type: 'video.completed', data: { id: 'video_1' } }],
  [{ type: 'realtime.call.incoming', data: { call_id: 'x' } }],
  [{ type: 'batch.completed', data: {} }],
  [{ type: 'batch.completed', data: { id: 7 } }],
  [{ type: 'batch.completed', data: { id: 'a\u0000b' } }],
  [{ type: 'batch.completed', data: { id: 'a'.repeat(257) } }],
  [{ type: 'batch.completed', data: null }],
  [{ type: 7, data: { id: 'x' } }],
  [[]],
  [null],
])('%j speaks of none', (event) => {
  expect(read(event)).toBeNull();
});

it('text that is no JSON speaks of none', () => {
  expect(jobInEvent(Buffer.from('{"type"'))).toBeNull();
  expect(jobInEvent(Buffer.alloc(0))).toBeNull();
});
