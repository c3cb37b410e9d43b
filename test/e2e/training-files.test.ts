/**
 * Training files through an upload and a job: what is held against what the simulator bills, whose tokeniser is OpenAI's own. Some
 * of a thousand here; `npm run test:training` takes all, or so many (`TRAINING_FILES`) from one on (`TRAINING_FIRST`).
 */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { fileOf, MODELS, randomOf } from '../planner/generated-training.ts';
import * as steps from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

const FILES = Number(process.env.TRAINING_FILES ?? 8);
/** Of the thousand, so that several runs may share them. */
const FIRST = Number(process.env.TRAINING_FIRST ?? 0);
/** Uploaded at once: two of them are counted, the others wait for their turn. */
const AT_ONCE = 4;
const MOST_ABOVE = 1.05;
const MODEL_WITH_IMAGES = 'gpt-4o-2024-08-06';

let stack: Stack;

beforeAll(async () => {
  stack = await startStack({
    simulator: { profile: { jobMs: 20 } },
    env: { TOLLGATE_JOB_POLL_MS: '50' },
  });
});
afterAll(() => stack.stop());

interface Judged {
  file: number;
  model: string;
  held: bigint;
  billed: bigint;
}

/** Uploads a file, has a model trained on it, and waits for its bill. */
async function judge(key: string, file: number): Promise<Judged> {
  const random = randomOf(file);
  const { model } = MODELS[file % MODELS.length]!;
  // On a busy machine Postgres may not take a hold in time: nothing was asked of the upstream then.
  const client = steps.clientOf(stack, key).withOptions({ maxRetries: 8 });
  const content = await toFile(fileOf(random, model === 'davinci-002'), 'training.jsonl');
  const { id: training_file } = await client.files.create({ file: content, purpose: 'fine-tune' });
  const { data: job, response } = await client.fineTuning.jobs
    .create({
      model,
      training_file,
      hyperparameters: { n_epochs: 1 + random(5) },
      metadata: { simulator: 'skip_broken' },
    })
    .withResponse();
  const held = usd(response.headers.get('x-tollgate-hold-usd')!);
  const row = await steps.endOf(stack, job.id);
  return { file, model, held, billed: usd(row.settled_usd!) };
}

it('a job is held at its bill at least, and at 5 % more at most', { timeout: 3_600_000 }, async () => {
  const { key, teamId } = await stack.team({ grantUsd: '100000.00' });
  const judged: Judged[] = [];
  const files = Array.from({ length: FILES }, (_, at) => FIRST + at).values();
  const work = async () => {
    for (const file of files) judged.push(await judge(key, file));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  expect(judged).toHaveLength(FILES);
  for (const { file, model, held, billed } of judged) {
    const ratio = Number((held * 1_000_000n) / billed) / 1_000_000;
    const what = `file ${file} of ${model}: held ${held}, billed ${billed}`;
    expect(ratio, what).toBeGreaterThanOrEqual(1);
    expect(ratio, what).toBeLessThanOrEqual(MOST_ABOVE);
  }
  const billed = judged.reduce((sum, each) => sum + each.billed, 0n);
  expect(await steps.heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: billed });
  expect(steps.billedFor(stack, /^fine_tuning.job$/, 0)).toBe(billed);
});

it('a file with a broken line is held, and its job fails before anything is trained', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const client = steps.clientOf(stack, key);
  const example = JSON.stringify({ messages: [{ role: 'assistant', content: 'Yes.' }] });
  const content = await toFile(Buffer.from(`${`${example}\n`.repeat(12)}{"messages": [`), 'broken.jsonl');
  const { id: training_file } = await client.files.create({ file: content, purpose: 'fine-tune' });
  const job = await client.fineTuning.jobs.create({ model: 'gpt-4o-mini', training_file });
  expect(await steps.endOf(stack, job.id)).toMatchObject({ state: 'voided' });
  expect(await steps.heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: 0n });
});

it('images of a training file are in its hold, and refused where nothing bounds them', async () => {
  const { key } = await stack.team({ grantUsd: '50.00' });
  const client = steps.clientOf(stack, key);
  const image = { type: 'image_url', image_url: { url: 'https://images.example/cat.png', detail: 'high' } };
  const messages = [
    { role: 'user', content: [{ type: 'text', text: 'What is it?' }, image] },
    { role: 'assistant', content: 'A cat.' },
  ];
  const lines = `${JSON.stringify({ messages })}\n`.repeat(12);
  const content = await toFile(Buffer.from(lines), 'seen.jsonl');
  const { id: training_file } = await client.files.create({ file: content, purpose: 'fine-tune' });
  const { data: job, response } = await client.fineTuning.jobs
    .create({ model: 'gpt-4o-2024-08-06', training_file, hyperparameters: { n_epochs: 2 } })
    .withResponse();
  const row = await steps.endOf(stack, job.id);
  expect(row.state).toBe('settled');
  const billed = usd(row.settled_usd!);
  // 12 images of 4 tiles each, twice, at $25 a million.
  expect(billed).toBeGreaterThan(12n * 2n * 765n * 25_000_000n);
  expect(usd(response.headers.get('x-tollgate-hold-usd')!)).toBeGreaterThanOrEqual(billed);
  const blind = client.fineTuning.jobs.create({ model: 'gpt-3.5-turbo', training_file });
  await expect(blind).rejects.toMatchObject({ code: 'unbounded_request', param: 'training_file' });
});

it('a file is one of calls by the names in its lines, wherever they stand and whatever the texts say', async () => {
  const { key, teamId } = await stack.team({ grantUsd: '5.00' });
  const client = steps.clientOf(stack, key);
  const long = 'What is "custom_id"? '.repeat(5000);
  const body = { model: 'gpt-4.1', max_tokens: 20, messages: [{ role: 'user', content: long }] };
  const line = (custom_id: string) => ({ body, url: '/v1/chat/completions', method: 'POST', custom_id });
  const calls = `${JSON.stringify(line('a'))}\n${JSON.stringify(line('b'))}`;
  const input = await client.files.create({
    file: await toFile(Buffer.from(calls), 'calls.jsonl'),
    purpose: 'batch',
  });
  const since = stack.simulator.invoice().line_count;
  const batch = await client.batches.create({
    ...{ endpoint: '/v1/chat/completions', completion_window: '24h' },
    input_file_id: input.id,
  });
  const row = await steps.endOf(stack, batch.id);
  expect(usd(row.settled_usd!)).toBe(steps.billedFor(stack, /^batch\./, since));
  expect(usd(row.held_usd)).toBeGreaterThanOrEqual(usd(row.settled_usd!));
  expect(usd(row.settled_usd!)).toBeGreaterThan(0n);
  // Examples whose tools have such a parameter are examples all the same.
  const parameters = { type: 'object', properties: { custom_id: { type: 'string' } } };
  const example = {
    messages: [
      { role: 'user', content: 'Which?' },
      { role: 'assistant', content: 'This one.' },
    ],
    tools: [{ type: 'function', function: { name: 'find', parameters } }],
  };
  const text = Array.from({ length: 12 }, () => JSON.stringify(example)).join('\n');
  const file = await toFile(Buffer.from(text), 'examples.jsonl');
  const { id: training_file } = await client.files.create({ file, purpose: 'fine-tune' });
  const job = await client.fineTuning.jobs.create({ model: 'gpt-4.1', training_file });
  expect((await steps.endOf(stack, job.id)).state).toBe('settled');
  expect((await steps.heldBy(stack, teamId)).held).toBe(0n);
});

describe('a file that did not pass in one piece', () => {
  const calls = (count: number) =>
    Array.from({ length: count }, (_, at) =>
      JSON.stringify({
        custom_id: `line-${at}`,
        method: 'POST',
        url: '/v1/chat/completions',
        body: { model: 'gpt-5-mini', messages: [{ role: 'user', content: 'hi' }], max_completion_tokens: 50 },
      }),
    ).join('\n');
  const BATCH = { endpoint: '/v1/chat/completions', completion_window: '24h' } as const;
  /** Sent to the upstream beside the gateway, as before there was one. */
  async function fileOfBefore(content: string, purpose: 'batch' | 'fine-tune', teamId: string) {
    const direct = new OpenAI({ apiKey: 'sk-any', baseURL: stack.simulator.url });
    const { id } = await direct.files.create({
      file: await toFile(Buffer.from(content), 'a.jsonl'),
      purpose,
    });
    await stack.admin('POST', '/objects', { kind: 'file', id, team_id: teamId });
    return id;
  }
  async function inParts(client: OpenAI, content: string) {
    const bytes = Buffer.byteLength(content);
    const fields = { filename: 'a.jsonl', mime_type: 'application/jsonl', purpose: 'batch' } as const;
    const { id } = await client.uploads.create({ ...fields, bytes });
    const part = await client.uploads.parts.create(id, { data: await toFile(Buffer.from(content), 'a') });
    const done = await client.uploads.complete(id, { part_ids: [part.id] });
    return done.file!.id;
  }
  const heldFor = (response: Response) => usd(response.headers.get('x-tollgate-hold-usd')!);

  it.each(['made before', 'sent in parts'])('is read for a batch that names it: %s', async (how) => {
    const { key, teamId } = await stack.team({ grantUsd: '50.00' });
    const client = steps.clientOf(stack, key);
    const since = stack.simulator.invoice().line_count;
    const lines = calls(5);
    const input_file_id =
      how === 'made before' ? await fileOfBefore(lines, 'batch', teamId) : await inParts(client, lines);
    const { data: batch, response } = await client.batches.create({ ...BATCH, input_file_id }).withResponse();
    const row = await steps.endOf(stack, batch.id);
    const billed = steps.billedFor(stack, /^batch\./, since);
    expect(billed).toBeGreaterThan(0n);
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(heldFor(response)).toBeGreaterThanOrEqual(billed);
    expect(await steps.heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: billed });
  });

  it('is read for a training that names it, and refused where it cannot be', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '50.00' });
    const client = steps.clientOf(stack, key);
    const since = stack.simulator.invoice().line_count;
    const content = fileOf(randomOf(1), false);
    const training_file = await fileOfBefore(content.toString(), 'fine-tune', teamId);
    const { data: job, response } = await client.fineTuning.jobs
      .create({ model: MODEL_WITH_IMAGES, training_file, hyperparameters: { n_epochs: 1 } })
      .withResponse();
    const row = await steps.endOf(stack, job.id);
    const billed = steps.billedFor(stack, /^fine_tuning.job$/, since);
    expect(usd(row.settled_usd!)).toBe(billed);
    expect(heldFor(response)).toBeGreaterThanOrEqual(billed);
    const gone = 'file-of-which-the-upstream-knows-nothing';
    await stack.admin('POST', '/objects', { kind: 'file', id: gone, team_id: teamId });
    await expect(client.batches.create({ ...BATCH, input_file_id: gone })).rejects.toMatchObject({
      ...{ status: 400, code: 'unbounded_request', param: 'input_file_id' },
      message: expect.stringMatching(/cannot be read now: upload it/),
    });
    const text = await fileOfBefore('no lines', 'batch', teamId);
    await expect(client.batches.create({ ...BATCH, input_file_id: text })).rejects.toMatchObject({
      ...{ status: 400, code: 'unbounded_request' },
    });
  });
});
