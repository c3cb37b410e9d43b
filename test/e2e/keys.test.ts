/** What a key may do, and when that ends. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { hashKey } from '../../src/auth/keys.ts';
import { type Config, readConfig } from '../../src/config.ts';
import { usd } from '../../src/domain/money.ts';
import { startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { readBalance, readEvents, sumOf } from './books.ts';
import { sdk6, sdk7 } from './callers.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const HELLO = { messages: [{ role: 'user' as const, content: 'hello' }] };

/** A second where nothing else runs; far below the minutes of a lease, also on a busy machine. */
const SOON_MS = 10_000;

/** Calls something free until it is refused; returns how. Throws when that takes too long. */
async function untilRefused(key: string) {
  const sinceMs = performance.now();
  for (;;) {
    const response = await fetch(`${stack.app.url}/v1/models`, {
      headers: { authorization: `Bearer ${key}` },
    });
    const body = (await response.json()) as { error?: { code: string; message: string } };
    if (!response.ok) return { status: response.status, ...body.error };
    if (performance.now() - sinceMs > SOON_MS) throw new Error('it is never refused');
    await setTimeout(10);
  }
}

it('a revoked key stops working within a second, while other keys of its team work on', async () => {
  const { teamId, key, keyId } = await stack.team({ grantUsd: '1.00' });
  const other = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'other' });
  await stack.post(key, '/chat/completions', { model: 'gpt-4o-mini', ...HELLO });
  await stack.admin('DELETE', `/keys/${keyId}`);
  const refused = await untilRefused(key);
  expect(refused).toMatchObject({
    status: 401,
    code: 'invalid_api_key',
    message: expect.stringMatching('revoked'),
  });
  expect((await stack.post(other.key, '/moderations', { input: 'x' })).status).toBe(200);
  expect(await readEvents(stack, teamId)).not.toEqual([]);
});

it('warns of a model that will be shut down, once the list of models has passed; so does an instance that starts later', async () => {
  const { key } = await stack.team({ grantUsd: '10.00' });
  const warned = async (model: string, url = stack.app.url) => {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const body = JSON.stringify({ model, max_tokens: 20, ...HELLO });
    const response = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body });
    return response.headers.get('x-tollgate-warning');
  };
  await fetch(`${stack.app.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } });
  await expect.poll(() => warned('gpt-4')).toBe('gpt-4; shutdown_date=2026-10-23');
  expect(await warned('gpt-4o-mini')).toBeNull();
  const stored = () => stack.database.sql`select model, day from model_shutdowns`;
  await expect.poll(stored, { timeout: 30_000 }).toEqual([{ model: 'gpt-4', day: '2026-10-23' }]);
  const dataDir = mkdtempSync(join(tmpdir(), 'tollgate-keys-'));
  const config = readConfig({
    PORT: '0',
    OPENAI_API_KEY: 'sk-upstream',
    OPENAI_BASE_URL: stack.simulator.url,
    TOLLGATE_DATA_DIR: dataDir,
    TOLLGATE_ADMIN_KEY: ADMIN_KEY,
  }) as Config;
  const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
  const later = await startApp({ config, log, version: 'test', connection: stack.database.connection });
  try {
    expect(await warned('gpt-4', later.url)).toBe('gpt-4; shutdown_date=2026-10-23');
  } finally {
    await later.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
});

it('a key stops working when its team is deleted', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '1.00' });
  await stack.admin('DELETE', `/teams/${teamId}`);
  expect(await untilRefused(key)).toMatchObject({ status: 401 });
});

it('a key stops working when it expires', async () => {
  const { teamId } = await stack.team({ grantUsd: '1.00' });
  const expiresAt = new Date(Date.now() + 3000);
  const { key } = await stack.admin<{ key: string }>('POST', '/keys', {
    team_id: teamId,
    name: 'short',
    expires_at: expiresAt.toISOString(),
  });
  const refused = await untilRefused(key);
  expect(refused).toMatchObject({
    status: 401,
    code: 'invalid_api_key',
    message: expect.stringMatching('expired'),
  });
  const lateMs = Date.now() - expiresAt.getTime();
  expect(lateMs).toBeGreaterThan(-50);
  expect(lateMs).toBeLessThan(SOON_MS);
});

it('a key is rotated without a failed call: both texts work for the time of grace, and its limit counts both', async () => {
  const { teamId, key, keyId } = await stack.team({ grantUsd: '1.00' });
  const limit = { subject: { type: 'key', id: keyId }, meter: 'cost_usd', amount: '0.01' };
  await stack.admin('POST', '/limits', { ...limit, window: { type: 'lifetime' } });
  const rotated = await stack.admin<{ id: string; key: string }>('POST', `/keys/${keyId}/rotate`, {
    grace_seconds: 60,
  });
  const body = { model: 'gpt-4o-mini', ...HELLO };
  for (const text of [key, rotated.key])
    expect((await stack.post(text, '/chat/completions', body)).status).toBe(200);
  const events = await readEvents(stack, teamId);
  expect(events.map((event) => event.key_id)).toEqual([keyId, keyId]);
  const { limits } = await readBalance(stack, teamId);
  expect(usd(limits[0]!.settled)).toBe(sumOf(events));
  await stack.admin('POST', `/keys/${keyId}/rotate`, {});
  for (const text of [key, rotated.key]) {
    expect(await untilRefused(text)).toMatchObject({ status: 401, code: 'invalid_api_key' });
  }
});

it('a key works as soon as it is created', async () => {
  const { teamId } = await stack.team({ grantUsd: '1.00' });
  const made = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'new' });
  expect((await stack.post(made.key, '/moderations', { input: 'x' })).status).toBe(200);
});

it.each([sdk7, sdk6])(
  'a key may use its allowed models and their snapshots, and no others (%s)',
  async (sdk) => {
    const { teamId } = await stack.team({ grantUsd: '1.00' });
    const { key } = await stack.admin<{ key: string }>('POST', '/keys', {
      team_id: teamId,
      name: 'narrow',
      models: ['gpt-4o-mini'],
    });
    const { chat, models } = sdk(stack.app.url, key);
    const lines = () => stack.simulator.invoice().line_count;
    for (const model of ['gpt-4o-mini', 'gpt-4o-mini-2024-07-18'])
      await chat.completions.create({ model, ...HELLO });
    const before = lines();
    for (const model of ['gpt-4o', 'gpt-4o-mini-', 'ft:gpt-4o-mini-2024-07-18:acme::1', 'GPT-4o-mini']) {
      await expect(chat.completions.create({ model, ...HELLO })).rejects.toMatchObject({
        status: 403,
        code: 'model_not_allowed',
        param: 'model',
      });
    }
    await expect(models.retrieve('gpt-4o')).rejects.toMatchObject({ status: 403 });
    expect(lines()).toBe(before);
    expect(await readEvents(stack, teamId)).toHaveLength(2);
  },
);

it('a key of a release before the checksum stays valid', async () => {
  const { key, keyId } = await stack.team({ unlimited: true });
  const old = key.slice(0, 46);
  await stack.database.sql`update keys set hash = ${hashKey(old)} where id = ${keyId}`;
  expect((await stack.post(old, '/moderations', { input: 'x' })).status).toBe(200);
});

it('guesses cost Postgres next to nothing, and keep no key from working', async () => {
  const { key } = await stack.team({ unlimited: true });
  const call = (bearer: string) =>
    fetch(`${stack.app.url}/v1/models`, { headers: { authorization: `Bearer ${bearer}` } });
  expect((await call(key)).status).toBe(200);
  const transactions = async () => {
    const [row] = await stack.database.sql<{ count: number }[]>`
      select (xact_commit + xact_rollback)::float8 as count from pg_stat_database
      where datname = current_database()`;
    return row!.count;
  };
  const before = await transactions();
  const statuses: Record<number, number> = {};
  const random = () => randomBytes(64).toString('base64url');
  // All within the minute for which the limit counts, also on a busy machine.
  for (let tried = 0; tried < 1500; tried += 3) {
    // No key; what may be a key of before; what has a checksum's length.
    const guesses = [random(), `tg-${random().slice(0, 43)}`, `tg-${random().slice(0, 49)}`];
    for (const response of await Promise.all(guesses.map(call))) {
      statuses[response.status] = (statuses[response.status] ?? 0) + 1;
      if (response.status === 429) expect(response.headers.has('retry-after-ms')).toBe(true);
      await response.arrayBuffer();
    }
  }
  expect(statuses).toEqual({ 401: 1060, 429: 440 });
  expect((await call(key)).status).toBe(200);
  // Sixty look-ups, and what the gateway does by itself meanwhile.
  expect((await transactions()) - before).toBeLessThan(400);
});
