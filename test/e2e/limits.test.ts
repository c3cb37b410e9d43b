/** Limits of every subject, meter and window over HTTP: each binds, and its denial names it. */
import { toFile } from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { noonZone } from '../support/noon.ts';
import { readBalance } from './books.ts';
import { clientOf } from './job-steps.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 20 };
const LIFETIME = { type: 'lifetime' };
const MINUTE = { type: 'rolling', seconds: 60 };

interface Refusal {
  error: Record<string, string | number | null>;
}

const limit = (body: Record<string, unknown>) =>
  stack.admin<{ id: string }>('POST', '/limits', { window: LIFETIME, ...body });

function call(key: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return stack.post(key, '/chat/completions', { ...CALL, ...body }, headers);
}

/** Makes calls until one is denied; returns how many were admitted, and the denial. */
async function untilRefused(key: string, most: number, body: object = {}, headers = {}) {
  for (let passed = 0; passed <= most; passed++) {
    const response = await call(key, body, headers);
    if (response.status !== 200) return { passed, response, body: (await response.json()) as Refusal };
    await response.arrayBuffer();
  }
  throw new Error(`${most} calls passed`);
}

it('a limit of requests in a calendar month denies the fourth of three, and says when it resets', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  // Days begin about half a day from now, so that no month ends meanwhile. Kolkata is five hours and a half ahead of UTC.
  const hour = new Date().getUTCHours();
  const start_hour = (hour + 17) % 24;
  const resets = `T${String((hour + 11) % 24).padStart(2, '0')}:30:00.000Z`;
  const { id } = await limit({
    subject: { type: 'team', id: teamId },
    meter: 'requests',
    amount: '3',
    window: { type: 'calendar', unit: 'month', time_zone: 'Asia/Kolkata', start_hour },
  });
  const { passed, response, body } = await untilRefused(key, 5);
  expect([passed, response.status, response.headers.get('x-should-retry')]).toEqual([3, 429, 'false']);
  expect(body.error).toMatchObject({ code: 'insufficient_quota', limit_id: id, remaining_requests: '0' });
  expect(body.error.resets_at).toMatch(new RegExp(`${resets}$`));
  const { limits } = await readBalance(stack, teamId);
  expect(limits[0]).toMatchObject({ meter: 'requests', amount: '3', settled: '3', remaining: '0' });
});

it.each([
  ['tokens', '900'],
  ['output_tokens', '65'],
  ['input_tokens', '600'],
])('a limit of %s holds the worst case, then counts what the upstream reported', async (meter, amount) => {
  const { teamId, key } = await stack.team({ unlimited: true });
  await limit({ subject: { type: 'team', id: teamId }, meter, amount });
  const { passed, body } = await untilRefused(key, 80);
  expect(passed).toBeGreaterThan(0);
  expect(body.error.code).toBe('insufficient_quota');
  const { limits } = await readBalance(stack, teamId);
  const page = await stack.admin<{ data: Record<string, number>[] }>('GET', `/events?team_id=${teamId}`);
  const used = page.data.map((event) =>
    meter === 'tokens' ? event.input_tokens! + event.output_tokens! : event[meter]!,
  );
  expect(Number(limits[0]!.settled)).toBe(used.reduce((sum, each) => sum + each, 0));
  expect(Number(limits[0]!.settled)).toBeLessThanOrEqual(Number(amount));
});

it('an open-ended call gets an output limit that fits the tokens left', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  await limit({ subject: { type: 'team', id: teamId }, meter: 'output_tokens', amount: '300' });
  const response = await call(key, { max_tokens: undefined });
  expect([response.status, response.headers.get('x-tollgate-output-limit')]).toEqual([200, '300']);
});

it('a rate limit denies with the headers that clients read to retry', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const { id } = await limit({
    subject: { type: 'team', id: teamId },
    meter: 'requests',
    amount: '4',
    window: MINUTE,
  });
  const { passed, response, body } = await untilRefused(key, 6);
  expect([passed, response.status]).toEqual([4, 429]);
  expect(body.error).toMatchObject({ code: 'rate_limit_exceeded', limit_id: id });
  expect(response.headers.get('x-should-retry')).toBeNull();
  expect(response.headers.get('x-ratelimit-limit-requests')).toBe('4');
  expect(response.headers.get('x-ratelimit-remaining-requests')).toBe('0');
  const retryAfterMs = Number(response.headers.get('retry-after-ms'));
  expect(retryAfterMs).toBeGreaterThan(40_000);
  expect(retryAfterMs).toBeLessThanOrEqual(60_000);
});

it('a rolling limit shows its use, also before any call needed a lease of it', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  expect((await call(key)).status).toBe(200);
  await limit({ subject: { type: 'team', id: teamId }, meter: 'requests', amount: '4', window: MINUTE });
  const { limits } = await readBalance(stack, teamId);
  expect(limits[0]).toMatchObject({ settled: '1', remaining: '3' });
});

it('a concurrency limit admits as many calls as it has slots, and frees a slot when its call ends', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  await limit({ subject: { type: 'team', id: teamId }, meter: 'concurrency', amount: '2' });
  const slow = { 'x-simulator': 'first_byte_ms=3000' };
  const answers = await Promise.all(Array.from({ length: 5 }, () => call(key, {}, slow)));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429, 429]);
  expect((await Promise.all([call(key), call(key)])).map(({ status }) => status)).toEqual([200, 200]);
});

it('a limit of end users counts each apart, by body or header, and a call without one ends in an error', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const subject = { type: 'user', team_id: teamId };
  const { id } = await limit({ subject, meter: 'requests', amount: '2' });
  const nobody = await call(key);
  expect([nobody.status, ((await nobody.json()) as Refusal).error.code]).toEqual([400, 'missing_end_user']);
  const ann = await untilRefused(key, 4, { user: 'ann' });
  expect([ann.passed, ann.body.error.limit_id]).toEqual([2, id]);
  expect((await untilRefused(key, 4, { safety_identifier: 'b\u0000b "ö' })).passed).toBe(2);
  expect((await untilRefused(key, 4, {}, { 'x-tollgate-user': 'carl' })).passed).toBe(2);
  const strangers = await stack.team({ unlimited: true });
  expect((await call(strangers.key)).status).toBe(200);
});

async function batch(key: string, ...models: string[]) {
  const client = clientOf(stack, key);
  const endpoint = '/v1/chat/completions';
  const lines = models.map((model, at) =>
    JSON.stringify({ custom_id: `${at}`, method: 'POST', url: endpoint, body: { ...CALL, model } }),
  );
  const file = await toFile(Buffer.from(lines.join('\n')), 'lines.jsonl');
  const { id } = await client.files.create({ file, purpose: 'batch' });
  return client.batches.create({ endpoint, completion_window: '24h', input_file_id: id });
}

it('a limit of some models counts batches of these; one of several models is to be divided', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const subject = { type: 'team', id: teamId };
  const { id } = await limit({ subject, models: ['gpt-4o-mini'], meter: 'requests', amount: '1' });
  await expect(batch(key, 'gpt-4.1', 'gpt-4o-mini')).rejects.toMatchObject({
    ...{ status: 400, code: 'unbounded_request', param: 'input_file_id' },
    error: { limit_id: id },
  });
  await batch(key, 'gpt-4o-mini-2024-07-18');
  await expect(batch(key, 'gpt-4o-mini')).rejects.toMatchObject({ status: 429, error: { limit_id: id } });
  await batch(key, 'gpt-4.1', 'gpt-4o');
});

it('a limit of end users counts batches, and one that names nobody ends in an error', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  await limit({ subject: { type: 'user', team_id: teamId }, meter: 'requests', amount: '2' });
  await expect(batch(key, 'gpt-4.1')).rejects.toMatchObject({ status: 400, code: 'missing_end_user' });
});

it('what is billed by no model is bound by limits of end users, and of the name of its price', async () => {
  const make = (key: string, body: object = {}, headers: Record<string, string> = {}) =>
    stack.post(key, '/containers', { name: 'c', ...body }, headers);
  const codeOf = async (response: Response) => ((await response.json()) as Partial<Refusal>).error?.code;
  const some = await stack.team({ unlimited: true });
  await limit({ subject: { type: 'user', team_id: some.teamId }, meter: 'cost_usd', amount: '0.05' });
  const ann = { 'x-tollgate-user': 'ann' };
  expect(await codeOf(await make(some.key))).toBe('missing_end_user');
  expect(await codeOf(await make(some.key, {}, ann))).toBeUndefined();
  expect(await codeOf(await make(some.key, {}, ann))).toBe('insufficient_quota');
  const { teamId, key } = await stack.team({ unlimited: true });
  const subject = { type: 'team', id: teamId };
  await limit({ subject, models: ['container'], meter: 'requests', amount: '1' });
  // No name that the client makes up is the model of it.
  expect(await codeOf(await make(key, { model: 'gpt-4o' }))).toBeUndefined();
  expect(await codeOf(await make(key, { model: 'gpt-4o' }))).toBe('insufficient_quota');
});

it('a limit of the model that makes images is not passed by the tool that makes them', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const subject = { type: 'team', id: teamId };
  const models = ['gpt-image-1.5'];
  const { id } = await limit({ subject, models, meter: 'cost_usd', amount: '5.00', name: 'images' });
  const body = { model: 'gpt-5-mini', input: 'a fox', max_output_tokens: 100, max_tool_calls: 1 };
  const reply = await stack.post(key, '/responses', { ...body, tools: [{ type: 'image_generation' }] });
  const { error } = (await reply.json()) as Refusal;
  expect([reply.status, error.code, error.param, error.limit_id]).toEqual([
    ...[400, 'unbounded_request', 'tools[0].model', id],
  ]);
});

it('a limit of the organization counts all teams, also when it is created while they call', async () => {
  const [one, two] = [await stack.team({ unlimited: true }), await stack.team({ unlimited: true })];
  const model = 'gpt-4.1-nano';
  expect((await call(one.key, { model })).status).toBe(200);
  const { id } = await limit({
    subject: { type: 'org' },
    models: [model],
    meter: 'requests',
    amount: '4',
    window: { type: 'calendar', unit: 'month', time_zone: noonZone() },
  });
  // Within a second; until then the key's calls may pass, and count all the same.
  await expect.poll(async () => (await call(one.key, { model })).status, { timeout: 30_000 }).toBe(429);
  const refused = await untilRefused(two.key, 4, { model });
  expect(refused.body.error).toMatchObject({ code: 'insufficient_quota', limit_id: id });
  const events = await Promise.all(
    [one, two].map(({ teamId }) => stack.admin<{ data: unknown[] }>('GET', `/events?team_id=${teamId}`)),
  );
  const { limits } = await readBalance(stack, one.teamId);
  const ofModel = events.flatMap(({ data }) => data).length;
  expect(limits.find((each) => each.id === id)!.settled).toBe(String(ofModel));
  expect((await call(one.key)).status).toBe(200);
  await stack.admin('DELETE', `/limits/${id}`);
  await expect.poll(async () => (await call(one.key, { model })).status, { timeout: 30_000 }).toBe(200);
});

it('a soft limit admits calls beyond it, counts them, and shows the excess', async () => {
  const { teamId, key } = await stack.team();
  await limit({
    subject: { type: 'team', id: teamId },
    meter: 'cost_usd',
    amount: '0.000001',
    enforcement: 'soft',
  });
  for (let i = 0; i < 3; i++) await expect(call(key)).resolves.toMatchObject({ status: 200 });
  const { limits } = await readBalance(stack, teamId);
  expect(Number(limits[0]!.settled)).toBeGreaterThan(0.000001);
  expect(Number(limits[0]!.over_limit_usd)).toBeGreaterThan(0);
});

it('max_hold bounds a single call', async () => {
  const { teamId, key } = await stack.team();
  const subject = { type: 'team', id: teamId };
  await limit({ subject, meter: 'cost_usd', amount: '10.00', max_hold: '0.0004' });
  const large = await call(key, { max_tokens: 10_000 });
  expect([large.status, ((await large.json()) as Refusal).error.code]).toEqual([400, 'hold_too_large']);
  const open = await call(key, { max_tokens: undefined });
  expect(open.status).toBe(200);
  expect(Number(open.headers.get('x-tollgate-output-limit'))).toBeLessThan(700);
  const { data } = await stack.admin<{ data: { hold_usd: string }[] }>('GET', `/events?team_id=${teamId}`);
  expect(Number(data[0]!.hold_usd)).toBeLessThanOrEqual(0.0004);
});

it('a limit binds although its key was named in capitals', async () => {
  const { keyId, key } = await stack.team({ unlimited: true });
  const subject = { type: 'key', id: keyId.toUpperCase() };
  const { id } = await limit({ subject, meter: 'requests', amount: '2' });
  const { passed, body } = await untilRefused(key, 4);
  expect([passed, body.error.limit_id]).toEqual([2, id]);
});

it('a limit of requests counts calls that cost nothing', async () => {
  const { teamId, key } = await stack.team();
  await limit({ subject: { type: 'team', id: teamId }, meter: 'requests', amount: '2' });
  const moderate = async () =>
    (await stack.post(key, '/moderations', { model: 'omni-moderation-latest', input: 'hello' })).status;
  expect([await moderate(), await moderate(), await moderate()]).toEqual([200, 200, 429]);
});

it('a team may fail open only without a strict limit and a grant', async () => {
  const { teamId } = await stack.team({ grantUsd: '1.00' });
  await expect(stack.admin('PATCH', `/teams/${teamId}`, { fail_open: true })).rejects.toThrow('409');
  const soft = await stack.team();
  await expect(stack.admin('PATCH', `/teams/${soft.teamId}`, { fail_open: true })).resolves.toMatchObject({
    fail_open: true,
  });
});
