/** Teams, keys and calls that would rather be refused than get a shortened answer. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_QUEUE_TIMEOUT_MS: '2500' } });
});
afterAll(() => stack.stop());

/** A whole answer, 8,192 tokens, costs $0.0049. */
const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
const HEADER = 'x-tollgate-on-shortage';

/** `says`: what the header of the call says; null: there is none. */
async function ask(key: string, says: string | null, changes: object = {}) {
  const headers = says === null ? {} : { [HEADER]: says };
  const response = await stack.post(key, '/chat/completions', { ...CALL, ...changes }, headers);
  const { error } = (await response.json()) as {
    error?: { code: string; message: string; affordable_output_tokens?: number };
  };
  const limit = Number(response.headers.get('x-tollgate-output-limit'));
  return { status: response.status, limit, code: error?.code, message: error?.message ?? '', error };
}

const SHORTENED = { status: 200, code: undefined };
const REFUSED = { status: 429, code: 'insufficient_quota' };

it('the header comes before the key, the key before its team, and nobody says anything: shortened', async () => {
  const { teamId, keyId, key } = await stack.team({ grantUsd: '0.002' });
  const of = (path: string, says: string | null) => stack.admin('PATCH', path, { on_shortage: says });
  /** The catalog follows a change in a moment. */
  const becomes = (says: string | null, what: object) =>
    expect.poll(() => ask(key, says), { timeout: 30_000 }).toMatchObject(what);
  await becomes(null, SHORTENED);
  await becomes('refuse', REFUSED);
  expect(await of(`/teams/${teamId}`, 'refuse')).toMatchObject({ on_shortage: 'refuse' });
  await becomes(null, REFUSED);
  await becomes('shorten', SHORTENED);
  expect(await of(`/keys/${keyId}`, 'shorten')).toMatchObject({ on_shortage: 'shorten' });
  await becomes(null, SHORTENED);
  await becomes('refuse', REFUSED);
  await of(`/teams/${teamId}`, null);
  await of(`/keys/${keyId}`, 'refuse');
  await becomes(null, REFUSED);
  await of(`/keys/${keyId}`, null);
  await becomes(null, SHORTENED);
});

it('a refusal comes before anything is paid, and says with what the call would pass', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.001' });
  const before = stack.simulator.invoice().line_count;
  const refused = await ask(key, 'refuse');
  const most = refused.error?.affordable_output_tokens;
  expect(refused).toMatchObject(REFUSED);
  expect(most).toBeGreaterThan(1000);
  expect(refused.message).toContain(`'${HEADER}: shorten'`);
  expect(refused.message).toContain(`at most ${most} output tokens`);
  expect(stack.simulator.invoice().line_count).toBe(before);
  expect(await readEvents(stack, teamId)).toEqual([]);
  // What no shorter answer would change is not promised.
  const poor = await stack.team({ grantUsd: '0.0001' });
  const hopeless = await ask(poor.key, 'refuse');
  expect(hopeless).toMatchObject(REFUSED);
  expect(hopeless.message).not.toContain(HEADER);
});

it('what the client limits itself, and what has money enough, is as ever', async () => {
  const { key } = await stack.team({ grantUsd: '0.001' });
  expect(await ask(key, 'refuse', { max_tokens: 100 })).toMatchObject(SHORTENED);
  const rich = await stack.team({ grantUsd: '0.0055' });
  const granted = await ask(rich.key, 'refuse');
  expect(granted.status).toBe(200);
  expect(granted.limit).toBeGreaterThanOrEqual(8192);
});

it('while only held money is in the way it waits, and then has a whole answer', async () => {
  const { key } = await stack.team({ grantUsd: '0.009' });
  const first = await begin(key, 'first_byte_ms=700,output=10');
  const waited = await ask(key, 'refuse');
  expect(waited.status).toBe(200);
  expect(waited.limit).toBeGreaterThanOrEqual(8192);
  expect((await first()).status).toBe(200);
});

it('while money stays held it is told to come again, and that a shorter answer may pass', async () => {
  const { key } = await stack.team({ grantUsd: '0.009' });
  const first = await begin(key, 'first_byte_ms=7000,output=10');
  const refused = await ask(key, 'refuse');
  expect(refused).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
  expect(refused.message).toContain(`'${HEADER}: shorten'`);
  const shortened = await ask(key, 'shorten');
  expect(shortened.status).toBe(200);
  expect(shortened.limit).toBeLessThan(8192);
  await first();
});

it('a hold larger than one call may have is refused with the way out', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '1.00' });
  const subject = { type: 'team', id: teamId };
  const rule = { meter: 'cost_usd', amount: '1.00', window: { type: 'lifetime' }, enforcement: 'strict' };
  await stack.admin('POST', '/limits', { subject, ...rule, max_hold: '0.001' });
  await expect.poll(() => ask(key, 'refuse'), { timeout: 30_000 }).toMatchObject({ code: 'hold_too_large' });
  expect((await ask(key, 'refuse')).message).toContain(`'${HEADER}: shorten'`);
  expect((await ask(key, 'shorten')).status).toBe(200);
});

it.each(['', 'Refuse', 'deny', 'shorten, refuse'])('the header says nothing else (%j)', async (says) => {
  const { key } = await stack.team({ grantUsd: '1.00' });
  const refused = await ask(key, says);
  expect(refused).toMatchObject({ status: 400, code: 'invalid_request' });
  expect(refused.message).toContain(HEADER);
});

/** Begins a call that holds $0.006; returns its answer to come once it is at the upstream. */
async function begin(key: string, directives: string): Promise<() => Promise<Response>> {
  const before = stack.simulator.invoice().line_count;
  const body = { ...CALL, max_tokens: 10_000 };
  const answer = stack.post(key, '/chat/completions', body, { 'x-simulator': directives });
  await expect.poll(() => stack.simulator.invoice().line_count, { interval: 5 }).toBeGreaterThan(before);
  return () => answer;
}
