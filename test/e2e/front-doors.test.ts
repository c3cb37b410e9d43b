/** The ways in other than `/v1` with a bearer key: what clients of other servers, pages and proxies send. */
import { request as httpRequest } from 'node:http';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { AzureOpenAI } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.ts';
import { type Recorder, send, startRecorder, valuesOf } from './wire.ts';

const PAGE = 'https://app.example.com';
const COMPLETION = {
  status: 200,
  headers: ['content-type', 'application/json', 'access-control-allow-origin', 'https://upstream.example'],
  body: '{"object":"chat.completion","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
};
const CHAT = { model: 'gpt-4o-mini', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] };

let stack: Stack;
let recorder: Recorder;
let key: string;
beforeAll(async () => {
  recorder = await startRecorder(COMPLETION);
  stack = await startStack({
    env: { OPENAI_BASE_URL: recorder.url, TOLLGATE_CORS_ORIGINS: PAGE, TOLLGATE_MAX_BODY_BYTES: '20000' },
  });
  ({ key } = await stack.team({ grantUsd: '1000.00' }));
});
afterAll(async () => {
  await stack.stop();
  recorder.close();
});
beforeEach(() => {
  recorder.seen.length = 0;
});

const post = (path: string, headers: string[], body: string | Buffer = JSON.stringify(CHAT)) =>
  send(stack.app.url, { path, headers: ['content-type', 'application/json', ...headers], body });
const bearer = () => ['authorization', `Bearer ${key}`];

describe('paths', () => {
  it.each([
    '/chat/completions',
    '//v1/chat/completions',
    '/v1//chat/completions/',
    '/v1/v1/chat/completions',
    '/openai/v1/chat/completions?api-version=preview',
  ])('%s is served, and the operation’s own path goes upstream', async (path) => {
    expect((await post(path, bearer())).status).toBe(200);
    expect(recorder.seen.map((seen) => seen.path)).toEqual(['/v1/chat/completions']);
  });

  it.each([
    '/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21',
    '//openai//deployments//gpt-4o-mini//chat//completions/',
    '/v1/openai/deployments/gpt-4o-mini/chat/completions',
  ])('a deployment in the path is the model, and what is sent says so: %s', async (path) => {
    const { model: _, ...body } = CHAT;
    expect((await post(path, bearer(), JSON.stringify(body))).status).toBe(200);
    expect(JSON.parse(recorder.seen[0]!.body.toString())).toMatchObject(CHAT);
  });

  it('a deployment and another model in the body are refused', async () => {
    const refused = await post('/openai/deployments/gpt-4o/chat/completions', bearer());
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.body.toString()).error).toMatchObject({
      code: 'invalid_request',
      param: 'model',
    });
    expect(recorder.seen).toEqual([]);
  });

  it('an unknown path under a known root is refused in the shape of the API', async () => {
    const refused = await post('/openai/deployments/a/unheard/of', bearer());
    expect(refused.status).toBe(404);
    expect(JSON.parse(refused.body.toString()).error.code).toBe('unsupported_operation');
  });

  it("Azure's SDK works unchanged", async () => {
    const azure = new AzureOpenAI({
      apiKey: key,
      endpoint: stack.app.url,
      apiVersion: '2024-10-21',
      maxRetries: 0,
    });
    const made = await azure.chat.completions.create({
      ...CHAT,
      messages: [{ role: 'user', content: 'hi' }],
    });
    expect(made.usage).toMatchObject({ prompt_tokens: 1 });
  });
});

describe('keys', () => {
  it.each(['api-key', 'x-api-key', 'X-API-Key'])('%s carries the key, which stays here', async (name) => {
    expect((await post('/v1/chat/completions', [name, key])).status).toBe(200);
    expect(valuesOf(recorder.seen[0]!.rawHeaders, name)).toEqual([]);
    expect(valuesOf(recorder.seen[0]!.rawHeaders, 'authorization')).toEqual(['Bearer sk-upstream']);
  });

  it('the same key twice is one key, two different ones are refused', async () => {
    expect((await post('/v1/chat/completions', [...bearer(), 'api-key', key])).status).toBe(200);
    expect((await post('/v1/chat/completions', [...bearer(), 'api-key', 'tg-other'])).status).toBe(401);
    expect(recorder.seen).toHaveLength(1);
  });
});

describe('compressed bodies', () => {
  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
    ['deflate', deflateSync],
    // Not what its name means, but what some clients send.
    ['deflate', deflateRawSync],
  ] as const)('%s is decoded and goes upstream as plain JSON', async (encoding, compress) => {
    const body = compress(JSON.stringify(CHAT));
    const answer = await post('/v1/chat/completions', [...bearer(), 'content-encoding', encoding], body);
    expect(answer.status).toBe(200);
    expect(JSON.parse(recorder.seen[0]!.body.toString())).toMatchObject(CHAT);
    expect(valuesOf(recorder.seen[0]!.rawHeaders, 'content-encoding')).toEqual([]);
  });

  it.each([
    ['larger than the limit once decoded', 'gzip', gzipSync(Buffer.alloc(20_001, ' ')), 413],
    ['not what its header says', 'gzip', Buffer.from('{}'), 400],
    ['of an unknown encoding', 'compress', Buffer.from('{}'), 400],
    ['encoded three times', 'gzip, gzip, gzip', Buffer.from('{}'), 400],
  ])('a body %s is refused', async (_, encoding, body, status) => {
    const refused = await post('/v1/chat/completions', [...bearer(), 'content-encoding', encoding], body);
    expect(refused.status).toBe(status);
    expect(recorder.seen).toEqual([]);
  });
});

describe('web pages', () => {
  it('a preflight needs no key and is given what the page asks for', async () => {
    const answer = await send(stack.app.url, {
      method: 'OPTIONS',
      path: '/v1/chat/completions',
      headers: [
        'origin',
        PAGE,
        'access-control-request-method',
        'POST',
        'access-control-request-headers',
        'authorization,x-stainless-os',
      ],
    });
    expect(answer.status).toBe(204);
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': PAGE,
      'access-control-allow-headers': 'authorization,x-stainless-os',
      vary: 'origin',
    });
    expect(recorder.seen).toEqual([]);
  });

  it('an allowed page may read responses, errors and streams; the upstream’s own permission is replaced', async () => {
    const answer = await post('/v1/chat/completions', [...bearer(), 'origin', PAGE]);
    expect(valuesOf(answer.rawHeaders, 'access-control-allow-origin')).toEqual([PAGE]);
    const denied = await post('/v1/chat/completions', ['origin', PAGE]);
    expect([denied.status, denied.headers['access-control-allow-origin']]).toEqual([401, PAGE]);
    const stream = { ...CHAT, stream: true };
    const streamed = await post(
      '/v1/chat/completions',
      [...bearer(), 'origin', PAGE],
      JSON.stringify(stream),
    );
    expect(valuesOf(streamed.rawHeaders, 'access-control-allow-origin')).toEqual([PAGE]);
  });

  it('another page gets no permission', async () => {
    const other = ['origin', 'https://evil.example', 'access-control-request-method', 'POST'];
    const answer = await send(stack.app.url, { method: 'OPTIONS', path: '/v1/responses', headers: other });
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  });

  it('an allowed page may ask for its balance, label its calls, and read when to come again', async () => {
    const path = '/v1/tollgate/balance';
    const answer = await send(stack.app.url, { method: 'GET', path, headers: [...bearer(), 'origin', PAGE] });
    expect([answer.status, answer.headers['access-control-allow-origin']]).toEqual([200, PAGE]);
    expect(answer.headers['access-control-expose-headers']).toBe('*');
    const label = ['origin', PAGE, 'access-control-request-method', 'POST'];
    const asked = { method: 'OPTIONS', path: '/v1/tollgate/labels', headers: label };
    const { headers } = await send(stack.app.url, asked);
    expect(headers['access-control-allow-methods']).toContain('POST');
  });
});

it.each(['/v1/embeddings', '/v1/audio/speech?model=x'])('a WebSocket to %s gets 426', async (path) => {
  const url = new URL(path, stack.app.url);
  const status = await new Promise((resolve, reject) => {
    const headers = {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      authorization: `Bearer ${key}`,
    };
    const asked = httpRequest(url, { headers, agent: false }, (response) => {
      resolve([response.statusCode, response.headers.upgrade]);
      response.resume();
    });
    asked.on('error', reject).end();
  });
  expect(status).toEqual([426, 'HTTP/1.1']);
});

it('the list of models has those that the key may use and pay, and all bytes where that is all of them', async () => {
  const list = (ids: string[]) => `{"object":"list" ,"data":${JSON.stringify(ids.map((id) => ({ id })))}}`;
  const get = async (used: string) => {
    const answer = await send(stack.app.url, {
      method: 'GET',
      path: '/v1/models',
      headers: ['authorization', `Bearer ${used}`],
    });
    return answer.body.toString();
  };
  const usable = ['gpt-4o-mini', 'gpt-4o-mini-2024-07-18', 'omni-moderation-latest'];
  recorder.answer = { ...COMPLETION, body: list(usable) };
  expect(await get(key)).toBe(list(usable));
  const gzipped = { ...COMPLETION, headers: [...COMPLETION.headers, 'content-encoding', 'gzip'] };
  recorder.answer = { ...gzipped, body: gzipSync(list([...usable, 'gpt-99', 'gpt-5.6', 'sora-2'])) };
  const idsOf = (body: string) => JSON.parse(body).data.map(({ id }: { id: string }) => id);
  expect(idsOf(await get(key))).toEqual(usable);
  const { teamId } = await stack.team({ grantUsd: '1.00' });
  const body = { team_id: teamId, name: 'mini', models: ['gpt-4o-mini'] };
  const limited = await stack.admin<{ key: string }>('POST', '/keys', body);
  recorder.answer = { ...COMPLETION, body: list(['gpt-4o', 'gpt-4o-mini-2024-07-18']) };
  expect(idsOf(await get(limited.key))).toEqual(['gpt-4o-mini-2024-07-18']);
  recorder.answer = COMPLETION;
});
