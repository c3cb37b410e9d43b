/**
 * Webhooks of the upstream through the SDK, two replicas and the simulator: a job is settled as it ends, long before it would be asked
 * about again, and once. Whatever else comes changes nothing.
 */
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpenAI, toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { usd } from '../../src/domain/money.ts';
import { type App, startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { readMetric } from './books.ts';
import { until } from './crash-gateway.ts';
import { billedFor, clientOf, endOf, heldBy } from './job-steps.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER_SECRET = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const PATH = '/webhooks/upstream';
const NEVER_MS = 600_000;
/** Long enough for the first look at all kinds of jobs to come before their end, also on a busy machine. */
const JOB_MS = 8_000;
const SHORT_JOB_MS = 1_000;
const folder = mkdtempSync(join(tmpdir(), 'tollgate-webhooks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ASKED = { model: 'gpt-4.1', input: 'Say it.', max_output_tokens: 60, background: true } as const;

interface Sent {
  secret?: string;
  id?: string;
  atS?: number;
  body?: string;
  headers?: Record<string, string>;
}

/** POSTs an event as the upstream would. */
async function send(url: string, event: object | string, sent: Sent = {}) {
  const text = typeof event === 'string' ? event : JSON.stringify(event);
  const { secret = SECRET, id = 'wh_test', atS = Math.floor(Date.now() / 1000), body = text } = sent;
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${atS}.${text}`).digest('base64');
  const signed = {
    'webhook-id': id,
    'webhook-timestamp': String(atS),
    'webhook-signature': `v1,${signature}`,
  };
  const headers = { 'content-type': 'application/json', ...signed, ...sent.headers };
  const response = await fetch(url, { method: 'POST', headers, body });
  const json = (await response.json()) as { error?: { code: string; message: string } };
  return {
    status: response.status,
    error: json.error ?? null,
    retryAfter: response.headers.get('retry-after'),
  };
}

const ended = (id: string, type = 'response.completed') => ({
  ...{ id: 'evt_test', object: 'event', type, created_at: 1, data: { id } },
});

/** Whether a job was asked about and is left alone for minutes. */
async function isLeft(stack: Stack, upstreamId: string): Promise<boolean> {
  const [row] = await stack.database.sql<{ left: boolean }[]>`
    select next_poll_at > tollgate_now() + interval '60 seconds' and followed_until is null as left
    from jobs where upstream_id = ${upstreamId} and ended_at is null`;
  return row?.left ?? false;
}

const left = (stack: Stack, upstreamId: string) =>
  until(`a first look at ${upstreamId}`, () => isLeft(stack, upstreamId));

async function eventsOf(stack: Stack, teamId: string): Promise<{ outcome: string; cost_usd: string }[]> {
  return await stack.database.sql<{ outcome: string; cost_usd: string }[]>`
    select outcome, cost_usd from usage_events where team_id = ${teamId}`;
}

describe('a job', () => {
  let stack: Stack;
  let replica: App;

  beforeAll(async () => {
    const env = { TOLLGATE_JOB_POLL_MS: String(NEVER_MS), TOLLGATE_UPSTREAM_WEBHOOK_SECRET: SECRET };
    stack = await startStack({ env, simulator: { profile: { jobMs: JOB_MS, webhookSecret: SECRET } } });
    const config = readConfig({
      ...{ PORT: '0', OPENAI_API_KEY: 'sk-upstream', OPENAI_BASE_URL: stack.simulator.url, ...env },
      ...{ TOLLGATE_DATA_DIR: join(folder, 'replica'), TOLLGATE_ADMIN_KEY: ADMIN_KEY },
    }) as Config;
    const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
    replica = await startApp({ config, log, version: 'test', connection: stack.connection });
    stack.simulator.setProfile({ webhookUrl: `${replica.url}${PATH}` });
  });
  afterAll(async () => {
    await replica.stop();
    await stack.stop();
  });

  async function fileOf(client: OpenAI, lines: object[], purpose: 'batch' | 'fine-tune'): Promise<string> {
    const file = await toFile(Buffer.from(lines.map((line) => JSON.stringify(line)).join('\n')), 'a.jsonl');
    return (await client.files.create({ file, purpose })).id;
  }

  const BEGIN: Record<string, (client: OpenAI) => Promise<string>> = {
    'a response in the background': async (client) => (await client.responses.create(ASKED)).id,
    'a batch': async (client) => {
      const body = {
        ...{ model: 'gpt-4.1', max_completion_tokens: 50 },
        messages: [{ role: 'user', content: 'x' }],
      };
      const line = { custom_id: 'a', method: 'POST', url: '/v1/chat/completions', body };
      const input_file_id = await fileOf(client, [line], 'batch');
      const asked = { endpoint: '/v1/chat/completions', completion_window: '24h', input_file_id } as const;
      return (await client.batches.create(asked)).id;
    },
    'a fine-tuning job': async (client) => {
      const messages = ['user', 'assistant'].map((role) => ({ role, content: 'It is a city.' }));
      const training_file = await fileOf(client, Array(20).fill({ messages }), 'fine-tune');
      return (await client.fineTuning.jobs.create({ model: 'gpt-4o-mini', training_file })).id;
    },
    'a run of an eval': async (client) => {
      const reference = '{{item.answer}}';
      const { id } = await client.evals.create({
        data_source_config: { type: 'custom', item_schema: { type: 'object' }, include_sample_schema: true },
        testing_criteria: [
          {
            type: 'string_check',
            name: 'equal',
            operation: 'eq',
            input: '{{sample.output_text}}',
            reference,
          },
        ],
      });
      const content = [{ item: { question: 'Where?', answer: 'There.' } }];
      const template = [{ type: 'message' as const, role: 'user' as const, content: '{{item.question}}' }];
      const run = await client.evals.runs.create(id, {
        data_source: {
          ...{ type: 'completions', model: 'gpt-4o-mini', sampling_params: { max_completion_tokens: 30 } },
          ...{ source: { type: 'file_content', content }, input_messages: { type: 'template', template } },
        },
      });
      return run.id;
    },
  };

  /** The lines of the invoice, by which those of other kinds are told apart. */
  const BILLED_AS: Record<string, RegExp> = {
    'a response in the background': /^responses\.background$/,
    'a batch': /^batch\./,
    'a fine-tuning job': /^fine_tuning\.job$/,
    'a run of an eval': /^evals\..*completions$/,
  };

  describe('of each kind, all at once,', () => {
    let begun: Record<string, { id: string; teamId: string }>;
    let since: number;
    beforeAll(async () => {
      since = stack.simulator.invoice().line_count;
      const jobs = Object.entries(BEGIN).map(async ([what, begin]) => {
        const { key, teamId } = await stack.team({ grantUsd: '5.00' });
        const id = await begin(clientOf(stack, key));
        await left(stack, id);
        return [what, { id, teamId }] as const;
      });
      begun = Object.fromEntries(await Promise.all(jobs));
    });

    it.each(Object.entries(BILLED_AS))(
      '%s is settled as it ends, and once, whichever replica hears of it',
      async (what, billedAs) => {
        const { id, teamId } = begun[what]!;
        const row = await endOf(stack, id);
        expect(row.state).toBe('settled');
        const billed = billedFor(stack, billedAs, since);
        expect(billed).toBeGreaterThan(0n);
        expect(usd(row.settled_usd!)).toBe(billed);
        expect(await heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: billed });
        const events = (await eventsOf(stack, teamId)).filter(({ cost_usd }) => usd(cost_usd) > 0n);
        expect(events).toEqual([{ outcome: 'settled', cost_usd: row.settled_usd }]);
      },
    );
  });

  it('that was announced twice, and once more long after, is settled once', async () => {
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    stack.simulator.setProfile({
      ...{ jobMs: SHORT_JOB_MS, webhookRepeatChance: 1, webhookUrl: `${stack.app.url}${PATH}` },
    });
    const { id } = await clientOf(stack, key).responses.create(ASKED);
    const row = await endOf(stack, id);
    const count = async () => (await readMetric(stack, 'tollgate_upstream_webhooks_total')).entries();
    const heard = async () =>
      [...(await count())].filter(([labels]) => /"response",outcome="(due|no_job)"/.test(labels));
    await until('both', async () => (await heard()).reduce((sum, [, value]) => sum + value, 0) >= 2);
    expect(await send(`${replica.url}${PATH}`, ended(id))).toMatchObject({ status: 200 });
    const [{ count: events }] = (await stack.database.sql`
      select count(*)::int4 as count from usage_events where team_id = ${teamId}`) as [{ count: number }];
    expect(events).toBe(1);
    expect(await heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: usd(row.settled_usd!) });
    stack.simulator.setProfile({ webhookRepeatChance: 0, webhookUrl: `${replica.url}${PATH}` });
  });

  describe('that goes on', () => {
    let id: string;
    beforeAll(async () => {
      stack.simulator.setProfile({ jobMs: NEVER_MS });
      const { key } = await stack.team({ grantUsd: '5.00' });
      ({ id } = await clientOf(stack, key).responses.create(ASKED));
      await left(stack, id);
    });
    afterAll(() => stack.simulator.setProfile({ jobMs: SHORT_JOB_MS }));

    const NOW_S = Math.floor(Date.now() / 1000);
    const wrong: [string, Sent, RegExp][] = [
      ['forged', { secret: OTHER_SECRET }, /not of this upstream's secret/],
      ['changed', { body: JSON.stringify(ended('resp_other')) }, /not of this upstream's secret/],
      ['stale', { atS: NOW_S - 3600 }, /five minutes ago/],
      ['early', { atS: NOW_S + 3600 }, /five minutes ahead/],
      ['without a signature', { headers: { 'webhook-signature': '' } }, /not of this upstream's secret/],
      ['with a time in words', { headers: { 'webhook-timestamp': 'now' } }, /Unix time/],
      ['with another id', { headers: { 'webhook-id': 'wh_other' } }, /not of this upstream's secret/],
    ];

    it.each(wrong)('is left alone by a webhook %s', async (_what, sent, message) => {
      const { status, error } = await send(`${replica.url}${PATH}`, ended(id), sent);
      expect(status).toBe(400);
      expect(error).toMatchObject({ code: 'invalid_request', message: expect.stringMatching(message) });
      expect(await isLeft(stack, id)).toBe(true);
    });

    it('is left alone by one without headers, and by one that is too large', async () => {
      const bare = await fetch(`${replica.url}${PATH}`, { method: 'POST', body: JSON.stringify(ended(id)) });
      expect(bare.status).toBe(400);
      const large = await send(`${replica.url}${PATH}`, { ...ended(id), more: 'x'.repeat(70_000) });
      expect(large).toMatchObject({ status: 413, error: { code: 'request_too_large' } });
      expect(await isLeft(stack, id)).toBe(true);
    });

    it.each([
      ['of another job', ended('resp_of_nobody')],
      ['of another kind', ended('x', 'video.completed')],
      ['of another kind of job', 'batch.completed'],
      ['that is no JSON', '{"type":'],
    ])('is left alone by one %s, which is taken', async (_what, event) => {
      const sent = event === 'batch.completed' ? ended(id, event) : event;
      expect(await send(`${replica.url}${PATH}`, sent)).toMatchObject({ status: 200 });
      expect(await isLeft(stack, id)).toBe(true);
    });

    it('is asked about at one that says it has ended, and goes on', async () => {
      const asked = async () => {
        const [row] = await stack.database.sql<{ fence: string }[]>`
          select fence::text from jobs where upstream_id = ${id} and ended_at is null`;
        return Number(row!.fence);
      };
      const before = await asked();
      expect(await send(`${replica.url}${PATH}`, ended(id))).toMatchObject({ status: 200, error: null });
      await until('a look', async () => (await asked()) > before && (await isLeft(stack, id)));
    });

    it('is not hidden by a flood of wrong ones, which are told to wait', async () => {
      const url = `${stack.app.url}${PATH}`;
      const answers = [];
      for (let at = 0; at < 40; at++) answers.push(await send(url, ended(id), { secret: OTHER_SECRET }));
      expect(answers.slice(0, 30).map(({ status }) => status)).toEqual(Array(30).fill(400));
      expect(answers.slice(30).map(({ status }) => status)).toEqual(Array(10).fill(429));
      expect(Number(answers.at(-1)!.retryAfter)).toBeGreaterThan(0);
      expect(await send(url, ended(id))).toMatchObject({ status: 200 });
      const counted = await readMetric(stack, 'tollgate_upstream_webhooks_total');
      expect(counted.get('kind="other",outcome="refused"')).toBe(40);
    });
  });
});

it('a webhook that is lost is not missed: the job is asked about as always', async () => {
  const env = { TOLLGATE_JOB_POLL_MS: '300', TOLLGATE_UPSTREAM_WEBHOOK_SECRET: SECRET };
  const stack = await startStack({ env, simulator: { profile: { jobMs: 500, webhookLossChance: 1 } } });
  try {
    stack.simulator.setProfile({ webhookUrl: `${stack.app.url}${PATH}`, webhookSecret: SECRET });
    const { key, teamId } = await stack.team({ grantUsd: '5.00' });
    const { id } = await clientOf(stack, key).responses.create(ASKED);
    const row = await endOf(stack, id);
    expect(await heldBy(stack, teamId)).toMatchObject({ held: 0n, settled: usd(row.settled_usd!) });
    const counted = await readMetric(stack, 'tollgate_upstream_webhooks_total');
    expect([...counted.values()].every((value) => value === 0)).toBe(true);
  } finally {
    await stack.stop();
  }
});

it('without a secret there is nothing to send them to', async () => {
  const stack = await startStack();
  try {
    for (const path of [PATH, `${PATH}/openai`])
      expect(await send(`${stack.app.url}${path}`, ended('resp_x'))).toMatchObject({
        ...{ status: 404, error: { code: 'not_found' } },
      });
  } finally {
    await stack.stop();
  }
});

it('of several upstreams each has its own secret, its own path and its own jobs', async () => {
  const path = join(folder, 'tollgate.yaml');
  const secretPath = join(folder, 'second-secret');
  writeFileSync(secretPath, `${OTHER_SECRET}\n`);
  writeFileSync(path, 'upstreams: [{ name: none, base_url: "http://127.0.0.1:1/v1", key: x }]\n');
  const env = { TOLLGATE_CONFIG_FILE: path, TOLLGATE_JOB_POLL_MS: String(NEVER_MS) };
  const stack = await startStack({ env, simulator: { profile: { jobMs: NEVER_MS } } });
  try {
    const upstream = (name: string, models: string, secret: string) =>
      `  - { name: ${name}, base_url: "${stack.simulator.url}", key: sk-${name}, models: [${models}]${secret} }\n`;
    writeFileSync(
      path,
      `upstreams:\n${upstream('first', 'gpt-4.1', `, webhook_secret: ${SECRET}`)}${upstream('second', 'gpt-4o', `, webhook_secret_file: ${secretPath}`)}${upstream('third', 'gpt-4o', '')}`,
    );
    process.emit('SIGHUP');
    const at = (name: string) => `${stack.app.url}${PATH}/${name}`;
    await until('the file', async () => (await send(at('first'), ended('resp_x'))).status === 200);
    const { key } = await stack.team({ grantUsd: '5.00' });
    const { id } = await clientOf(stack, key).responses.create(ASKED);
    await left(stack, id);
    expect(await send(at('first'), ended(id), { secret: OTHER_SECRET })).toMatchObject({ status: 400 });
    expect(await send(at('second'), ended(id))).toMatchObject({ status: 400 });
    // Signed as it should be, but the job is not its own.
    expect(await send(at('second'), ended(id), { secret: OTHER_SECRET })).toMatchObject({ status: 200 });
    for (const url of [at('third'), at('nobody'), `${stack.app.url}${PATH}`])
      expect(await send(url, ended(id))).toMatchObject({ status: 404 });
    expect(await isLeft(stack, id)).toBe(true);
    await clientOf(stack, key).responses.cancel(id);
    await endOf(stack, id);
  } finally {
    await stack.stop();
  }
});
