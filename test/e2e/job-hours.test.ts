/** A job by the hour is ended by the gateway before it runs longer than it is held for. */
import { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { until } from './crash-gateway.ts';
import { billedFor, clientOf, endOf, heldBy } from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({
    env: { TOLLGATE_JOB_POLL_MS: '50' },
    // Longer than anybody waits here; the first quarter validates its file.
    simulator: { profile: { jobMs: 8000 } },
  });
});
afterAll(() => stack.stop());

const HOUR_MS = 3_600_000;
const EXAMPLE = { messages: [{ role: 'user', content: 'What is it?' }], answer: 'It.' };

it('is cancelled when it has run for the hours of its header, and pays for its time', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '500.00' });
  const client = clientOf(stack, key);
  const file = await toFile(Buffer.from(`${JSON.stringify(EXAMPLE)}\n`.repeat(20)), 'training.jsonl');
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const grader = {
    type: 'string_check',
    name: 'same',
    input: '{{sample.output_text}}',
    reference: '{{item.answer}}',
    operation: 'eq',
  } as const;
  const { data: job, response } = await client.fineTuning.jobs
    .create(
      {
        model: 'o4-mini-2025-04-16',
        training_file,
        method: { type: 'reinforcement', reinforcement: { grader } },
      },
      { headers: { 'x-tollgate-max-hours': '1' } },
    )
    .withResponse();
  const held = usd(response.headers.get('x-tollgate-hold-usd')!);
  expect(held).toBe(usd('100'));

  await until('its loop', async () => (await progressOf(job.id)).hasRun === true);
  expect((await client.fineTuning.jobs.retrieve(job.id)).status).toBe('running');
  // Instead of an hour's wait. What follows the job may write its own view over it: so again, until it was read.
  await until('its cancel', async () => {
    await stack.database.sql`
      update jobs set progress = progress || ${stack.database.sql.json({ startedAfterMs: Date.now() - HOUR_MS })}
      where upstream_id = ${job.id} and ended_at is null`;
    return (await progressOf(job.id)).cancelledFor === 'max_hours';
  });

  const row = await endOf(stack, job.id);
  const billed = billedFor(stack, /^fine_tuning.job$/, 0);
  expect(row.state).toBe('settled');
  expect(usd(row.settled_usd!)).toBe(billed);
  expect(billed).toBeLessThan(held);
  expect((await client.fineTuning.jobs.retrieve(job.id)).status).toBe('cancelled');
  expect(await heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: billed });
  const { data: events } = await stack.admin<{ data: object[] }>('GET', `/events?team_id=${teamId}`);
  expect(events).toContainEqual(expect.objectContaining({ reason: 'max_hours', provenance: 'estimated' }));
});

async function progressOf(upstreamId: string): Promise<Record<string, unknown>> {
  const [row] = await stack.database.sql<{ progress: Record<string, unknown> | null }[]>`
    select progress from jobs where upstream_id = ${upstreamId}`;
  return row?.progress ?? {};
}
