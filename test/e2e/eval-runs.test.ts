/** Runs of evals through the SDK, the gateway and the simulator: held item by item, settled at what each of their models used. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Difference } from '../../src/domain/differences.ts';
import { usd } from '../../src/domain/money.ts';
import { RateCards } from '../../src/domain/price.ts';
import { DAY_MS } from '../../src/domain/window.ts';
import { createDayReport } from '../../src/jobs/day-report.ts';
import { reconcileDays } from '../../src/jobs/reconcile-days.ts';
import { DEFAULT_PROFILE, type Mode } from '../../src/simulator/profile.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';
import { until } from './crash-gateway.ts';
import * as steps from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
const seed = readSeed();
/** As the stack has it. */
const UPSTREAM_KEY = 'sk-upstream';

beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_JOB_POLL_MS: '50' } });
});
afterAll(() => stack.stop());

const clientOf = (key: string) => steps.clientOf(stack, key);
const heldBy = (teamId: string) => steps.heldBy(stack, teamId);

type Criteria = OpenAI.Evals.EvalCreateParams['testing_criteria'];

const LABELS = {
  ...{ type: 'label_model', name: 'label', model: 'gpt-4.1-mini', labels: ['good', 'bad'] },
  passing_labels: ['good'],
  input: [{ role: 'user', content: 'Is {{sample.output_text}} a good answer to {{item.question}}?' }],
} satisfies Criteria[number];
const SCORE = {
  ...{ type: 'score_model', name: 'score', model: 'gpt-4o', range: [0, 1] },
  input: [{ role: 'user', content: 'Compare {{sample.output_text}} with {{ item.answer }}.' }],
  sampling_params: { max_completions_tokens: 40 },
} satisfies Criteria[number];
const EQUAL = {
  ...{ type: 'string_check', name: 'equal', operation: 'eq' },
  ...{ input: '{{sample.output_text}}', reference: '{{item.answer}}' },
} satisfies Criteria[number];
const CODE = {
  ...{ type: 'python', name: 'code', source: 'def grade(sample, item): return 1.0' },
} satisfies Criteria[number];

const SCHEMA = { type: 'custom', item_schema: { type: 'object' }, include_sample_schema: true } as const;

async function evalOf(client: OpenAI, ...testing_criteria: Criteria): Promise<string> {
  return (await client.evals.create({ data_source_config: SCHEMA, testing_criteria })).id;
}

const items = (count: number) =>
  Array.from({ length: count }, (_, at) => ({
    item: { question: `What is the capital of country ${at}? 首都是什么？`, answer: `City ${at}` },
  }));

const QUESTION = {
  type: 'template' as const,
  template: [{ type: 'message' as const, role: 'user' as const, content: '{{item.question}}' }],
};

function completions(count: number, more: object = {}): OpenAI.Evals.RunCreateParams {
  return {
    data_source: {
      ...{ type: 'completions', model: 'gpt-4o-mini', input_messages: QUESTION },
      source: { type: 'file_content', content: items(count) },
      sampling_params: { max_completion_tokens: 30 },
    },
    ...more,
  };
}

/** Starts a run, follows it to its end, and holds it to the invoice; returns the row of the job, what was held and what was billed. */
async function runOf(
  by: { key: string; teamId: string },
  evalId: string,
  body: OpenAI.Evals.RunCreateParams,
) {
  const client = clientOf(by.key);
  const since = stack.simulator.invoice().line_count;
  const { data: run, response } = await client.evals.runs.create(evalId, body).withResponse();
  const held = usd(response.headers.get('x-tollgate-hold-usd')!);
  const row = await steps.endOf(stack, run.id);
  const billed = steps.billedFor(stack, /^evals\.(?:chat\.completions|responses)$/, since);
  expect(held).toBeGreaterThanOrEqual(billed);
  expect(usd(row.settled_usd!)).toBe(billed);
  expect(await heldBy(by.teamId)).toMatchObject({ held: 0n, settled: billed });
  return { run, row, held, billed };
}

describe.each<[Mode]>([['normal'], ['worst']])('an upstream that bills as %s', (mode) => {
  beforeAll(() => stack.simulator.setMode(mode));
  afterAll(() => stack.simulator.setMode('normal'));

  it.each([
    ['completions', completions(5)],
    [
      'responses',
      {
        data_source: {
          ...{ type: 'responses', model: 'gpt-4o-mini', input_messages: QUESTION },
          source: { type: 'file_content', content: items(5) },
          sampling_params: { max_completion_tokens: 30 },
        },
      } satisfies OpenAI.Evals.RunCreateParams,
    ],
  ])(
    'a run of %s is held at its model and those that grade, and settled at what they used',
    async (_type, body) => {
      const team = await stack.team({ grantUsd: '50.00' });
      const client = clientOf(team.key);
      const evalId = await evalOf(client, LABELS, SCORE, EQUAL, CODE);
      const { run, row, billed } = await runOf(team, evalId, body);
      expect(billed).toBeGreaterThan(0n);
      expect(row.state).toBe('settled');
      const done = await client.evals.runs.retrieve(run.id, { eval_id: evalId });
      expect(done.status).toBe('completed');
      const asked = done.per_model_usage.map(({ model_name: name, invocation_count: calls }) => [
        name,
        calls,
      ]);
      expect(asked).toHaveLength(3);
      for (const [, calls] of asked) expect(calls).toBe(5);
    },
  );
});

it('the bill of a day is explained by what each model of a run used, and calls outside of the gateway are named', async () => {
  const adminKey = 'sk-admin-of-the-upstream';
  const { url } = stack.simulator;
  const { key } = await stack.team({ grantUsd: '50.00' });
  const messages = [{ role: 'user' as const, content: 'hi' }];
  const call = { model: 'gpt-4o-mini', max_completion_tokens: 20, messages };
  await clientOf(key).chat.completions.create(call);
  const since = stack.simulator.invoice().line_count;
  // With the gateway's own key, and of a model that runs have asked.
  const outside = new OpenAI({ apiKey: UPSTREAM_KEY, baseURL: url, maxRetries: 0 });
  await outside.chat.completions.create(call);
  const billed = steps.billedFor(stack, /^chat/, since);
  await stack.settled();
  const found: Difference[] = [];
  const never = new AbortController().signal;
  await reconcileDays(
    {
      ...{ database: stack.database, upstream: null, rates: () => new RateCards(seed.prices, seed.models) },
      readDay: createDayReport({ baseUrl: url, adminKey, keys: [UPSTREAM_KEY] }),
      ...{ callDurationMs: 600_000, reportDelayMs: 0, finalAfterDays: 3 },
      nowMs: () => Date.now() + 2 * DAY_MS,
      onDay: (_day, { differences }) => found.push(...differences),
    },
    never,
  );
  // A run over midnight is named, on both days.
  const named = found.filter(({ kind }) => kind !== 'day_boundary');
  expect(named).toMatchObject([{ kind: 'outside_gateway', amount: billed }]);
});

it('a run over a file of items takes them from the team’s own, and without a model to ask it costs nothing', async () => {
  const team = await stack.team({ grantUsd: '5.00' });
  const client = clientOf(team.key);
  const evalId = await evalOf(client, SCORE);
  const lines = items(20).map(({ item }) => JSON.stringify({ item, sample: { output_text: '城市 7' } }));
  const file = await toFile(Buffer.from(lines.join('\n')), 'items.jsonl');
  const { id } = await client.files.create({ file, purpose: 'evals' });
  const data_source = { type: 'jsonl', source: { type: 'file_id', id } } as const;
  const { billed, run } = await runOf(team, evalId, { data_source });
  expect(billed).toBeGreaterThan(0n);
  const { data: listed } = await stack.admin<{ data: object[] }>(
    'GET',
    `/jobs?team_id=${team.teamId}&kind=eval_run`,
  );
  expect(listed).toMatchObject([
    {
      kind: 'eval_run',
      state: 'settled',
      upstream_id: run.id,
      model: 'gpt-4o',
    },
  ]);
  const other = await stack.team({ grantUsd: '5.00' });
  const stranger = clientOf(other.key);
  const own = await evalOf(stranger, EQUAL);
  await expect(stranger.evals.runs.create(own, { data_source })).rejects.toMatchObject({
    ...{ status: 404, code: 'not_found', param: 'data_source.source.id' },
  });
  for (const of of [evalId, own])
    await expect(stranger.evals.runs.retrieve(run.id, { eval_id: of })).rejects.toMatchObject({
      status: 404,
    });
  await expect(stranger.evals.runs.create(evalId, completions(1))).rejects.toMatchObject({ status: 404 });
  const content = [{ item: { question: 'q', file_id: 'file_of_mine', Model: 'x' } }];
  const free = { data_source: { type: 'jsonl', source: { type: 'file_content', content } } } as const;
  const row = await steps.endOf(stack, (await stranger.evals.runs.create(own, free)).id);
  expect(row).toMatchObject({ state: 'voided', settled_usd: '0.000000000000', held_usd: '0.000000000000' });
  const idsOf = async (of: OpenAI, at: string) => (await of.evals.runs.list(at)).data.map((each) => each.id);
  expect(await idsOf(client, evalId)).toEqual([run.id]);
  expect(await idsOf(stranger, own)).not.toContain(run.id);
});

describe('a run that does not end by itself', () => {
  it.each([
    ['failed', { metadata: { simulator: 'fail' } }, 'failed'],
    ['was cancelled', {}, 'canceled'],
  ])('and has %s pays for what its models used', async (_what, more, reason) => {
    // Longer than the test needs to change it, also on a busy machine.
    stack.simulator.setProfile({ jobMs: 5000 });
    onTestFinished(() => stack.simulator.setProfile({ jobMs: DEFAULT_PROFILE.jobMs }));
    const team = await stack.team({ grantUsd: '50.00' });
    const client = clientOf(team.key);
    const evalId = await evalOf(client, SCORE);
    const since = stack.simulator.invoice().line_count;
    const { id } = await client.evals.runs.create(evalId, completions(30, more));
    const billedNow = () => steps.billedFor(stack, /^evals\./, since);
    if (reason === 'canceled') {
      await expect(client.evals.runs.delete(id, { eval_id: evalId })).rejects.toMatchObject({
        ...{ status: 409, code: 'conflict' },
      });
      await expect(client.evals.delete(evalId)).rejects.toMatchObject({ status: 409, code: 'conflict' });
      await until('the first item', () => Promise.resolve(billedNow() > 0n));
      await client.evals.runs.cancel(id, { eval_id: evalId });
    }
    const row = await steps.endOf(stack, id);
    expect(row.state).toBe('settled');
    expect(usd(row.settled_usd!)).toBe(billedNow());
    expect(usd(row.held_usd)).toBeGreaterThan(billedNow());
    expect(await heldBy(team.teamId)).toMatchObject({ held: 0n, settled: billedNow() });
    const [event] = await stack.database.sql<{ reason: string }[]>`
      select reason from usage_events where team_id = ${team.teamId} and operation = 'evals.runs.create'`;
    expect(event!.reason).toBe(reason);
    await client.evals.runs.delete(id, { eval_id: evalId });
    await expect(client.evals.runs.retrieve(id, { eval_id: evalId })).rejects.toMatchObject({ status: 404 });
  });

  it('and never says what was used stays at its hold', async () => {
    const team = await stack.team({ grantUsd: '50.00' });
    const client = clientOf(team.key);
    const evalId = await evalOf(client, SCORE);
    const { id } = await client.evals.runs.create(
      evalId,
      completions(2, { metadata: { simulator: 'silent' } }),
    );
    const row = await steps.endOf(stack, id);
    expect(row).toMatchObject({ state: 'unknown', settled_usd: row.held_usd });
  });
});

describe('a run that nothing bounds is refused before it starts', () => {
  const source = { type: 'file_content', content: items(1) } as const;
  const sampled = { type: 'completions', model: 'gpt-4o-mini', input_messages: QUESTION } as const;
  const template = (content: unknown) => ({ type: 'template', template: [{ role: 'user', content }] });
  it.each<[string, object, string, RegExp]>([
    [
      'stored completions',
      { ...sampled, source: { type: 'stored_completions', limit: 5 } },
      'source.type',
      /all teams/,
    ],
    [
      'stored responses',
      { ...sampled, type: 'responses', source: { type: 'responses' } },
      'source.type',
      /all teams/,
    ],
    [
      'an image',
      { ...sampled, source, input_messages: template([{ type: 'input_image', image_url: 'x' }]) },
      '',
      /input_image/,
    ],
    [
      'more than places',
      { ...sampled, source, input_messages: template('{% for a in item.b %}x{% endfor %}') },
      '',
      /places/,
    ],
    [
      'a place of a filter',
      { ...sampled, source, input_messages: template('{{item.b * 1000}}') },
      '',
      /places/,
    ],
    [
      'tools of the upstream',
      { ...sampled, type: 'responses', source, sampling_params: { tools: [{ type: 'web_search' }] } },
      'tools',
      /tools of the upstream/,
    ],
    ['a model that searches', { ...sampled, model: 'gpt-5-search-api', source }, 'model', /searches/],
  ])('%s', async (_what, data_source, param, message) => {
    const { key } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const evalId = await evalOf(client, EQUAL);
    const made = client.post(`/evals/${evalId}/runs`, { body: { data_source } });
    await expect(made).rejects.toMatchObject({
      ...{ status: 400, code: 'unbounded_request' },
      param: expect.stringContaining(param),
      message: expect.stringMatching(message),
    });
  });

  it.each<[string, Criteria[number], string, RegExp]>([
    [
      'embeddings',
      {
        type: 'text_similarity',
        name: 's',
        input: 'a',
        reference: 'b',
        evaluation_metric: 'cosine',
        pass_threshold: 1,
      } as Criteria[number],
      'unbounded_request',
      /grader/,
    ],
    ['a model without a price', { ...SCORE, model: 'nobody' }, 'unknown_price', /nobody/],
  ])('a grader that asks %s', async (_what, grader, code, message) => {
    const { key } = await stack.team({ grantUsd: '5.00' });
    const client = clientOf(key);
    const evalId = await evalOf(client, grader);
    await expect(client.evals.runs.create(evalId, completions(1))).rejects.toMatchObject({
      ...{ status: 400, code, message: expect.stringMatching(message) },
    });
  });

  it('several models where a limit counts one of them', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const { id } = await stack.admin('POST', '/limits', {
      ...{ subject: { type: 'team', id: teamId }, models: [LABELS.model], meter: 'cost_usd', amount: '1.00' },
      window: { type: 'lifetime' },
    });
    const client = clientOf(key);
    const evalId = await evalOf(client, LABELS);
    await expect(client.evals.runs.create(evalId, completions(1))).rejects.toMatchObject({
      ...{ status: 400, code: 'unbounded_request', param: 'data_source', error: { limit_id: id } },
    });
    const run = await client.evals.runs.create(await evalOf(client, EQUAL), completions(1));
    // What it bills is not taken for a later run's.
    await steps.endOf(stack, run.id);
  });

  it('what does not fit, with what would', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '0.01' });
    const client = clientOf(key);
    const evalId = await evalOf(client, LABELS);
    const since = stack.simulator.invoice().line_count;
    await expect(client.evals.runs.create(evalId, completions(40))).rejects.toMatchObject({
      ...{ status: 429, code: 'insufficient_quota' },
      error: { remaining_usd: '0.01', items: 40, affordable_items: expect.any(Number) },
    });
    expect(steps.billedFor(stack, /^evals\./, since)).toBe(0n);
    expect(await heldBy(teamId)).toMatchObject({ held: 0n, settled: 0n });
  });
});
