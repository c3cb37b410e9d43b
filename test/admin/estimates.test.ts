/** `POST /admin/v1/estimates`: the planner at the prices of the database. */
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Estimate } from '../../src/admin/contract.ts';
import { runEstimate } from '../../src/main/estimate/run.ts';
import { loadSeed } from '../../src/store/seed-load.ts';
import { createTestAdmin, type TestAdmin } from './support.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin('2026-11-28T10:00:00.000Z');
  await loadSeed(admin.database);
});
afterAll(() => admin.close());

const ask = (body: unknown) => admin.ask('POST', '/estimates', body);
const USAGE = { kind: 'usage', calls_per_day: 10, prompt_tokens: 1000, answer_tokens: 0 };

test('pre-training is estimated as on the command line', async () => {
  const { status, body } = await ask({ kind: 'pretrain', preset: 'gpt-3' });
  expect(status).toBe(200);
  expect(Estimate.parse(body)).toMatchObject({ gpu_years: '355.6', published: { cost: '$4.6M' } });
});

test("usage is estimated at an admin's prices", async () => {
  const price = { model: 'house-1', input_usd: '1', output_usd: '2', source: 'our contract' };
  await admin.make('/prices', price);
  const { status, body } = await ask({ ...USAGE, models: ['house-1'] });
  expect(status).toBe(200);
  expect(Estimate.parse(body)).toMatchObject({
    ...{ date: '2026-11-28', days: 30 },
    models: [{ model: 'house-1', cost_usd: '0.30', credit_calls: '18000', source: 'our contract' }],
  });
});

test('a training file is counted in a thread', async () => {
  const example = {
    messages: [
      { role: 'user', content: 'hello world' },
      { role: 'assistant', content: 'yes' },
    ],
  };
  const file = `${JSON.stringify(example)}\n`.repeat(10);
  const { status, body } = await ask({ kind: 'fine_tune', model: 'gpt-4o-mini', epochs: 2, file });
  expect(status).toBe(200);
  expect(Estimate.parse(body)).toMatchObject({
    examples: 10,
    tokens: 140,
    trained_tokens: 280,
    problem_count: 0,
  });
  const known = await ask({ kind: 'fine_tune', model: 'gpt-4o-mini', tokens: 140, examples: 10 });
  expect(known.body).toMatchObject({ epochs: 10, trained_tokens: 1400 });
});

test('a batch is bounded as the gateway bounds its calls', async () => {
  const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 };
  const call = { custom_id: '1', method: 'POST', url: '/v1/chat/completions', body };
  const found = await ask({ kind: 'batch', file: JSON.stringify(call) });
  expect(found.status).toBe(200);
  expect(Estimate.parse(found.body)).toMatchObject({ lines: 1, models: [{ output_tokens: 1000 }] });
});

test("the command line reckons at the same prices, with the database's URL", async () => {
  const { connection } = admin.database;
  if (typeof connection === 'string') throw new Error('the database of the tests has a socket');
  const url = `postgres://${connection.user}@/${connection.database}?host=${dirname(connection.path)}`;
  let printed = '';
  const code = await runEstimate(
    'usage --calls-per-day 10 --prompt-tokens 1000 --answer-tokens 0 --models house-1 --format json'.split(
      ' ',
    ),
    {
      env: { DATABASE_URL: url },
      nowMs: Date.parse('2026-11-28T10:00:00.000Z'),
      stdout: (text) => {
        printed += text;
      },
      stderr: () => {},
      isTerminal: false,
    },
  );
  expect(code).toBe(0);
  const { body } = await ask({ ...USAGE, models: ['house-1'] });
  expect(JSON.parse(printed)).toEqual(body);
});

test.each([
  [{ kind: 'car' }, 'kind'],
  [{ kind: 'pretrain', flops: 3 }, 'flops'],
  [{ kind: 'pretrain', flops: '3' }, 'gpu'],
  [{ ...USAGE, prompt_tokens: -1 }, 'prompt_tokens'],
  [{ ...USAGE, more: 1 }, 'more'],
  [{ kind: 'fine_tune', model: 'gpt-4o-mini' }, 'file'],
  [{ kind: 'fine_tune', model: 'gpt-4o-mini', tokens: 1, file: 'x' }, 'tokens'],
  [{ kind: 'fine_tune', model: 'gpt-4o-mini', tokens: 1, epochs: 51 }, 'epochs'],
  [{ kind: 'fine_tune', model: 'gpt-4o-mini', file: 'x' }, 'file'],
  [{ ...USAGE, models: ['gpt-99'] }, 'models'],
])('%j is refused, naming the field', async (question, param) => {
  const { status, body } = await ask(question);
  expect(status).toBe(400);
  expect(body).toMatchObject({ error: { param } });
});
