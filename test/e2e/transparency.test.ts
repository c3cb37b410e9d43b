/** Between client and upstream nothing changes but what is documented: bytes, status and headers, both ways. */
import { EventEmitter, once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { type FixedAnswer, type Recorder, send, startRecorder, valuesOf } from './wire.ts';

let stack: Stack;
let recorder: Recorder;
let key: string;
beforeAll(async () => {
  recorder = await startRecorder(COMPLETION);
  stack = await startStack({ env: { OPENAI_BASE_URL: recorder.url } });
});
afterAll(async () => {
  await stack.stop();
  recorder.close();
});
beforeEach(async () => {
  // Some responses here are failures: a team of its own has no breaker of another test's.
  ({ key } = await stack.team({ grantUsd: '1000.00' }));
  recorder.answer = COMPLETION;
  recorder.seen.length = 0;
});

const COMPLETION: FixedAnswer = {
  status: 200,
  headers: ['content-type', 'application/json'],
  body: '{"object":"chat.completion" ,"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n',
};
/** Names its limit and tier, so that nothing is written in; spelled as no serialiser would. */
const EXACT = `{ "model":"gpt-4o-mini","max_tokens" : 1e2,
  "service_tier":"default", "seed":12345678901234567890, "messages":[{"role":"user","content":"h\\u00e9 \\/"}] }`;

const post = (body: string, headers: string[] = []) =>
  send(stack.app.url, {
    path: '/v1/chat/completions',
    headers: ['authorization', `Bearer ${key}`, 'content-type', 'application/json', ...headers],
    body,
  });

describe('the request', () => {
  it('is forwarded byte for byte when nothing has to be written into it', async () => {
    await post(EXACT);
    expect(recorder.seen.map(({ path, body }) => [path, body.toString()])).toEqual([
      ['/v1/chat/completions', EXACT],
    ]);
  });

  it('gets additions at its front, and keeps every other byte', async () => {
    const rest = '"model":"gpt-4o-mini",  "stream":true,"messages":[{"role":"user","content":"\\u0041"}]}';
    await post(`{${rest}`);
    expect(recorder.seen[0]!.body.toString()).toBe(
      `{"service_tier":"default","stream_options":{"include_usage":true},${rest}`,
    );
  });

  it('has every name once, with the value that Tollgate read', async () => {
    await post(
      '{"model":"gpt-4o","messages":[],"max_tokens":1,"model":"gpt-4o-mini","max_tokens":9,"service_tier":"default","messages":[{"role":"user","content":"x","content":"y"}]}',
    );
    expect(recorder.seen[0]!.body.toString()).toBe(
      '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"y"}],"max_tokens":9,"service_tier":"default"}',
    );
    expect((await readEvents(stack)).at(-1)!.model).toBe('gpt-4o-mini');
  });

  it('has the client’s own headers, without those that name another account', async () => {
    const own = ['openai-beta', 'x=1', 'user-agent', 'test', 'x-stainless-lang', 'js'];
    const tricks = [
      ...[
        'x-forwarded-for',
        '1.2.3.4',
        'X-Forwarded-Host',
        'evil',
        'forwarded',
        'for=1.2.3.4',
        'via',
        '1.1 x',
      ],
      ...['connection', 'keep-alive, x-named, x-client-request-id', 'x-named', 'secret', 'te', 'trailers'],
      ...['x-tollgate-request-id', 'mine', 'x-tollgate-hold-usd', '0', 'x-client-request-id', 'mine'],
      ...['openai-organization', 'org-1', 'openai-project', 'p', 'cookie', 'a=b', 'proxy-authorization', 'x'],
      ...['accept-encoding', 'gzip, br', 'x-real-ip', '1.2.3.4'],
    ];
    const answer = await post(EXACT, [...own, ...tricks, 'idempotency-key', 'k']);
    expect(answer.status).toBe(200);
    const { rawHeaders } = recorder.seen[0]!;
    for (let index = 0; index < own.length; index += 2) {
      expect(valuesOf(rawHeaders, own[index]!)).toEqual([own[index + 1]]);
    }
    const known = ['host', 'connection', 'content-type', 'content-length', 'authorization'];
    const ours = [...known, 'accept-encoding', 'x-client-request-id', 'idempotency-key'];
    const names = rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase());
    expect(names.sort()).toEqual([...ours, ...own.filter((_, index) => index % 2 === 0)].sort());
    expect(valuesOf(rawHeaders, 'authorization')).toEqual(['Bearer sk-upstream']);
    expect(valuesOf(rawHeaders, 'accept-encoding')).toEqual(['identity']);
    expect(valuesOf(rawHeaders, 'x-client-request-id')).toEqual([answer.headers['x-tollgate-request-id']]);
    expect(answer.headers['x-tollgate-request-id']).not.toBe('mine');
    expect(valuesOf(rawHeaders, 'idempotency-key')).not.toEqual(['k']);
  });

  it('has a key of idempotency that no other team can have', async () => {
    const other = await stack.team({ grantUsd: '10.00' });
    const sent = async (used: string, idempotencyKey: string) => {
      recorder.seen.length = 0;
      const headers = ['content-type', 'application/json', 'authorization', `Bearer ${used}`];
      headers.push('Idempotency-Key', idempotencyKey);
      expect((await send(stack.app.url, { path: '/v1/chat/completions', headers, body: EXACT })).status).toBe(
        200,
      );
      return valuesOf(recorder.seen[0]!.rawHeaders, 'idempotency-key')[0];
    };
    const first = await sent(key, 'order-1');
    expect(await sent(key, 'order-1')).toBe(first);
    expect(await sent(other.key, 'order-1')).not.toBe(first);
    expect(await sent(key, 'order-2')).not.toBe(first);
  });
});

const ERROR = '{\n  "error": {"message": "No.", "type": "server_error", "param": null, "code": null}\n}';
const HTML = '<html><body>502 Bad Gateway</body></html>';
const SSE = ['content-type', 'text/event-stream; charset=utf-8'];
const JSON_TYPE = ['content-type', 'application/json'];
const USAGE_CHUNK = 'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n';
const chunks = (usage: string) =>
  `: a comment\n\ndata: {"id":"1","choices":[{"delta":{"content":"\\"usage\\":null"}}]${usage}}\n\ndata:{"choices":[{"delta":{},"finish_reason":"stop"}]${usage}}\r\n\r\n`;
const RESPONSE_STREAM =
  'event: response.created\ndata: {"type":"response.created","response":{"usage":null}}\n\nevent: response.completed\ndata: {"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":1}}}\n\n';

const USAGE = '{"prompt_tokens":1,"completion_tokens":1}';

describe('the response', () => {
  it.each<[string, number, string[], string | Buffer]>([
    ['a completion', 200, JSON_TYPE, COMPLETION.body as string],
    [
      'a compressed one',
      200,
      [...JSON_TYPE, 'content-encoding', 'gzip'],
      gzipSync(COMPLETION.body as string),
    ],
    ['an error', 500, JSON_TYPE, ERROR],
    ['a rate limit', 429, [...JSON_TYPE, 'retry-after-ms', '7', 'retry-after', '1'], ERROR],
    ['a proxy’s page', 502, ['content-type', 'text/html'], HTML],
    // Between two failures, so that the upstream's breaker stays closed.
    ['a redirect', 307, ['location', 'https://example.com/'], ''],
    ['an error without a body', 503, [], ''],
    ['megabytes', 200, JSON_TYPE, `{"choices":[],"x":"${'é'.repeat(3_000_000)}","usage":${USAGE}}`],
  ])('passes %s on unchanged', async (_, status, headers, body) => {
    recorder.answer = { status, headers: [...headers, ...MANY], body };
    const direct = await send(new URL(recorder.url).origin, { path: '/v1/chat/completions', body: EXACT });
    const through = await post(EXACT);
    expect(through.status).toBe(direct.status);
    expect(through.body.equals(direct.body)).toBe(true);
    expect(comparable(through.rawHeaders)).toEqual(comparable(direct.rawHeaders));
    expect(valuesOf(through.rawHeaders, 'set-cookie')).toEqual([]);
    expect(valuesOf(through.rawHeaders, 'x-tollgate-remaining-usd')).not.toContain('forged');
  });

  const chat = { model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content: 'x' }] };
  it.each<[string, string, object, string, string]>([
    [
      'without the usage that nobody asked for',
      '/v1/chat/completions',
      chat,
      `${chunks(',"usage":null')}${USAGE_CHUNK}data: [DONE]\n\n`,
      `${chunks('')}data: [DONE]\n\n`,
    ],
    [
      'with the usage that was asked for',
      '/v1/chat/completions',
      { ...chat, stream_options: { include_usage: true } },
      `${chunks(', "usage" : null')}${USAGE_CHUNK}data: [DONE]\n\n`,
      `${chunks(', "usage" : null')}${USAGE_CHUNK}data: [DONE]\n\n`,
    ],
    [
      'of a response as it is',
      '/v1/responses',
      { model: 'gpt-5', stream: true, input: 'x' },
      RESPONSE_STREAM,
      RESPONSE_STREAM,
    ],
  ])('passes on a stream %s', async (_, path, body, upstream, client) => {
    recorder.answer = { status: 200, headers: [...SSE, ...MANY], body: upstream };
    const headers = ['authorization', `Bearer ${key}`, 'content-type', 'application/json'];
    const through = await send(stack.app.url, { path, headers, body: JSON.stringify(body) });
    expect(through.body.toString()).toBe(client);
    const direct = await send(new URL(recorder.url).origin, { path, body: JSON.stringify(body) });
    expect(comparable(through.rawHeaders)).toEqual(comparable(direct.rawHeaders));
    expect((await readEvents(stack)).at(-1)).toMatchObject({ provenance: 'reported', outcome: 'settled' });
  });

  it('passes on the head and each event before the upstream sends the next', async () => {
    const turns = new EventEmitter();
    const events = [1, 2, 3].map((id) => `data: {"id":"${id}","choices":[]}\n\n`);
    const body: FixedAnswer['body'] = async (response) => {
      response.flushHeaders();
      await once(turns, 'arrived');
      for (const event of events) {
        response.write(event);
        await once(turns, 'arrived');
      }
      response.end(`${USAGE_CHUNK}data: [DONE]\n\n`);
    };
    recorder.answer = { status: 200, headers: SSE, body };
    const response = await stack.post(key, '/chat/completions', chat);
    turns.emit('arrived');
    const arrived: string[] = [];
    for await (const bytes of response.body!) {
      arrived.push(Buffer.from(bytes).toString());
      turns.emit('arrived');
    }
    expect(arrived.slice(0, 3)).toEqual(events);
  });
});

/** Headers of every kind that an answer may have. */
const MANY = [
  ...['x-request-id', 'req_1', 'openai-processing-ms', '12', 'x-ratelimit-remaining-tokens', '9'],
  ...['date', 'Tue, 24 Nov 2026 00:00:00 GMT', 'x-twice', 'a', 'x-twice', 'b', 'X-Case', 'Ü'],
  ...['set-cookie', 'a=b', 'x-tollgate-remaining-usd', 'forged', 'keep-alive', 'timeout=9'],
];

/** The headers that must be the same: not those of the connection, the framing, cookies, advice on retries, or Tollgate itself. */
function comparable(rawHeaders: string[]): string[] {
  const own =
    /^(?:connection|keep-alive|transfer-encoding|content-length|set-cookie|x-should-retry|x-tollgate-.*)$/;
  const pairs: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!own.test(name)) pairs.push(`${name}: ${rawHeaders[index + 1]}`);
  }
  return pairs.sort();
}
