/** Jobs on two replicas of which one is killed at any moment: one settlement, and it is the bill. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Postgres } from '../../bench/attack/postgres.ts';
import { usd } from '../../src/domain/money.ts';
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts';
import { closeClient, openClient } from '../../src/store/database.ts';
import { temporaryFolder } from '../support/folder.ts';
import { readBooks } from './crash-books.ts';
import { GatewayProcess, until } from './crash-gateway.ts';

let folder: string;
let simulator: Simulator;
let postgres: Postgres;
const gateways: GatewayProcess[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  // Long enough that the kill comes while they run.
  simulator = await startSimulator({ profile: { jobMs: 4000 } });
  postgres = await Postgres.make(folder);
});
afterAll(async () => {
  await Promise.all(gateways.map((gateway) => gateway.kill()));
  await postgres?.stop();
  await simulator?.close();
});

async function serve(name: string): Promise<GatewayProcess> {
  const dataDir = join(folder, name);
  mkdirSync(dataDir, { recursive: true });
  const gateway = await GatewayProcess.serve({
    TOLLGATE_DATA_DIR: dataDir,
    DATABASE_URL: postgres.url,
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: simulator.url,
    TOLLGATE_LOG_LEVEL: 'warn',
    TOLLGATE_JOB_POLL_MS: '100',
  });
  gateways.push(gateway);
  return gateway;
}

/** On a busy machine Postgres may not take a hold in time: then nothing was asked of the upstream, and a client asks again. */
function clientOf(gateway: GatewayProcess, apiKey: string): OpenAI {
  return new OpenAI({ apiKey, baseURL: `${gateway.url}/v1`, maxRetries: 8 });
}

function jsonLines(count: number, line: (at: number) => object): Buffer {
  return Buffer.from(Array.from({ length: count }, (_, at) => JSON.stringify(line(at))).join('\n'));
}

/** Training by examples, by preference and by a grader, a response in the background, a batch, a run of an eval. */
const KINDS = 6;

/** Starts a job of each kind. */
async function startJobs(gateway: GatewayProcess, key: string): Promise<void> {
  const client = clientOf(gateway, key);
  const messages = [
    { role: 'user', content: 'What is it? 这是什么？' },
    { role: 'assistant', content: 'It is what it is.' },
  ];
  const body = { model: 'gpt-4o-mini', max_completion_tokens: 30, messages: messages.slice(0, 1) };
  const training = await client.files.create({
    file: await toFile(
      jsonLines(12, () => ({ messages })),
      'training.jsonl',
    ),
    purpose: 'fine-tune',
  });
  const answer = (content: string) => [{ role: 'assistant', content }];
  const pair = {
    input: { messages: messages.slice(0, 1) },
    preferred_output: answer('It is short.'),
    non_preferred_output: answer('It is said at length. '.repeat(5)),
  };
  const pairs = await client.files.create({
    file: await toFile(
      jsonLines(12, () => pair),
      'pairs.jsonl',
    ),
    purpose: 'fine-tune',
  });
  const calls = await client.files.create({
    file: await toFile(
      jsonLines(8, (at) => ({ custom_id: `${at}`, method: 'POST', url: '/v1/chat/completions', body })),
      'calls.jsonl',
    ),
    purpose: 'batch',
  });
  await client.fineTuning.jobs.create({ model: 'gpt-4.1', training_file: training.id });
  const method = { type: 'dpo', dpo: { hyperparameters: { beta: 0.1, n_epochs: 2 } } } as const;
  await client.fineTuning.jobs.create({ model: 'gpt-4.1-mini', training_file: pairs.id, method });
  const grader = {
    type: 'string_check',
    name: 'g',
    input: '{{a}}',
    reference: 'b',
    operation: 'eq',
  } as const;
  await client.fineTuning.jobs.create(
    {
      model: 'o4-mini-2025-04-16',
      training_file: training.id,
      method: { type: 'reinforcement', reinforcement: { grader } },
    },
    { headers: { 'x-tollgate-max-hours': '0.1' } },
  );
  await client.responses.create({
    model: 'gpt-4o-mini',
    input: 'What is it? 这是什么？',
    max_output_tokens: 40,
    background: true,
    tools: [
      { type: 'code_interpreter', container: { type: 'auto', memory_limit: '4g' } },
      { type: 'image_generation', model: 'gpt-image-1-mini', size: '1024x1024' },
      { type: 'web_search' },
    ],
  });
  const evaluated = await client.evals.create({
    data_source_config: { type: 'custom', item_schema: { type: 'object' }, include_sample_schema: true },
    testing_criteria: [
      {
        ...{ type: 'score_model', name: 'score', model: 'gpt-4o' },
        input: [{ role: 'user', content: 'How good is {{sample.output_text}}?' }],
      },
    ],
  });
  const content = Array.from({ length: 8 }, (_, at) => ({ item: { question: `What is ${at}?` } }));
  await client.evals.runs.create(evaluated.id, {
    data_source: {
      ...{ type: 'completions', model: 'gpt-4o-mini', source: { type: 'file_content', content } },
      input_messages: { type: 'template', template: [{ role: 'user', content: '{{item.question}}' }] },
      sampling_params: { max_completion_tokens: 30 },
    },
  });
  await client.batches.create({
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    input_file_id: calls.id,
  });
}

it('each job is settled once, at its bill, whichever replica is killed, and its hold comes back', async () => {
  const [maker, other] = await Promise.all([serve('maker'), serve('other')]);
  const { key } = await maker.team('team', '50.00');
  await startJobs(maker, key);
  await startJobs(other, key);
  await maker.kill();
  // Its journal is adopted while its jobs run.
  const again = await serve('maker');
  await other.kill();
  await until('the end of all jobs', async () => {
    const { data } = await again.admin<{ data: { operation: string; outcome: string }[] }>(
      'GET',
      '/events?limit=100',
    );
    const isJob = ({ operation, outcome }: (typeof data)[number]) =>
      outcome !== 'voided' &&
      /^(?:batches\.create|fine_tuning\.jobs\.create|evals\.runs\.create|responses)$/.test(operation);
    return data.filter(isJob).length === 2 * KINDS;
  });
  again.signal('SIGTERM');
  expect(await again.ended()).toBe(0);
  const books = await readBooks(postgres);
  const jobs = books.events.filter(({ hold, outcome }) => hold > 0n && outcome !== 'voided');
  expect(jobs.map(({ outcome }) => outcome)).toEqual(Array(2 * KINDS).fill('settled'));
  const cost = books.events.reduce((sum, event) => sum + event.cost, 0n);
  expect(cost).toBe(BigInt(simulator.invoice().total_pico_usd));
  for (const job of jobs) expect(job.hold).toBeGreaterThanOrEqual(job.cost);
  expect(books.counters).toMatchObject([{ settled: cost, held: 0n }]);
}, 120_000);

it('a job that the store has forgotten with the end of its maker is found in the journal, and costs its bill', async () => {
  const maker = await serve('forgotten');
  const { key, teamId } = await maker.team('forgotten', '50.00');
  const client = clientOf(maker, key);
  const example = { messages: [{ role: 'assistant', content: 'It is what it is.' }] };
  const { id: training_file } = await client.files.create({
    file: await toFile(
      jsonLines(12, () => example),
      'training.jsonl',
    ),
    purpose: 'fine-tune',
  });
  const before = BigInt(simulator.invoice().total_pico_usd);
  const job = await client.fineTuning.jobs.create({ model: 'gpt-4.1', training_file });
  await maker.kill();
  // As after a restore to a moment before the job. What it sent last may still be at work.
  const sql = openClient(postgres.url, 1);
  await until('the end of its sessions', async () => {
    const sessions = sql`select from pg_stat_activity where datname = current_database()
      and backend_type = 'client backend' and pid <> pg_backend_pid()`;
    return (await sessions).length === 0;
  });
  await sql`delete from jobs where team_id = ${teamId}`;
  await sql`delete from holds where team_id = ${teamId}`;
  await closeClient(sql);
  const again = await serve('forgotten');
  interface Listed {
    upstream_id: string;
    state: string;
    settled_usd: string | null;
  }
  let found: Listed | undefined;
  await until('the end of the job', async () => {
    const { data } = await again.admin<{ data: Listed[] }>('GET', `/jobs?team_id=${teamId}`);
    found = data.find((each) => each.upstream_id === job.id);
    return found !== undefined && found.settled_usd !== null;
  });
  const billed = BigInt(simulator.invoice().total_pico_usd) - before;
  expect(billed).toBeGreaterThan(0n);
  expect(found).toMatchObject({ state: 'settled' });
  expect(usd(found?.settled_usd ?? '0')).toBe(billed);
  const balance = await again.admin<{ settled_usd: string; held_usd: string; unknown_usd: string }>(
    'GET',
    `/teams/${teamId}/balance`,
  );
  expect(usd(balance.settled_usd)).toBe(billed);
  expect(usd(balance.unknown_usd)).toBe(0n);
}, 120_000);

it('a stream in the background outlives the replica that passed it on: another goes on with it, and it costs its bill', async () => {
  const [maker, other] = await Promise.all([serve('streaming'), serve('resuming')]);
  const { key, teamId } = await maker.team('streaming', '50.00');
  const before = BigInt(simulator.invoice().total_pico_usd);
  const stream = await clientOf(maker, key).responses.create({
    ...{ model: 'gpt-4o-mini', input: 'What is it?', max_output_tokens: 60 },
    ...{ background: true, stream: true },
  });
  const numbers: number[] = [];
  let id = '';
  const read = async () => {
    for await (const event of stream) {
      if (event.type === 'response.created') id = event.response.id;
      if (numbers.push(event.sequence_number) === 4) await maker.kill();
    }
  };
  await expect(read()).rejects.toThrow();
  const client = clientOf(other, key);
  const last = numbers.at(-1)!;
  for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: last }))
    numbers.push(event.sequence_number);
  expect(numbers).toEqual(numbers.map((_, at) => at));
  expect(numbers.length).toBeGreaterThan(8);
  // What its maker had in its journal changes nothing, before and after its end.
  const again = await serve('streaming');
  await until('its end', async () => {
    const { data } = await other.admin<{ data: { state: string }[] }>('GET', `/jobs?team_id=${teamId}`);
    return data.length === 1 && data[0]!.state === 'settled';
  });
  const billed = BigInt(simulator.invoice().total_pico_usd) - before;
  expect(billed).toBeGreaterThan(0n);
  const { data } = await again.admin<{ data: { operation: string; cost_usd: string; hold_usd: string }[] }>(
    'GET',
    `/events?team_id=${teamId}&limit=100`,
  );
  const events = data.filter(({ operation }) => operation === 'responses');
  expect(events.map(({ cost_usd }) => usd(cost_usd))).toEqual([billed]);
  expect(usd(events[0]!.hold_usd)).toBeGreaterThanOrEqual(billed);
  const balance = await again.admin<{ settled_usd: string; held_usd: string; unknown_usd: string }>(
    'GET',
    `/teams/${teamId}/balance`,
  );
  expect(usd(balance.settled_usd)).toBe(billed);
  expect([usd(balance.held_usd), usd(balance.unknown_usd)]).toEqual([0n, 0n]);
}, 120_000);
