/** Large and hostile bodies: what honest ones cost, what the others are refused with, and that nobody else waits for them. */
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { billed, readBalance, readEvents, sumOf } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { send, type WireAnswer } from './wire.ts';

const MB = 1024 * 1024;

let stack: Stack;
let teamId: string;
let key: string;
beforeAll(async () => {
  stack = await startStack({
    env: {
      // Longer than twelve uploads need to begin, on a busy machine.
      TOLLGATE_CLIENT_STALL_MS: '3000',
      TOLLGATE_BODY_MEMORY_BYTES: String(96 * MB),
      TOLLGATE_FREE_CALLS_PER_MINUTE: '20',
    },
  });
  ({ teamId, key } = await stack.team({ grantUsd: '1000.00' }));
});
afterAll(() => stack.stop());

const chatBody = (content: unknown, fields: object = {}) =>
  JSON.stringify({ model: 'gpt-4o-mini', max_tokens: 5, messages: [{ role: 'user', content }], ...fields });

const headersOf = (ownKey: string) => [
  'authorization',
  `Bearer ${ownKey}`,
  'content-type',
  'application/json',
];

const call = (
  body: string | Buffer,
  headers: string[] = [],
  path = '/v1/chat/completions',
): Promise<WireAnswer> => send(stack.app.url, { path, headers: [...headersOf(key), ...headers], body });

const codeOf = ({ body }: WireAnswer) => JSON.parse(body.toString()).error?.code;

/** Begins a request with a body of this length, and sends no more of it than `sent`. */
function begin(ownKey: string, length: number, sent: Buffer | string = ''): ClientRequest {
  const { hostname, port } = new URL(stack.app.url);
  const outgoing = request({
    hostname,
    port,
    method: 'POST',
    path: '/v1/chat/completions',
    agent: false,
    headers: {
      authorization: `Bearer ${ownKey}`,
      'content-type': 'application/json',
      'content-length': length,
    },
  });
  outgoing.on('error', () => {});
  outgoing.flushHeaders();
  if (sent.length > 0) outgoing.write(sent);
  return outgoing;
}

async function responseTo(outgoing: ClientRequest) {
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const body = Buffer.concat(await incoming.toArray());
  return { status: incoming.statusCode, headers: incoming.headers, error: JSON.parse(body.toString()).error };
}

describe('honest large bodies', () => {
  it.each<[string, () => string]>([
    [
      'an image',
      () =>
        chatBody([
          { type: 'image_url', image_url: { url: `data:image/png;base64,${'QUJD'.repeat(2 * MB)}` } },
        ]),
    ],
    ['a long text beyond ASCII', () => chatBody('é中🙂 '.repeat(30_000))],
    [
      'many messages',
      () => chatBody('x', { messages: Array.from({ length: 8000 }, () => ({ role: 'user', content: 'a' })) }),
    ],
    [
      'a tier that is replaced',
      () => chatBody('y'.repeat(100_000), { service_tier: 'auto', metadata: { a: 'b'.repeat(100) } }),
    ],
  ])('pass: %s', async (_, body) => {
    const before = stack.simulator.invoice().line_count;
    const answer = await call(body());
    expect([answer.status, codeOf(answer)]).toEqual([200, undefined]);
    expect(stack.simulator.invoice().line_count).toBe(before + 1);
  });

  it('pass when they are compressed', async () => {
    const answer = await call(gzipSync(chatBody('word '.repeat(20_000))), ['content-encoding', 'gzip']);
    expect(answer.status).toBe(200);
  });

  it('pass with a token for each value', async () => {
    const input = Array.from({ length: 100 }, () => Array.from({ length: 80 }, (_, index) => index));
    const body = JSON.stringify({ model: 'text-embedding-3-small', input });
    expect((await call(body, [], '/v1/embeddings')).status).toBe(200);
  });

  it('pass in chunks of any size', async () => {
    const body = chatBody('z'.repeat(500_000));
    const answer = await send(stack.app.url, {
      path: '/v1/chat/completions',
      headers: headersOf(key),
      body,
      chunked: true,
    });
    expect(answer.status).toBe(200);
  });

  it('are in the ledger as on the invoice, and hold nothing afterwards', async () => {
    await stack.idle();
    expect(sumOf(await readEvents(stack, teamId))).toBe(billed(stack));
    expect(await readBalance(stack, teamId)).toMatchObject({ held_usd: '0.00' });
  });
});

describe('bodies that no request needs', () => {
  it.each<[string, string, () => string]>([
    ['objects', 'values', () => `[${'{},'.repeat(6_000_000)}{}]`],
    [
      'names in one object',
      'objectNames',
      () => `{${Array.from({ length: 200_000 }, (_, index) => `"n${index}":0`)}}`,
    ],
    ['names', 'names', () => `[${'{"a":0},'.repeat(200_000)}{}]`],
    ['brackets', 'depth', () => '['.repeat(10_000_000)],
    ['digits and names twice', 'values', () => `{"a":[${'1,'.repeat(100_000)}1],"a":2}`],
  ])('are refused for %s, and others do not wait for it', async (_, bound, text) => {
    const body = chatBody('x').replace('{', `{"x":${text()},`);
    const started = performance.now();
    const refused = call(body);
    const other = await stack.post(key, '/chat/completions', chatBody('hello'));
    expect(other.status).toBe(200);
    const answer = await refused;
    expect([answer.status, codeOf(answer)]).toEqual([400, 'body_too_complex']);
    const { error } = JSON.parse(answer.body.toString());
    expect(error).toMatchObject({ bound, maximum: expect.any(Number) });
    expect(error.message).toContain(String(error.maximum));
    expect(performance.now() - started).toBeLessThan(30_000);
  });

  it('are refused before their end', async () => {
    const outgoing = begin(key, 20 * MB, '['.repeat(100_000));
    const { status, error } = await responseTo(outgoing);
    expect([status, error.code]).toEqual([400, 'body_too_complex']);
    outgoing.destroy();
  });
});

describe('uploads', () => {
  it('end when they make no progress, with 408', async () => {
    const started = performance.now();
    const { status, headers, error } = await responseTo(begin(key, 5 * MB, 'x'.repeat(70_000)));
    expect([status, error.code]).toEqual([408, 'request_timeout']);
    expect(headers).toMatchObject({ 'retry-after-ms': '1000', connection: 'close' });
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it('end when a byte comes now and then', async () => {
    const outgoing = begin(key, 5 * MB, '{"model":"');
    const trickle = setInterval(() => outgoing.write('x'), 100);
    const { status } = await responseTo(outgoing);
    clearInterval(trickle);
    outgoing.destroy();
    expect(status).toBe(408);
  });

  it('of one key and one team leave memory for others, and get 429 with a time to retry', async () => {
    const hostile = await stack.team({ grantUsd: '1.00' });
    const outgoing = Array.from({ length: 12 }, () => begin(hostile.key, 19 * MB, 'x'));
    const responses = Promise.all(outgoing.map(responseTo));
    const other = await call(chatBody('w'.repeat(300_000)));
    expect(other.status).toBe(200);
    const refused = (await responses).filter(({ status }) => status !== 408);
    expect(refused).toHaveLength(10);
    for (const { status, headers, error } of refused) {
      expect([status, error.code]).toEqual([429, 'rate_limit_exceeded']);
      expect(headers).toMatchObject({ 'retry-after-ms': '1000', 'retry-after': '1' });
    }
    for (const each of outgoing) each.destroy();
    await expect
      .poll(
        async () =>
          (
            await send(stack.app.url, {
              path: '/v1/chat/completions',
              headers: headersOf(hostile.key),
              body: chatBody('v'.repeat(300_000)),
            })
          ).status,
      )
      .toBe(200);
  });

  it('of a call without a valid key are not read', async () => {
    const { status } = await responseTo(begin('tg-wrong', 20 * MB, 'x'.repeat(10)));
    expect(status).toBe(401);
  });
});

describe('calls that cost nothing', () => {
  it('are limited, and cannot make rows by their models’ names', async () => {
    const poor = await stack.team();
    const statuses: number[] = [];
    const sinceMs = performance.now();
    for (let index = 0; index < 30; index++) {
      const answer = await fetch(`${stack.app.url}/v1/models/made-up-${index}`, {
        headers: { authorization: `Bearer ${poor.key}` },
      });
      await answer.arrayBuffer();
      statuses.push(answer.status);
      if (answer.status === 429) expect(Number(answer.headers.get('retry-after-ms'))).toBeGreaterThan(0);
    }
    // Twenty, and one more every three seconds.
    const passedMax = 21 + Math.floor((performance.now() - sinceMs) / 3000);
    const refused = statuses.filter((status) => status === 429).length;
    expect(refused).toBeGreaterThan(0);
    expect(statuses.length - refused).toBeLessThanOrEqual(passedMax);
    await stack.settled();
    const events = await readEvents(stack, poor.teamId);
    expect(events.length).toBeLessThanOrEqual(passedMax);
    expect(new Set(events.map(({ model }) => model))).toEqual(new Set([events[0]?.model]));
    const metrics = await (await fetch(`${stack.app.url}/metrics`)).text();
    expect(metrics).not.toContain('made-up');
  });

  it('are limited for each key that asks what it has left, and for no other key', async () => {
    const poor = await stack.team();
    const other = await stack.admin<{ key: string }>('POST', '/keys', {
      team_id: poor.teamId,
      name: 'other',
    });
    const left = async (key: string) => {
      const headers = { authorization: `Bearer ${key}` };
      const response = await fetch(`${stack.app.url}/v1/tollgate/balance`, { headers });
      await response.arrayBuffer();
      if (response.status === 429) expect(Number(response.headers.get('retry-after-ms'))).toBeGreaterThan(0);
      return response.status;
    };
    const statuses = await Promise.all(Array.from({ length: 60 }, () => left(poor.key)));
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(await left(other.key)).toBe(200);
  });
});
