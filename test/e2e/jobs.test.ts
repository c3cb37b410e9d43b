/** Jobs through the SDK, the gateway and the simulator: held before they start, followed to their end, settled once. */
import { type OpenAI, toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { DEFAULT_PROFILE } from '../../src/simulator/profile.ts';
import { until } from './crash-gateway.ts';
import * as steps from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_JOB_POLL_MS: '50' } });
});
afterAll(() => stack.stop());

/** Jobs of this test last so long: longer than it needs to look at them or change them, also on a busy machine. */
function lasting(jobMs: number): void {
  stack.simulator.setProfile({ jobMs });
  onTestFinished(() => stack.simulator.setProfile({ jobMs: DEFAULT_PROFILE.jobMs }));
}

const clientOf = (key: string) => steps.clientOf(stack, key);
const ended = (upstreamId: string) => steps.endOf(stack, upstreamId);
const billedFor = (operation: RegExp, since: number) => steps.billedFor(stack, operation, since);
const heldBy = (teamId: string) => steps.heldBy(stack, teamId);

function examples(count: number): string {
  return Array.from({ length: count }, (_, at) =>
    JSON.stringify({
      messages: [
        { role: 'user', content: `What is the capital of country number ${at}? 首都是什么？` },
        { role: 'assistant', content: `It is the city number ${at}, as everybody there knows well.` },
      ],
    }),
  ).join('\n');
}

async function trainingFile(client: OpenAI, count = 20): Promise<string> {
  const file = await toFile(Buffer.from(examples(count)), 'training.jsonl');
  return (await client.files.create({ file, purpose: 'fine-tune' })).id;
}

describe('a fine-tuning job', () => {
  it('is held at its tokens by epochs, and settled at what was trained', async () => {
    lasting(2000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const file = await trainingFile(client);
    const since = stack.simulator.invoice().line_count;
    const { data: job, response } = await client.fineTuning.jobs
      .create({ model: 'gpt-4o-mini', training_file: file, hyperparameters: { n_epochs: 2 } })
      .withResponse();
    const held = usd(response.headers.get('x-tollgate-hold-usd')!);
    expect((await heldBy(teamId)).held).toBe(held);
    const row = await ended(job.id);
    const billed = billedFor(/^fine_tuning.job$/, since);
    expect(billed).toBeGreaterThan(0n);
    expect(row).toMatchObject({ state: 'settled' });
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(held).toBeGreaterThanOrEqual(billed);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
    const { data: listed } = await stack.admin<{ data: object[] }>('GET', `/jobs?team_id=${teamId}`);
    expect(listed).toMatchObject([
      {
        kind: 'fine_tuning',
        state: 'settled',
        upstream_id: job.id,
        settled_usd: formatUsd(billed),
        problem: null,
      },
    ]);
    const going = await stack.admin<{ data: object[] }>('GET', `/jobs?team_id=${teamId}&state=running`);
    expect(going.data).toEqual([]);
    const again = await client.fineTuning.jobs.retrieve(job.id);
    expect(again.status).toBe('succeeded');
    const answer = await client.chat.completions.create({
      model: again.fine_tuned_model!,
      max_completion_tokens: 10,
      messages: [{ role: 'user', content: 'hi' }],
    });
    expect(answer.model).toBe(again.fine_tuned_model);
    const others = await stack.team({ grantUsd: '5.00' });
    const other = clientOf(others.key);
    const stolen = other.chat.completions.create({
      model: again.fine_tuned_model!,
      max_completion_tokens: 10,
      messages: [{ role: 'user', content: 'hi' }],
    });
    await expect(stolen).rejects.toMatchObject({ status: 404, code: 'not_found' });
    const checkpoint = other.chat.completions.create({
      model: `${again.fine_tuned_model}:ckpt-step-90`,
      max_completion_tokens: 10,
      messages: [{ role: 'user', content: 'hi' }],
    });
    await expect(checkpoint).rejects.toMatchObject({ status: 404, code: 'not_found' });
    await expect(other.models.retrieve(again.fine_tuned_model!)).rejects.toMatchObject({ status: 404 });
    const listedFor = async (of: OpenAI) => (await of.models.list()).data.map(({ id }) => id);
    expect(await listedFor(client)).toContain(again.fine_tuned_model);
    const shown = await listedFor(other);
    expect(shown).toContain('gpt-4o-mini');
    expect(shown).not.toContain(again.fine_tuned_model);
    await expect(other.fineTuning.jobs.retrieve(job.id)).rejects.toMatchObject({ status: 404 });
    expect((await other.fineTuning.jobs.list()).data).toEqual([]);
    expect((await client.fineTuning.jobs.list()).data.map(({ id }) => id)).toEqual([job.id]);
    expect((await client.fineTuning.jobs.listEvents(job.id)).data.length).toBeGreaterThan(0);
    const given = { kind: 'model', id: again.fine_tuned_model, team_id: others.teamId };
    await stack.admin('POST', '/objects', given);
    expect(await listedFor(other)).toContain(again.fine_tuned_model);
  });

  it('by preference is held at its prompts with both answers, and settled at what was trained', async () => {
    lasting(2000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const answer = (content: string) => [{ role: 'assistant', content }];
    const pairs = Array.from({ length: 12 }, (_, at) =>
      JSON.stringify({
        input: { messages: [{ role: 'user', content: `Question ${at}?` }] },
        preferred_output: answer('It is short.'),
        non_preferred_output: answer('It is said at length, with all that nobody asked for. '.repeat(20)),
      }),
    );
    const file = await toFile(Buffer.from(pairs.join('\n')), 'pairs.jsonl');
    const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
    const since = stack.simulator.invoice().line_count;
    const method = { type: 'dpo', dpo: { hyperparameters: { beta: 0.1, n_epochs: 2 } } } as const;
    const priceless = client.fineTuning.jobs.create({ model: 'o4-mini-2025-04-16', training_file, method });
    await expect(priceless).rejects.toMatchObject({ code: 'unknown_price', param: 'method.type' });
    const { data: job, response } = await client.fineTuning.jobs
      .create({ model: 'gpt-4.1-mini', training_file, method })
      .withResponse();
    const held = usd(response.headers.get('x-tollgate-hold-usd')!);
    expect((await heldBy(teamId)).held).toBe(held);
    const row = await ended(job.id);
    const billed = billedFor(/^fine_tuning.job$/, since);
    expect(billed).toBeGreaterThan(0n);
    expect(held).toBeGreaterThanOrEqual(billed);
    expect(row.state).toBe('settled');
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
    expect((await client.fineTuning.jobs.retrieve(job.id)).method?.type).toBe('dpo');
  });

  it('that does not fit is refused before it starts, with what would', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '0.01' });
    const client = clientOf(key);
    const file = await trainingFile(client, 40);
    const since = stack.simulator.invoice().line_count;
    const refused = client.fineTuning.jobs.create({
      model: 'gpt-4o-mini',
      training_file: file,
      method: { type: 'supervised', supervised: { hyperparameters: { n_epochs: 50 } } },
    });
    await expect(refused).rejects.toMatchObject({
      status: 429,
      code: 'insufficient_quota',
      error: { remaining_usd: '0.01', epochs: 50, affordable_epochs: expect.any(Number) },
      message: expect.stringMatching(/\$0\.01 left.*tokens × 50 epochs.*epochs would fit/),
    });
    expect(stack.simulator.invoice().line_count).toBe(since);
    expect(await heldBy(teamId)).toEqual({ held: 0n, settled: 0n, leased: expect.anything() });
  });
});

function lines(count: number, url = '/v1/chat/completions'): string {
  return Array.from({ length: count }, (_, at) =>
    JSON.stringify({
      custom_id: `line-${at}`,
      method: 'POST',
      url,
      body: {
        model: at % 2 === 0 ? 'gpt-4o-mini' : 'gpt-4.1',
        max_completion_tokens: 50,
        messages: [{ role: 'user', content: `Say ${at}.` }],
      },
    }),
  ).join('\n');
}

async function batchFile(client: OpenAI, text: string): Promise<string> {
  const file = await toFile(Buffer.from(text), 'lines.jsonl');
  return (await client.files.create({ file, purpose: 'batch' })).id;
}

const BATCH = { endpoint: '/v1/chat/completions', completion_window: '24h' } as const;

describe('a batch', () => {
  it('is held line by line, and settled from the lines of its output', async () => {
    lasting(2000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const since = stack.simulator.invoice().line_count;
    const body = { model: 'text-embedding-3-small', input: 'Say nothing.' };
    const embedded = JSON.stringify({ custom_id: 'e', method: 'POST', url: '/v1/embeddings', body });
    const input_file_id = await batchFile(client, `${lines(5)}\n${embedded}`);
    const batch = await client.batches.create({ ...BATCH, input_file_id });
    const { held } = await heldBy(teamId);
    expect(held).toBeGreaterThan(0n);
    const row = await ended(batch.id);
    const billed = billedFor(/^batch\./, since);
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(held).toBeGreaterThanOrEqual(billed);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
    const done = await client.batches.retrieve(batch.id);
    const output = await (await client.files.content(done.output_file_id!)).text();
    expect(output.trim().split('\n')).toHaveLength(6);
    const other = clientOf((await stack.team({ grantUsd: '1.00' })).key);
    await expect(other.files.content(done.output_file_id!)).rejects.toMatchObject({ status: 404 });
    await expect(other.batches.cancel(batch.id)).rejects.toMatchObject({ status: 404 });
    const others = other.batches.create({ ...BATCH, input_file_id });
    await expect(others).rejects.toMatchObject({ status: 404 });
  });

  it.each([
    [
      'expired',
      async (client: OpenAI, input: string) =>
        client.batches.create({ ...BATCH, input_file_id: input, metadata: { simulator: 'expire' } }),
    ],
    [
      'cancelled',
      async (client: OpenAI, input: string) => {
        const batch = await client.batches.create({ ...BATCH, input_file_id: input });
        await until(
          'a finished line',
          async () => ((await client.batches.retrieve(batch.id)).request_counts?.completed ?? 0) > 0,
        );
        return client.batches.cancel(batch.id);
      },
    ],
  ])('that has %s pays for the lines that were finished', async (reason, begin) => {
    if (reason === 'cancelled') lasting(5000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const since = stack.simulator.invoice().line_count;
    const batch = await begin(client, await batchFile(client, lines(40)));
    const row = await ended(batch.id);
    const billed = billedFor(/^batch\./, since);
    expect(billed).toBeGreaterThan(0n);
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(usd(row.held_usd)).toBeGreaterThan(billed);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
    const [event] = await stack.database.sql<{ reason: string }[]>`
      select reason from usage_events where team_id = ${teamId} and operation = 'batches.create'`;
    expect(event!.reason).toBe(reason);
  });

  it.each([
    [
      'a line without a price',
      '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"nobody","messages":[{"role":"user","content":"hi"}]}}',
      'invalid_request',
      /line 1: .*nobody/,
    ],
    [
      'a line of an operation that is not known',
      '{"custom_id":"a","method":"POST","url":"/v1/videos","body":{}}',
      'invalid_request',
      /line 1: url/,
    ],
    [
      "a line that names another's response",
      '{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":"gpt-4.1","input":"x","max_output_tokens":20,"previous_response_id":"resp_1"}}',
      'invalid_request',
      /previous_response_id/,
    ],
    ['a line that is no JSON', `${lines(1)}\n{"custom_id"`, 'invalid_request', /line 2: is not valid JSON/],
  ])('with %s is refused as a whole', async (_what, text, code, message) => {
    const { key } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const made = client.batches.create({ ...BATCH, input_file_id: await batchFile(client, text) });
    await expect(made).rejects.toMatchObject({ status: 400, code, message: expect.stringMatching(message) });
  });
});

describe('a fine-tuning job that is changed', () => {
  it.each([
    ['cancelled', {}, 'cancelled'],
    ['failed', { simulator: 'fail' }, 'failed'],
  ])('and has %s pays for what was trained by then', async (_what, metadata, reason) => {
    if (reason === 'cancelled') lasting(4000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const since = stack.simulator.invoice().line_count;
    const job = await client.fineTuning.jobs.create({
      model: 'gpt-4.1',
      training_file: await trainingFile(client, 30),
      metadata,
    });
    if (reason === 'cancelled') {
      await until(
        'its training',
        async () => (await client.fineTuning.jobs.retrieve(job.id)).status === 'running',
      );
      await client.fineTuning.jobs.pause(job.id);
      await client.fineTuning.jobs.resume(job.id);
      await client.fineTuning.jobs.cancel(job.id);
    }
    const row = await ended(job.id);
    const billed = billedFor(/^fine_tuning.job$/, since);
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
    const [event] = await stack.database.sql<{ reason: string }[]>`
      select reason from usage_events where team_id = ${teamId} and operation = 'fine_tuning.jobs.create'`;
    expect(event!.reason).toBe(reason);
  });

  it('and that the store has forgotten is put back by its maker, and settled once', async () => {
    lasting(2000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const since = stack.simulator.invoice().line_count;
    const job = await client.fineTuning.jobs.create({
      model: 'gpt-4o-mini',
      training_file: await trainingFile(client),
    });
    await stack.database.sql`delete from jobs where team_id = ${teamId}`;
    const row = await ended(job.id);
    const billed = billedFor(/^fine_tuning.job$/, since);
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
  });

  it('costs nothing when it failed before any training', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const job = await client.fineTuning.jobs.create({
      model: 'gpt-4o-mini',
      training_file: await trainingFile(client),
      metadata: { simulator: 'fail_early' },
    });
    expect(await ended(job.id)).toMatchObject({ state: 'voided' });
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: 0n });
  });

  it('by the hour needs to say how long it may run', async () => {
    const { key } = await stack.team({ grantUsd: '500.00' });
    const client = clientOf(key);
    const file = await trainingFile(client);
    const asked = {
      model: 'o4-mini-2025-04-16',
      training_file: file,
      method: {
        type: 'reinforcement',
        reinforcement: {
          grader: { type: 'string_check', name: 'g', input: '{{a}}', reference: 'b', operation: 'eq' },
        },
      },
    } as const;
    await expect(client.fineTuning.jobs.create(asked)).rejects.toMatchObject({
      code: 'unbounded_request',
      message: expect.stringContaining('x-tollgate-max-hours'),
    });
    const { data: job, response } = await client.fineTuning.jobs
      .create(asked, { headers: { 'x-tollgate-max-hours': '2.5' } })
      .withResponse();
    expect(response.headers.get('x-tollgate-hold-usd')).toBe('250.00');
    expect(await ended(job.id)).toMatchObject({ state: 'settled' });
  });
});

describe('a response in the background', () => {
  const asked = { model: 'gpt-4.1', input: 'Say it.', max_output_tokens: 200, background: true } as const;

  it('is settled although its client never comes back, and is its own before', async () => {
    lasting(2000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const since = stack.simulator.invoice().line_count;
    const { data: begun, response } = await client.responses.create(asked).withResponse();
    expect(begun.status).toBe('queued');
    expect((await heldBy(teamId)).held).toBe(usd(response.headers.get('x-tollgate-hold-usd')!));
    expect((await client.responses.retrieve(begun.id)).id).toBe(begun.id);
    const other = clientOf((await stack.team({ grantUsd: '1.00' })).key);
    await expect(other.responses.retrieve(begun.id)).rejects.toMatchObject({ status: 404 });
    await ended(begun.id);
    const billed = billedFor(/^responses.background$/, since);
    expect(billed).toBeGreaterThan(0n);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: billed });
    const [event] = await stack.database.sql<{ provenance: string; output_tokens: string }[]>`
      select provenance, output_tokens from usage_events where team_id = ${teamId} and operation = 'responses'`;
    expect(event).toMatchObject({ provenance: 'reported' });
    expect(Number(event!.output_tokens)).toBeGreaterThan(0);
  });

  it('that was cancelled stays at its hold: no usage of it is reported', async () => {
    lasting(5000);
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const since = stack.simulator.invoice().line_count;
    const begun = await client.responses.create(asked);
    await client.responses.cancel(begun.id);
    const row = await ended(begun.id);
    expect(row).toMatchObject({ state: 'unknown', settled_usd: row.held_usd });
    expect(usd(row.settled_usd!)).toBeGreaterThanOrEqual(billedFor(/^responses.background$/, since));
    expect((await heldBy(teamId)).held).toBe(0n);
  });
});
