/** Tools that the upstream runs in a response in the background: held as a job, settled from the response that is polled. */
import type OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readEvents } from './books.ts';
import { billedFor, clientOf, endOf, heldBy } from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

const stacks: Partial<Record<'normal' | 'worst', Stack>> = {};
const env = { TOLLGATE_JOB_POLL_MS: '100' };
beforeAll(async () => {
  stacks.normal = await startStack({ env, simulator: { profile: { jobMs: 50 } } });
  stacks.worst = await startStack({ env, simulator: { mode: 'worst', profile: { jobMs: 50 } } });
});
afterAll(async () => {
  await stacks.normal?.stop();
  await stacks.worst?.stop();
});

type Asked = OpenAI.Responses.ResponseCreateParamsNonStreaming;
const asked = (tools: object[], fields: object = {}) =>
  ({
    ...{ model: 'gpt-5-mini', input: 'Say it.', max_output_tokens: 100, background: true, tools },
    ...fields,
  }) as Asked;
const python = (container: object | string = { type: 'auto', memory_limit: '4g' }) => ({
  type: 'code_interpreter',
  container,
});

it.each(['normal', 'worst'] as const)('the ledger equals the invoice, in mode %s', async (mode) => {
  const stack = stacks[mode]!;
  const { teamId, key } = await stack.team({ grantUsd: '5000.00' });
  const store = `vs_background_${mode}`;
  await stack.admin('POST', '/objects', { kind: 'vector_store', id: store, team_id: teamId });
  const client = clientOf(stack, key);
  const since = stack.simulator.invoice().line_count;
  const files = { type: 'file_search', vector_store_ids: [store] };
  const bodies = [
    asked([{ type: 'web_search' }]),
    asked([files, { type: 'web_search' }], { max_tool_calls: 3 }),
    asked([python()]),
    asked([python(), { type: 'image_generation' }], { max_tool_calls: 4 }),
    asked([{ type: 'image_generation', model: 'gpt-image-2', quality: 'low', size: '1024x1024' }]),
    asked([{ type: 'shell', environment: { type: 'container_auto' } }, { type: 'tool_search' }]),
    asked([{ type: 'web_search' }], { max_tool_calls: 0 }),
  ];
  const begun = await Promise.all(bodies.map((body) => client.responses.create(body)));
  for (const { id, status } of begun) {
    expect(status).toBe('queued');
    const row = await endOf(stack, id);
    expect(row.state).toBe('settled');
    expect(usd(row.held_usd)).toBeGreaterThanOrEqual(usd(row.settled_usd!));
  }
  const billed = billedFor(stack, /^responses.background$/, since);
  expect(await heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: billed });
  const events = (await readEvents(stack, teamId)).filter(({ operation }) => operation === 'responses');
  expect(events.map(({ provenance, reason }) => [provenance, reason])).toEqual(
    bodies.map(() => ['reported', null]),
  );
  if (mode !== 'worst') return;
  const meters = new Set(events.flatMap(({ quantities }) => Object.keys(quantities ?? {})));
  expect([...meters].sort()).toEqual([
    ...['container_sessions', 'file_search_calls', 'image_tool_input_tokens', 'image_tool_output_tokens'],
    'web_search_calls',
  ]);
});

it('a container is billed one session, whether a call waits for its response or not', async () => {
  const stack = stacks.worst!;
  const { teamId, key } = await stack.team({ grantUsd: '500.00' });
  const client = clientOf(stack, key);
  const first = await client.responses.create(asked([python()]));
  await endOf(stack, first.id);
  const done = await client.responses.retrieve(first.id);
  const call = done.output.find(({ type }) => type === 'code_interpreter_call');
  const container = call?.type === 'code_interpreter_call' ? call.container_id : '';
  const again = await client.responses.create(asked([python(container)]));
  await client.responses.create(asked([python(container)], { background: false }));
  await endOf(stack, again.id);
  await stack.settled();
  const events = (await readEvents(stack, teamId)).filter(({ operation }) => operation === 'responses');
  expect(events.map(({ quantities }) => quantities?.container_sessions ?? 0).sort()).toEqual([0, 0, 4]);
  const other = clientOf(stack, (await stack.team({ grantUsd: '500.00' })).key);
  await expect(other.responses.create(asked([python(container)]))).rejects.toMatchObject({
    status: 404,
    param: 'tools[0].container',
  });
});

it('images of which the polled response does not say what they used are charged at their most', async () => {
  const stack = stacks.worst!;
  const { teamId, key } = await stack.team({ grantUsd: '500.00' });
  const since = stack.simulator.invoice().line_count;
  const headers = { 'x-simulator': 'image_usage=none' };
  const begun = await clientOf(stack, key).responses.create(asked([{ type: 'image_generation' }]), {
    headers,
  });
  const row = await endOf(stack, begun.id);
  expect(usd(row.settled_usd!)).toBeGreaterThanOrEqual(billedFor(stack, /^responses.background$/, since));
  const [event] = await readEvents(stack, teamId);
  expect(event).toMatchObject({ outcome: 'settled', provenance: 'estimated', reason: 'usage_missing' });
});
