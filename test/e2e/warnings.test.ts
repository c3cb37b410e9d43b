/** Warnings from the call that reaches a threshold to the webhook and the header, on two replicas. */
import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { type App, startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { type Receiver, startReceiver } from '../jobs/receiver.ts';
import { noonZone } from '../support/noon.ts';
import { readBalance, readEvents, sumOf } from './books.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

const SECRET = Buffer.alloc(32, 7).toString('base64');
const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 100 };

let receiver: Receiver;
let stack: Stack;
let replica: App;
const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-e2e-'));
beforeAll(async () => {
  receiver = await startReceiver();
  const env = {
    TOLLGATE_WEBHOOK_URL: receiver.url,
    TOLLGATE_WEBHOOK_SECRET: `whsec_${SECRET}`,
    TOLLGATE_WEBHOOK_ALLOW_PRIVATE: 'true',
  };
  stack = await startStack({ env });
  const config = readConfig({
    ...env,
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: stack.simulator.url,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  replica = await startApp({ config, log, version: 'test', connection: stack.database.connection });
});
afterAll(async () => {
  await replica?.stop();
  await stack?.stop();
  await receiver?.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const call = (key: string, url = stack.app.url, body: object = CALL) =>
  fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      // So that it takes as many calls to reach a threshold, whatever the simulated model would say.
      'x-simulator': 'output=80',
    },
    body: JSON.stringify(body),
  });
const warningOf = async (answering: Promise<Response>) => {
  const answer = await answering;
  await answer.text();
  return answer.headers.get('x-tollgate-warning');
};
/** On a call that costs nothing, so that looking reaches no threshold. */
const warningOn = (key: string, url: string) =>
  warningOf(fetch(`${url}/v1/models`, { headers: { authorization: `Bearer ${key}` } }));
/** By threshold: which of two replicas is the first to send is chance. */
const sentOf = (teamId: string) =>
  receiver.received
    .filter(({ json }) => json.team_id === teamId)
    .sort((a, b) => Number(a.json.threshold) - Number(b.json.threshold));

/** Spends until a part of the team's grant is settled. */
async function spendTo(teamId: string, key: string, part: number): Promise<string> {
  for (;;) {
    const { grants } = await readBalance(stack, teamId);
    const grant = grants[0]!;
    if (Number(usd(grant.settled_usd)) >= part * Number(usd(grant.amount_usd))) return grant.id;
    await (await call(key)).text();
  }
}

async function metricOf(url: string, name: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  const line = page.split('\n').find((each) => each.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? 0);
}

it('a threshold warns within two seconds: once by webhook, in a header on every response of every replica, and as a metric', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.001' });
  expect(await warningOn(key, replica.url)).toBeNull();
  const grantId = await spendTo(teamId, key, 0.5);
  const header = `${grantId}; percent=50`;
  for (const url of [stack.app.url, replica.url]) {
    await expect.poll(() => warningOn(key, url)).toBe(header);
  }
  for (const body of [CALL, { ...CALL, stream: true }]) {
    expect(await warningOf(call(key, replica.url, body))).toBe(header);
  }

  await expect.poll(() => sentOf(teamId).length).toBeGreaterThan(0);
  const [sent] = sentOf(teamId);
  expect(sent!.json).toMatchObject({ grant_id: grantId, threshold: 50, amount: '0.001', meter: 'cost_usd' });
  expect(usd(sent!.json.settled as string)).toBeGreaterThanOrEqual(usd('0.0005'));
  const { 'webhook-id': id, 'webhook-timestamp': at } = sent!.headers;
  const signed = createHmac('sha256', Buffer.from(SECRET, 'base64')).update(`${id}.${at}.${sent!.body}`);
  expect(sent!.headers['webhook-signature']).toBe(`v1,${signed.digest('base64')}`);
  expect(Math.abs(Number(at) - Date.now() / 1000)).toBeLessThan(60);

  const metric = 'tollgate_warnings_total{threshold="50"}';
  expect((await metricOf(stack.app.url, metric)) + (await metricOf(replica.url, metric))).toBe(1);
});

it('every threshold is sent once although two replicas send warnings', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.0005' });
  await spendTo(teamId, key, 0.8);
  await expect.poll(() => sentOf(teamId).length).toBe(2);
  expect(sentOf(teamId).map(({ json }) => json.threshold)).toEqual([50, 80]);
  // Nothing is left to send, so nothing will come again.
  const rows = () => stack.database.sql`
    select threshold, attempts, next_attempt_at from warnings where team_id = ${teamId} order by threshold`;
  await expect
    .poll(async () => [...(await rows())])
    .toEqual([
      { threshold: 50, attempts: 1, next_attempt_at: null },
      { threshold: 80, attempts: 1, next_attempt_at: null },
    ]);
});

it('a soft limit admits calls beyond it, and warns of the excess', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const limit = await stack.admin<{ id: string }>('POST', '/limits', {
    subject: { type: 'team', id: teamId },
    meter: 'cost_usd',
    amount: '0.0001',
    window: { type: 'calendar', unit: 'month', time_zone: noonZone() },
    enforcement: 'soft',
  });
  for (let calls = 0; calls < 8; calls++) expect((await call(key)).status).toBe(200);
  await expect.poll(() => sentOf(teamId).length).toBe(3);
  const last = sentOf(teamId).at(-1)!.json;
  expect(last).toMatchObject({ limit_id: limit.id, enforcement: 'soft', threshold: 100, amount: '0.0001' });
  expect(usd(last.over_limit as string)).toBe(usd(last.settled as string) - usd('0.0001'));
  expect(last.text).toContain('Calls go on.');
  for (const url of [stack.app.url, replica.url]) {
    await expect.poll(() => warningOn(key, url)).toBe(`${limit.id}; percent=100`);
  }
  expect((await call(key)).status).toBe(200);
  const charged = sumOf(await readEvents(stack, teamId));
  const { limits } = await readBalance(stack, teamId);
  expect(limits[0]).toMatchObject({ remaining: '0.00', settled: formatUsd(charged) });
  expect(usd(limits[0]!.over_limit_usd)).toBe(charged - usd('0.0001'));
});

it('soft limits of tokens of one model and of each end user warn', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const soft = (subject: object, rest: object) =>
    stack.admin<{ id: string }>('POST', '/limits', {
      subject,
      window: { type: 'lifetime' },
      enforcement: 'soft',
      ...rest,
    });
  const tokens = await soft(
    { type: 'team', id: teamId },
    { meter: 'tokens', amount: '50', models: ['gpt-4o'] },
  );
  const users = await soft({ type: 'user', team_id: teamId }, { meter: 'requests', amount: '2' });
  const as = (user: string, model: string) => ({ ...CALL, model, user });
  for (let calls = 0; calls < 2; calls++)
    await (await call(key, stack.app.url, as('ann', 'gpt-4o-mini'))).text();
  await expect.poll(() => sentOf(teamId).length).toBe(3);
  expect(sentOf(teamId)[2]!.json).toMatchObject({
    limit_id: users.id,
    meter: 'requests',
    settled: '2',
    subject: { type: 'user', id: 'ann' },
  });
  const header = (user: string) => warningOf(call(key, replica.url, as(user, 'gpt-4o-mini')));
  await expect.poll(() => header('ann')).toBe(`${users.id}; percent=100`);
  expect(await header('bob')).toBeNull();
  const long = { ...as('eve', 'gpt-4o'), max_tokens: 500 };
  await (await stack.post(key, '/chat/completions', long, { 'x-simulator': 'output=200' })).text();
  const ofTokens = () => sentOf(teamId).filter(({ json }) => json.limit_id === tokens.id);
  await expect.poll(() => ofTokens().length).toBeGreaterThan(0);
  const [event] = (await readEvents(stack, teamId)).filter(({ model }) => model === 'gpt-4o');
  const used = usd(`${event!.input_tokens + event!.output_tokens}`);
  expect(usd(ofTokens()[0]!.json.settled as string)).toBe(used);
});

it('a strict budget warns at 100 % when it denies a call, because its last cents pay for none', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.0004' });
  await expect.poll(async () => (await call(key)).status, { interval: 1 }).toBe(429);
  await expect.poll(() => sentOf(teamId).length).toBe(3);
  const { json } = sentOf(teamId).find(({ json }) => json.threshold === 100)!;
  expect(json).toMatchObject({ denied: true });
  expect(usd(json.settled as string)).toBeLessThan(usd('0.0004'));
  expect(json.text).toContain('has used up its grant');
});

it('a call that is too large does not warn that its budget is spent', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.001' });
  await (await call(key)).text();
  expect((await call(key, stack.app.url, { ...CALL, max_tokens: 16_000 })).status).toBe(429);
  const { teamId: other, key: otherKey } = await stack.team({ grantUsd: '0.0005' });
  await spendTo(other, otherKey, 0.5);
  // The other's warning came from a later look, so the first refusal was looked at.
  await expect.poll(() => sentOf(other).length).toBeGreaterThan(0);
  expect(sentOf(teamId)).toEqual([]);
});

it('a denied call has the warning header too', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.0005' });
  await spendTo(teamId, key, 0.5);
  await expect.poll(() => warningOn(key, replica.url)).not.toBeNull();
  const answer = await call(key, replica.url, { ...CALL, max_tokens: 16_000 });
  expect(answer.status).toBe(429);
  expect(answer.headers.get('x-tollgate-warning')).toMatch('; percent=');
});
