/** What admins change while calls run binds within a second, and never the calls that were admitted before. */
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readBalance, readEvents, sumOf } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_QUEUE_TIMEOUT_MS: '0' } });
});
afterAll(() => stack.stop());

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 };
const status = async (key: string, body = {}) =>
  (await stack.post(key, '/chat/completions', { ...CALL, ...body })).status;

/** Calls until the answer is this one; fails unless that is within a second. */
const soon = (key: string, wanted: number) =>
  expect.poll(() => status(key), { timeout: 30_000, interval: 10 }).toBe(wanted);

const limitOf = async (teamId: string) => (await readBalance(stack, teamId)).limits[0]!;

it('a lowered limit binds within a second; calls in flight finish and show as over the limit', async () => {
  const { teamId, key } = await stack.team({ limitUsd: '1.00' });
  const slow = stack.post(key, '/chat/completions', CALL, { 'x-simulator': 'first_byte_ms=2500,output=900' });
  await expect.poll(() => stack.simulator.invoice().line_count, { interval: 5 }).toBeGreaterThan(0);
  const { id } = await limitOf(teamId);
  await stack.admin('PATCH', `/limits/${id}`, { amount: '0.0003' });
  await soon(key, 429);
  expect((await slow).status).toBe(200);
  const { settled, over_limit_usd } = await limitOf(teamId);
  expect(usd(settled)).toBe(sumOf(await readEvents(stack, teamId)));
  expect(usd(over_limit_usd)).toBe(usd(settled) - usd('0.0003'));
});

it('a raised limit binds within a second', async () => {
  const { teamId, key } = await stack.team({ limitUsd: '0.0001' });
  expect(await status(key)).toBe(429);
  const { id } = await limitOf(teamId);
  await stack.admin('PATCH', `/limits/${id}`, { amount: '1.00' });
  await soon(key, 200);
});

it('a new limit of a key binds within a second, and ends within a second of its deletion', async () => {
  const { key, keyId } = await stack.team({ grantUsd: '1.00' });
  expect(await status(key)).toBe(200);
  const { id } = await stack.admin<{ id: string }>('POST', '/limits', {
    subject: { type: 'key', id: keyId },
    meter: 'cost_usd',
    amount: '0.0001',
    window: { type: 'calendar', unit: 'day', time_zone: 'UTC' },
  });
  await soon(key, 429);
  await stack.admin('DELETE', `/limits/${id}`);
  await soon(key, 200);
});

it('a new grant pays within a second, and the deletion of the last one binds within a second', async () => {
  const { teamId, key } = await stack.team();
  expect(await status(key)).toBe(429);
  const { id } = await stack.admin<{ id: string }>('POST', '/grants', {
    team_id: teamId,
    amount_usd: '1.00',
  });
  await soon(key, 200);
  await stack.admin('DELETE', `/grants/${id}`);
  await soon(key, 429);
});

it('a new price applies within a second, to later calls', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '100.00' });
  const custom = { model: 'gpt-4o-mini-of-ours' };
  expect(await status(key, custom)).toBe(400);
  await stack.admin('POST', '/prices', {
    model: 'gpt-4o-mini',
    tier: 'default',
    input_usd: '10.00',
    output_usd: '10.00',
    source: 'our contract',
  });
  await expect
    .poll(
      async () => {
        await status(key, { max_tokens: 1 });
        const event = (await readEvents(stack, teamId)).at(-1)!;
        return usd(event.cost_usd) === BigInt(event.input_tokens + event.output_tokens) * 10_000_000n;
      },
      { timeout: 30_000 },
    )
    .toBe(true);
});

it('a call whose body is still arriving is bound by the rules at the time of its admission', async () => {
  const { key, keyId } = await stack.team({ grantUsd: '1.00' });
  const body = JSON.stringify(CALL);
  const { hostname, port, pathname } = new URL(`${stack.app.url}/v1/chat/completions`);
  const headers = { authorization: `Bearer ${key}`, 'content-length': body.length };
  const call = request({ hostname, port, path: pathname, method: 'POST', headers });
  call.write(body.slice(0, 10));
  expect(await status(key)).toBe(200);
  await stack.admin('POST', '/limits', {
    subject: { type: 'key', id: keyId },
    meter: 'cost_usd',
    amount: '0.0001',
    window: { type: 'lifetime' },
  });
  await soon(key, 429);
  call.end(body.slice(10));
  const [answer] = (await once(call, 'response')) as [IncomingMessage];
  answer.resume();
  expect(answer.statusCode).toBe(429);
});
