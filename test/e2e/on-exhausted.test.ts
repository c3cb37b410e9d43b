/** What a limit does instead of refusing a call: it lets it wait, slows it down, or has it made with a cheaper model. Never silently. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { usd } from '../../src/domain/money.ts';
import { startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { readEvents, sumOf } from './books.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_QUEUE_TIMEOUT_MS: '0' } });
});
afterAll(() => stack.stop());

const POLL = { timeout: 60_000, interval: 20 };
/** Of tests that wait for other replicas, or for a turn, on a machine that does other work. */
const SLOW = { timeout: 120_000 };
const messages = [{ role: 'user', content: 'hello' }];
const HEADER = 'x-tollgate-on-exhausted';
const dear = { model: 'gpt-4o', messages, max_completion_tokens: 1000 };
const small = { model: 'gpt-4o-mini', messages, max_completion_tokens: 16 };

/** A team whose only budget, of a lifetime, does this when it is used up. */
async function teamWith(amount: string, onExhausted: object, more: object = {}) {
  const { teamId, key } = await stack.team();
  const { id } = await stack.admin<{ id: string }>('POST', '/limits', {
    ...{ subject: { type: 'team', id: teamId }, meter: 'cost_usd', amount, window: { type: 'lifetime' } },
    on_exhausted: onExhausted,
    ...more,
  });
  return { teamId, key, limitId: id };
}

const chat = (key: string, body: object) => stack.post(key, '/chat/completions', body);
async function eventsOf(teamId: string) {
  await stack.settled();
  const { data } = await stack.admin<{ data: { model: string; on_exhausted: object | null }[] }>(
    'GET',
    `/events?team_id=${teamId}`,
  );
  return data.map(({ model, on_exhausted }) => ({ model, on_exhausted }));
}

it(
  'a cheaper model is called where there is no money for the one that was asked for, and header and event say so',
  SLOW,
  async () => {
    const rule = { action: 'cheaper_model', models: ['gpt-4.1', 'gpt-4o-mini'] };
    const { teamId, key, limitId } = await teamWith('0.004', rule);
    const made = await chat(key, dear);
    expect([made.status, made.headers.get(HEADER)]).toEqual([
      200,
      `model=gpt-4o-mini; instead_of=gpt-4o; limit=${limitId}`,
    ]);
    expect(((await made.json()) as { model: string }).model).toMatch(/^gpt-4o-mini/);
    const streamed = await stack.post(key, '/responses', {
      model: 'gpt-4o',
      input: 'hello',
      stream: true,
      max_output_tokens: 1000,
    });
    expect(streamed.headers.get(HEADER)).toContain('model=gpt-4o-mini; instead_of=gpt-4o');
    expect(await streamed.text()).toContain('gpt-4o-mini');
    const plain = await chat(key, small);
    expect([plain.status, plain.headers.get(HEADER)]).toEqual([200, null]);
    const instead = { action: 'cheaper_model', limit_id: limitId, instead_of: 'gpt-4o' };
    const swapped = { model: 'gpt-4o-mini', on_exhausted: instead };
    await expect
      .poll(() => eventsOf(teamId), POLL)
      .toEqual([swapped, swapped, { ...swapped, on_exhausted: null }]);
    expect(sumOf(await readEvents(stack, teamId))).toBeLessThanOrEqual(usd('0.004'));
  },
);

it('a call is refused as ever where the budget is too small for all models, and spends nothing', async () => {
  const { teamId, key } = await teamWith('0.000001', { action: 'cheaper_model', models: ['gpt-4o-mini'] });
  const refused = await chat(key, dear);
  expect([refused.status, refused.headers.get(HEADER)]).toEqual([429, null]);
  expect(await refused.json()).toMatchObject({ error: { code: 'insufficient_quota' } });
  expect(await eventsOf(teamId)).toEqual([]);
});

const schema = {
  name: 'n',
  schema: { type: 'object', properties: {}, required: [], additionalProperties: false },
};
const format = { type: 'json_schema', json_schema: { ...schema, strict: true } };
const search = { type: 'web_search_preview' };
it.each<[string, string, object]>([
  [
    'wants a schema that the other model does not keep',
    '/chat/completions',
    { ...dear, response_format: format },
  ],
  [
    'has tools that the upstream runs',
    '/responses',
    { model: 'gpt-4o', input: 'hi', tools: [search], max_output_tokens: 1000 },
  ],
])('no other model is called for a call that %s', async (_, path, body) => {
  const { teamId, key } = await teamWith('0.004', { action: 'cheaper_model', models: ['gpt-3.5-turbo'] });
  const refused = await stack.post(key, path, body);
  expect([refused.status >= 400, refused.headers.get(HEADER)]).toEqual([true, null]);
  expect(await eventsOf(teamId)).toEqual([]);
});

it('a call that continues a stored response stays with its model', SLOW, async () => {
  const { teamId, key, limitId } = await teamWith('0.02', {
    action: 'cheaper_model',
    models: ['gpt-4o-mini'],
  });
  const body = { model: 'gpt-4o', input: 'hello', max_output_tokens: 1000 };
  const first = await stack.post(key, '/responses', body, { 'x-simulator': 'output=1' });
  const { id } = (await first.json()) as { id: string };
  await stack.settled();
  await stack.admin('PATCH', `/limits/${limitId}`, { amount: '0.004' });
  const plain = async () =>
    (await stack.post(key, '/responses', body, { 'x-simulator': 'output=1' })).headers.get(HEADER);
  await expect.poll(plain, POLL).toContain('model=gpt-4o-mini');
  const next = await stack.post(key, '/responses', { ...body, previous_response_id: id });
  expect([next.status, next.headers.get(HEADER)]).toEqual([429, null]);
  expect(sumOf(await readEvents(stack, teamId))).toBeLessThanOrEqual(usd('0.004'));
});

it('a schema goes to a model that keeps schemas; a model that the key may not use, or that is no cheaper, is left out', async () => {
  const rule = { action: 'cheaper_model', models: ['gpt-4o-2024-05-13', 'gpt-4.1-nano', 'gpt-4o-mini'] };
  const { teamId, limitId } = await teamWith('0.004', rule);
  const { key } = await stack.admin<{ key: string }>('POST', '/keys', {
    ...{ team_id: teamId, name: 'few models', models: ['gpt-4o', 'gpt-4o-mini'] },
  });
  const made = await chat(key, { ...dear, response_format: format });
  expect([made.status, made.headers.get(HEADER)]).toEqual([
    200,
    `model=gpt-4o-mini; instead_of=gpt-4o; limit=${limitId}`,
  ]);
});

it('a call waits for its turn under a rate, and header and event say how long', SLOW, async () => {
  const { teamId, key } = await stack.team({ grantUsd: '1.00' });
  const { id } = await stack.admin<{ id: string }>('POST', '/limits', {
    ...{ subject: { type: 'team', id: teamId }, meter: 'requests', amount: '1' },
    ...{ window: { type: 'rolling', seconds: 1 }, on_exhausted: { action: 'wait', max_seconds: 60 } },
  });
  const all = await Promise.all([chat(key, small), chat(key, small), chat(key, small)]);
  expect(all.map(({ status }) => status)).toEqual([200, 200, 200]);
  const headers = all.map(({ headers }) => headers.get(HEADER)).filter((text) => text !== null);
  expect(headers.length).toBeGreaterThan(0);
  for (const text of headers) expect(text).toMatch(new RegExp(`^waited=[0-9.]+; limit=${id}$`));
  const isWait = ({ on_exhausted }: { on_exhausted: object | null }) =>
    (on_exhausted as { action?: string } | null)?.action === 'wait';
  await expect.poll(async () => (await eventsOf(teamId)).filter(isWait).length, POLL).toBe(headers.length);
});

it('a call waits for more money, and is refused when none has come', SLOW, async () => {
  const { teamId, key, limitId } = await teamWith('0.000001', { action: 'wait', max_seconds: 120 });
  const waiting = chat(key, small);
  const isRefused = async () =>
    (await chat((await teamWith('0.000001', { action: 'wait', max_seconds: 1 })).key, small)).status;
  expect(await isRefused()).toBe(429);
  await stack.admin('PATCH', `/limits/${limitId}`, { amount: '0.01' });
  const made = await waiting;
  expect(made.status).toBe(200);
  expect(made.headers.get(HEADER)).toContain(`limit=${limitId}`);
  expect(sumOf(await readEvents(stack, teamId))).toBeLessThanOrEqual(usd('0.01'));
});

it(
  'from a part of its amount on a limit slows calls down; what would wait too long is told when to come again',
  SLOW,
  async () => {
    const rule = { action: 'slow_down', calls_per_minute: 1, from_percent: 1 };
    const { key, limitId, teamId } = await teamWith('0.0005', rule);
    const write = (ofKey: string) =>
      stack.post(ofKey, '/chat/completions', small, { 'x-simulator': 'output=16' });
    expect((await write(key)).status).toBe(200);
    // What is used is known here once a call has ended: the next has the first turn, and the one after it would wait a minute.
    const statuses: number[] = [];
    for (let call = 0; call < 2; call++) statuses.push((await write(key)).status);
    expect(statuses).toEqual([200, 429]);
    const slowed = await write(key);
    expect(Number(slowed.headers.get('retry-after-ms'))).toBeLessThanOrEqual(60_000);
    expect(await slowed.json()).toMatchObject({ error: { code: 'rate_limit_exceeded', limit_id: limitId } });
    await stack.admin('PATCH', `/limits/${limitId}`, { on_exhausted: { ...rule, calls_per_minute: 60 } });
    const next = async () => (await write(key)).headers.get(HEADER);
    await expect.poll(next, POLL).toMatch(new RegExp(`^slowed=[0-9.]+; limit=${limitId}$`));
    const spent = async () => sumOf(await readEvents(stack, teamId));
    expect(await spent()).toBeLessThanOrEqual(usd('0.0005'));
  },
);

it(
  'a burst of calls waits until one of them has heard what others have spent, and is slowed down by that',
  SLOW,
  async () => {
    const { teamId, key } = await stack.team({ grantUsd: '1.00' });
    const write = (ofKey: string) =>
      stack.post(ofKey, '/chat/completions', small, { 'x-simulator': 'output=16' });
    expect((await write(key)).status).toBe(200);
    await stack.settled();
    // Of a new limit this instance knows nothing; what was spent before counts.
    const rule = { action: 'slow_down', calls_per_minute: 1, from_percent: 1 };
    await stack.admin('POST', '/limits', {
      ...{ subject: { type: 'team', id: teamId }, meter: 'cost_usd', amount: '0.0005' },
      ...{ window: { type: 'lifetime' }, on_exhausted: rule },
    });
    // A key that was used before may have its old rules for a second. One call asks, and one has the first turn.
    const { key: other } = await stack.admin<{ key: string }>('POST', '/keys', {
      team_id: teamId,
      name: 'other',
    });
    const all = await Promise.all(Array.from({ length: 8 }, () => write(other)));
    expect(all.map(({ status }) => status).sort()).toEqual([200, 200, ...Array(6).fill(429)]);
  },
);

it('a call that waits is told to come again when its gateway stops', SLOW, async () => {
  const { key } = await teamWith('0.000001', { action: 'wait', max_seconds: 300 });
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-waits-'));
  const config = readConfig({
    ...{ PORT: '0', OPENAI_API_KEY: 'sk-upstream', OPENAI_BASE_URL: stack.simulator.url },
    ...{ TOLLGATE_DATA_DIR: dataDir, TOLLGATE_ADMIN_KEY: ADMIN_KEY, TOLLGATE_DRAIN_TIMEOUT_MS: '3600000' },
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const app = await startApp({ config, log, version: 'test', connection: stack.connection });
  const waiting = fetch(`${app.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(small),
  });
  const metrics = async () => (await fetch(`${app.url}/metrics`)).text();
  await expect.poll(metrics, POLL).toMatch(/^tollgate_in_flight_calls 1$/m);
  await app.stop();
  const refused = await waiting;
  expect([refused.status, await refused.json()]).toMatchObject([503, { error: { code: 'shutting_down' } }]);
  rmSync(dataDir, { recursive: true, force: true });
});

it('a limit says what it does, can be changed to refuse, and a plan gives it to its teams', async () => {
  const rule = { action: 'wait', max_seconds: 7 };
  const { limitId } = await teamWith('1.00', rule);
  expect(await stack.admin('GET', `/limits/${limitId}`)).toMatchObject({ on_exhausted: rule });
  const refuse = { action: 'refuse' };
  expect(await stack.admin('PATCH', `/limits/${limitId}`, { on_exhausted: refuse })).toMatchObject({
    on_exhausted: refuse,
  });
  const limit = { meter: 'cost_usd', amount: '1.00', window: { type: 'lifetime' }, on_exhausted: rule };
  await stack.admin('POST', '/plans', { name: 'patient', limits: [limit] });
  const { id } = await stack.admin<{ id: string }>('POST', '/teams', {
    name: 'patient team',
    plan: 'patient',
  });
  expect(await stack.admin('GET', `/limits?team_id=${id}`)).toMatchObject({ data: [{ on_exhausted: rule }] });
});

it.each<[string, object]>([
  ['a soft limit', { enforcement: 'soft', on_exhausted: { action: 'wait', max_seconds: 5 } }],
  [
    'a rate that is to be slowed down',
    {
      meter: 'requests',
      amount: '5',
      window: { type: 'rolling', seconds: 60 },
      on_exhausted: { action: 'slow_down', calls_per_minute: 5 },
    },
  ],
  [
    'a fine-tuned model as the cheaper one',
    { on_exhausted: { action: 'cheaper_model', models: ['ft:gpt-4o-mini:acme::1'] } },
  ],
  ['no model at all', { on_exhausted: { action: 'cheaper_model', models: [] } }],
  ['a wait without an end', { on_exhausted: { action: 'wait' } }],
])('%s is refused', async (_, change) => {
  const { teamId } = await stack.team();
  const response = await fetch(`${stack.app.url}/admin/v1/limits`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      ...{
        subject: { type: 'team', id: teamId },
        meter: 'cost_usd',
        amount: '1.00',
        window: { type: 'lifetime' },
      },
      ...change,
    }),
  });
  expect(response.status).toBe(400);
  expect(await response.text()).toContain('on_exhausted');
});
