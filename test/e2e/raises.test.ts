/** Resets and raises: a window that counts anew, more for some time, and the limit as it was afterwards; exact on several replicas. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { usd } from '../../src/domain/money.ts';
import { type App, startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { readBalance, readEvents, sumOf } from './books.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

let stack: Stack;
/** A second replica on the same database. */
let other: App;
const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-raises-'));
beforeAll(async () => {
  const env = { TOLLGATE_QUEUE_TIMEOUT_MS: '0' };
  stack = await startStack({ env });
  const config = readConfig({
    ...{ PORT: '0', OPENAI_API_KEY: 'sk-upstream', OPENAI_BASE_URL: stack.simulator.url, ...env },
    ...{ TOLLGATE_DATA_DIR: dataDir, TOLLGATE_ADMIN_KEY: ADMIN_KEY },
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  other = await startApp({ config, log, version: 'test', connection: stack.connection });
});
afterAll(async () => {
  await other.stop();
  await stack.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 };
/** At most $0.0006; costs about 0.00054 at 900 tokens. */
const ask = async (key: string, url: string, output: number) => {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'x-simulator': `output=${output}`,
    },
    body: JSON.stringify(CALL),
  });
  const body = (await response.json()) as { error?: { code: string } };
  return { status: response.status, code: body.error?.code };
};
const call = async (key: string, url = stack.app.url, output = 900) => (await ask(key, url, output)).status;
const POLL = { timeout: 30_000, interval: 20 };
const limitOf = async (teamId: string) => (await readBalance(stack, teamId)).limits[0]!;
const spentBy = async (teamId: string) => {
  // What each replica has recorded is flushed before it responds.
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  await (await fetch(`${other.url}/admin/v1/events?limit=1`, { headers })).text();
  return sumOf(await readEvents(stack, teamId));
};

/** Calls on both replicas until both deny for good: what the other one only holds may come back. */
async function exhaust(key: string): Promise<void> {
  await Promise.all(
    [stack.app.url, other.url].map(async (url) => {
      while ((await ask(key, url, 900)).code !== 'insufficient_quota') await delay(10);
    }),
  );
}

it('a reset lets the window count anew, once, on every replica; the ledger is unchanged', async () => {
  const { teamId, key } = await stack.team({ limitUsd: '0.003' });
  await exhaust(key);
  const before = await spentBy(teamId);
  expect(before).toBeLessThanOrEqual(usd('0.003'));
  expect(before).toBeGreaterThan(usd('0.0018'));
  const { id } = await limitOf(teamId);
  const reset = await stack.admin<{ reset_at: string; reset_reason: string; amount: string }>(
    'POST',
    `/limits/${id}/reset`,
    { reason: 'a test ran wild' },
  );
  expect(reset).toMatchObject({ reset_reason: 'a test ran wild', amount: '0.003' });
  expect(await spentBy(teamId)).toBe(before);
  const { settled, window_starts_at } = await limitOf(teamId);
  expect([settled, window_starts_at]).toEqual(['0.00', null]);
  for (const url of [stack.app.url, other.url]) await expect.poll(() => call(key, url, 1), POLL).toBe(200);
  await exhaust(key);
  const after = (await spentBy(teamId)) - before;
  expect(after).toBeLessThanOrEqual(usd('0.003'));
  expect(after).toBeGreaterThan(usd('0.0018'));
  expect(usd((await limitOf(teamId)).settled)).toBe(after);
  const log = await stack.admin<{ data: { after: Record<string, unknown> }[] }>(
    'GET',
    `/audit?resource=limit&team_id=${teamId}`,
  );
  expect(log.data.map((entry) => entry.after.reset_reason)).toContain('a test ran wild');
});

it('a call in flight at a reset settles where it was admitted', async () => {
  const { teamId, key } = await stack.team({ limitUsd: '0.003' });
  const lines = () => stack.simulator.invoice().line_count;
  const known = lines();
  const headers = { 'x-simulator': 'first_byte_ms=2500,output=900' };
  const slow = stack.post(key, '/chat/completions', CALL, headers);
  await expect.poll(lines, { ...POLL, interval: 5 }).toBeGreaterThan(known);
  const { id } = await limitOf(teamId);
  await stack.admin('POST', `/limits/${id}/reset`, { reason: 'now' });
  expect((await slow).status).toBe(200);
  expect(await spentBy(teamId)).toBeGreaterThan(0n);
  expect((await limitOf(teamId)).settled).toBe('0.00');
});

it('a raise adds its amount until its moment, and leaves the limit as it was', async () => {
  const { teamId, key } = await stack.team({ limitUsd: '0.003' });
  await exhaust(key);
  const { id, amount } = await limitOf(teamId);
  const until = new Date(Date.now() + 10_000);
  const raise = await stack.admin('POST', `/limits/${id}/raises`, {
    ...{ amount: '0.002', until: until.toISOString(), reason: 'until Friday' },
  });
  expect(raise).toMatchObject({ limit_id: id, amount: '0.002', until: until.toISOString() });
  for (const url of [stack.app.url, other.url]) await expect.poll(() => call(key, url, 1), POLL).toBe(200);
  const during = await limitOf(teamId);
  expect(during).toMatchObject({ amount, raises: [{ amount: '0.002', reason: 'until Friday' }] });
  await expect.poll(() => Date.now(), POLL).toBeGreaterThan(until.getTime() + 50);
  const spent = await spentBy(teamId);
  // Most of the raise is left, and perhaps lent; nothing of it is held any more.
  expect(await Promise.all([call(key, stack.app.url, 900), call(key, other.url, 900)])).toEqual([429, 429]);
  expect(await spentBy(teamId)).toBe(spent);
  const after = await limitOf(teamId);
  expect(after.amount).toBe(amount);
  expect(after.raises).toBeUndefined();
  expect(usd(after.settled)).toBeLessThanOrEqual(usd(amount));
});

it('with a raise not one cent more is spent than both amounts, on whichever replica', async () => {
  const { teamId, key } = await stack.team({ limitUsd: '0.002' });
  const { id } = await limitOf(teamId);
  const until = new Date(Date.now() + 600_000).toISOString();
  await stack.admin('POST', `/limits/${id}/raises`, { amount: '0.002', until, reason: 'a test' });
  await Promise.all([exhaust(key), exhaust(key)]);
  const spent = await spentBy(teamId);
  expect(spent).toBeLessThanOrEqual(usd('0.004'));
  expect(spent).toBeGreaterThan(usd('0.0028'));
  const { settled, raises } = await limitOf(teamId);
  expect(usd(settled) + usd(raises![0]!.settled)).toBe(spent);
  await stack.admin('DELETE', `/limits/${id}/raises`);
  await expect.poll(() => call(key, other.url), POLL).toBe(429);
  expect((await limitOf(teamId)).raises).toBeUndefined();
});

it('says what cannot be reset or raised', async () => {
  const { teamId } = await stack.team({ limitUsd: '1.00' });
  const rate = await stack.admin<{ id: string }>('POST', '/limits', {
    ...{ subject: { type: 'team', id: teamId }, meter: 'requests', amount: '5' },
    window: { type: 'rolling', seconds: 60 },
  });
  const { id } = await limitOf(teamId);
  const ask = async (path: string, body: unknown) => {
    const response = await fetch(`${stack.app.url}/admin/v1/limits/${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
      body: JSON.stringify(body),
    });
    return response.status;
  };
  const until = new Date(Date.now() + 60_000).toISOString();
  expect(await ask(`${rate.id}/reset`, { reason: 'why' })).toBe(409);
  expect(await ask(`${rate.id}/raises`, { amount: '5', until, reason: 'why' })).toBe(409);
  expect(await ask(`${id}/raises`, { amount: '5', until: '2020-01-01T00:00:00Z', reason: 'why' })).toBe(400);
  expect(await ask(`${id}/raises`, { amount: '5', until, reason: ' ' })).toBe(400);
  expect(await ask(`${id}/reset`, {})).toBe(400);
  expect(await ask(`${teamId}/reset`, { reason: 'why' })).toBe(404);
});

it('names of limits and grants stand wherever their ids do, also in denials', async () => {
  const { teamId, key } = await stack.team();
  const rule = { meter: 'cost_usd', amount: '0.0001', window: { type: 'lifetime' } };
  const limit = await stack.admin<{ id: string; name: string }>('POST', '/limits', {
    ...{ name: 'Q4 research', subject: { type: 'team', id: teamId }, ...rule },
  });
  expect(limit.name).toBe('Q4 research');
  const denied = await stack.post(key, '/chat/completions', CALL);
  expect(await denied.json()).toMatchObject({
    error: {
      ...{ code: 'insufficient_quota', limit_id: limit.id, limit_name: 'Q4 research' },
      message: expect.stringContaining('The limit "Q4 research" has $0.0001 left'),
    },
  });
  await stack.admin('PATCH', `/limits/${limit.id}`, { name: 'Q1 research' });
  expect((await limitOf(teamId)).name).toBe('Q1 research');
  const grant = await stack.admin<{ name: string }>('POST', '/grants', {
    ...{ team_id: teamId, amount_usd: '1', name: 'Welcome' },
  });
  expect(grant.name).toBe('Welcome');
  expect((await readBalance(stack, teamId)).grants[0]).toMatchObject({ name: 'Welcome' });
});
