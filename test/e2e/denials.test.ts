/** Denying well: one request, the right exception, and in it all that its reader needs to go on. */
import OpenAI from 'openai';
import OpenAI6 from 'openai6';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { noonZone } from '../support/noon.ts';
import { readBalance, readEvents } from './books.ts';
import { sdk6, sdk7 } from './callers.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ simulator: { mode: 'worst' }, env: { TOLLGATE_QUEUE_TIMEOUT_MS: '100' } });
});
afterAll(() => stack.stop());

const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user' as const, content: 'hello' }] };

/** The fields that a refusal adds to OpenAI's error. */
interface Refusal {
  code: string;
  message: string;
  limit_id: string | null;
  limit_type: string | null;
  remaining_usd: string;
  needed_usd: string;
  resets_at: string | null;
  affordable_output_tokens: number;
}

/** `fields` are those of the call beside its model and messages; a text is the whole body. */
async function refusalOf(key: string, fields: object | string): Promise<Refusal> {
  const body = typeof fields === 'string' ? fields : { ...HELLO, ...fields };
  const response = await stack.post(key, '/chat/completions', body);
  expect(response.status).toBe(429);
  return ((await response.json()) as { error: Refusal }).error;
}

function limit(subject: object, amount: string, window: object = { type: 'lifetime' }) {
  return stack.admin<{ id: string }>('POST', '/limits', {
    subject,
    meter: 'cost_usd',
    amount,
    window,
    enforcement: 'strict',
  });
}

describe.each([
  ['openai', sdk7, OpenAI.RateLimitError],
  ['openai6', sdk6, OpenAI6.RateLimitError],
] as const)('with %s', (_, sdk, RateLimitError) => {
  it.each([false, true])(
    'raises its RateLimitError for a spent budget after one request (stream: %s)',
    async (stream) => {
      const { teamId, key } = await stack.team({ grantUsd: '0.001' });
      const refusals = await deniedTotal('insufficient_quota');
      const call = sdk(stack.app.url, key, 2).chat.completions.create({
        ...HELLO,
        stream,
        max_tokens: 10_000,
      });
      const error = await call.then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(RateLimitError);
      expect(error).toMatchObject({ status: 429, code: 'insufficient_quota', type: 'insufficient_quota' });
      expect((await deniedTotal('insufficient_quota')) - refusals).toBe(1);
      expect(await readEvents(stack, teamId)).toEqual([]);
    },
  );

  it('raises its RateLimitError when other calls hold the money, and says when to try again', async () => {
    const { key } = await stack.team({ grantUsd: '0.001' });
    const client = sdk(stack.app.url, key);
    const slow = { headers: { 'x-simulator': 'first_byte_ms=3000' } };
    const billed = () => stack.simulator.invoice().line_count;
    const before = billed();
    const first = client.chat.completions.create({ ...HELLO, max_tokens: 1400 }, slow);
    await expect.poll(billed, { interval: 5 }).toBeGreaterThan(before);
    const error = await client.chat.completions.create({ ...HELLO, max_tokens: 1400 }).then(
      () => null,
      (thrown: unknown) => thrown as InstanceType<typeof OpenAI.APIError>,
    );
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' });
    expect(Number(error!.headers!.get('retry-after-ms'))).toBeGreaterThanOrEqual(1000);
    expect(Number(error!.headers!.get('retry-after-ms'))).toBeLessThanOrEqual(21_000);
    expect(Number(error!.headers!.get('retry-after'))).toBeLessThanOrEqual(60);
    expect(error!.headers!.get('x-should-retry')).toBeNull();
    await first;
  });
});

async function deniedTotal(code: string): Promise<number> {
  const page = await (await fetch(`${stack.app.url}/metrics`)).text();
  return Number(new RegExp(`^tollgate_denials_total\\{code="${code}"\\} (\\d+)$`, 'm').exec(page)?.[1] ?? 0);
}

it('a denial gives the exact number of affordable output tokens', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.001' });
  const { id } = (await readBalance(stack, teamId)).grants[0]!;
  // Padded, so that bodies with numbers of any length are equally long, and bounded by as many input tokens.
  const body = (maxTokens: number) =>
    JSON.stringify({ ...HELLO, n: 3, max_tokens: 0 }).replace(':0', `:${`${maxTokens}`.padStart(6)}`);
  const refused = await refusalOf(key, body(10_000));
  expect(refused).toMatchObject({
    code: 'insufficient_quota',
    limit_id: id,
    limit_type: 'grant',
    remaining_usd: '0.001',
    resets_at: null,
  });
  expect(usd(refused.needed_usd)).toBeGreaterThan(usd('0.001'));
  const most = refused.affordable_output_tokens;
  expect(refused.message).toContain(`With at most ${most} output tokens it would fit.`);
  expect((await refusalOf(key, body(most + 1))).code).toBe('insufficient_quota');
  expect((await stack.post(key, '/chat/completions', body(most))).status).toBe(200);
});

it('a team without a grant and a limit is denied, and the denial says what is missing', async () => {
  const { key } = await stack.team();
  const refused = await refusalOf(key, {});
  expect(refused).toMatchObject({ code: 'insufficient_quota', limit_id: null, remaining_usd: '0.00' });
  const moderation = await stack.post(key, '/moderations', { input: 'costs nothing' });
  expect(moderation.status).toBe(200);
});

it('a denial names the key’s limit that caused it, and when it resets, although a grant has money', async () => {
  const { teamId, key, keyId } = await stack.team({ grantUsd: '1.00' });
  const window = { type: 'calendar', unit: 'day', time_zone: 'Asia/Kathmandu' };
  const { id } = await limit({ type: 'key', id: keyId }, '0.0001', window);
  const other = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'other' });
  const body = { max_tokens: 1000 };
  const resetsAt = async () => (await readBalance(stack, teamId)).limits[0]!.resets_at;
  const before = await resetsAt();
  const refused = await refusalOf(key, body);
  expect(refused).toMatchObject({ limit_id: id, limit_type: 'limit', remaining_usd: '0.0001' });
  // Midnight in Kathmandu is at 18:15 UTC, and may pass just now.
  expect(refused.resets_at).toMatch(/T18:15:00\.000Z$/);
  expect([before, await resetsAt()]).toContain(refused.resets_at);
  expect((await stack.post(other.key, '/chat/completions', { ...HELLO, ...body })).status).toBe(200);
});

it('a denial names the grant when it has less than the limit, and an admitted call is charged to both', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '0.001' });
  const window = { type: 'calendar', unit: 'month', time_zone: noonZone() };
  await limit({ type: 'team', id: teamId }, '5.00', window);
  expect((await refusalOf(key, { max_tokens: 10_000 })).limit_type).toBe('grant');
  expect((await stack.post(key, '/chat/completions', { ...HELLO, max_tokens: 100 })).status).toBe(200);
  const [event] = await readEvents(stack, teamId);
  const { grants, limits } = await readBalance(stack, teamId);
  expect([grants[0]!.settled_usd, limits[0]!.settled]).toEqual([event!.cost_usd, event!.cost_usd]);
});

it('a new limit counts what was spent in its window before', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  expect((await stack.post(key, '/chat/completions', { ...HELLO, max_tokens: 1000 })).status).toBe(200);
  const [event] = await readEvents(stack, teamId);
  const window = { type: 'calendar', unit: 'week', time_zone: noonZone() };
  const { id } = await limit({ type: 'team', id: teamId }, event!.cost_usd, window);
  await expect
    .poll(async () => (await stack.post(key, '/chat/completions', HELLO)).status, { timeout: 30_000 })
    .toBe(429);
  expect(await refusalOf(key, {})).toMatchObject({ limit_id: id, remaining_usd: '0.00' });
});
