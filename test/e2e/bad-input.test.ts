/**
 * Bad input is told what is wrong with it, in OpenAI's shape, and leaves no trace: no event, no money, no upstream
 * call.
 */
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { readBalance, readEvents } from './books.ts';
import { sdk6, sdk7 } from './callers.ts';
import { type Stack, startStack } from './stack.ts';
import { send, type WireAnswer, type WireRequest } from './wire.ts';

let stack: Stack;
let teamId: string;
let key: string;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_MAX_BODY_BYTES: '20971520' } });
  ({ teamId, key } = await stack.team({ grantUsd: '1000.00' }));
});
afterAll(() => stack.stop());

afterEach(async () => {
  expect(await readEvents(stack)).toEqual([]);
  expect(stack.simulator.invoice().line_count).toBe(0);
  expect(await readBalance(stack, teamId)).toMatchObject({ settled_usd: '0.00', held_usd: '0.00' });
});

const authorization = () => ['authorization', `Bearer ${key}`];
const call = (wanted: Partial<WireRequest>): Promise<WireAnswer> =>
  send(stack.app.url, {
    path: '/v1/chat/completions',
    headers: [...authorization(), 'content-type', 'application/json'],
    ...wanted,
  });
const HELLO = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };
const hello = (fields: object) => JSON.stringify({ ...HELLO, ...fields });

function expectRefused(answer: WireAnswer, status: number, code: string, param?: string | null) {
  const { error } = JSON.parse(answer.body.toString());
  expect([answer.status, error.code]).toEqual([status, code]);
  expect(error).toMatchObject({ message: expect.stringMatching(/\S/), type: expect.any(String) });
  if (param !== undefined) expect(error.param).toBe(param);
  expect(answer.headers['content-type']).toBe('application/json');
  expect(answer.headers['x-should-retry']).toBe('false');
  if (code !== 'not_found') expect(answer.headers['x-tollgate-request-id']).toMatch(/^[0-9a-f-]{36}$/);
}

it.each<[string, string | Buffer]>([
  ['nothing', ''],
  ['half a body', '{"model":"gpt-4o-mini","messages":['],
  ['no JSON', 'model=gpt-4o-mini'],
  ['two bodies', `${hello({})}${hello({})}`],
  ['a list', `[${hello({})}]`],
  ['null', 'null'],
  ['a number that JSON does not know', '{"model":"gpt-4o-mini","n":NaN}'],
  ['invalid UTF-8', Buffer.from([...Buffer.from('{"model":"gpt-4o-mini'), 0xff, 0xfe, 0x22, 0x7d])],
  ['UTF-16', Buffer.from(hello({}), 'utf16le')],
  ['a byte order mark', `\ufeff${hello({})}`],
])('a body that is %s ends in the error invalid_json', async (_, body) => {
  expectRefused(await call({ body }), 400, 'invalid_json');
});

it.each<[string, object]>([
  ['model', { model: undefined }],
  ['model', { model: 42 }],
  ['model', { model: 'x'.repeat(100_000) }],
  ['messages', { messages: 'hello' }],
  ['messages', { messages: [] }],
  ['messages[0]', { messages: [null] }],
  ['messages[0].content', { messages: [{ role: 'user', content: {} }] }],
  ['max_tokens', { max_tokens: -1 }],
  ['max_tokens', { max_tokens: '100' }],
  ['max_completion_tokens', { max_completion_tokens: 1e300 }],
  ['n', { n: 1e9 }],
  ['n', { n: 0 }],
  ['stream', { stream: 'yes' }],
  ['stream_options', { stream: true, stream_options: [] }],
  ['service_tier', { service_tier: 1 }],
  ['user', { user: {} }],
  ['tools', { tools: 'all' }],
  ['prompt_cache_options', { prompt_cache_options: '12h' }],
])('a wrong value of %s ends in an error that names it: %j', async (param, fields) => {
  expectRefused(await call({ body: hello(fields) }), 400, 'invalid_request', param);
});

it('a body nested deeper than any request ends in an error, and is not recursed into', async () => {
  const deep = (levels: number) =>
    `{"model":"gpt-4o-mini","messages":${'['.repeat(levels)}${']'.repeat(levels)}}`;
  expectRefused(await call({ body: deep(300) }), 400, 'body_too_complex');
  const answer = await call({ body: deep(2_000_000) });
  expect([answer.status, answer.headers['x-should-retry']]).toEqual([400, 'false']);
});

it.each<[string, number, string, object]>([
  ['a model without a price', 400, 'unknown_price', { model: 'gpt-99' }],
  ['a tier without a price', 400, 'unknown_price', { service_tier: 'scale' }],
  ['the batch tier', 400, 'unknown_price', { service_tier: 'batch' }],
  ['a cache that is kept longer', 400, 'unbounded_request', { prompt_cache_options: { ttl: '12h' } }],
  ['a hosted tool', 400, 'unbounded_request', { tools: [{ type: 'file_search' }] }],
  ['a stored file of no team', 404, 'not_found', file('file-1')],
])('refuses %s', async (_, status, code, fields) => {
  expectRefused(await call({ body: hello(fields) }), status, code);
});

it('says of what has no bound which field it is, why, what its window would hold, and what to do', async () => {
  const { body } = await call({ body: hello({ tools: [{ type: 'file_search' }] }) });
  expect(JSON.parse(body.toString()).error.message).toMatch(
    /the upstream runs tools of type "file_search".*Remove 'tools\[0\]'\..*it would take \$0\.0\d+ for each time/,
  );
});

function file(file_id: string) {
  return { messages: [{ role: 'user', content: [{ type: 'file', file: { file_id } }] }] };
}

it.each([
  ['POST', '/v1/chat/completions/x/y/z'],
  ['POST', '/v1/chat%2fcompletions'],
  ['POST', '/v1/x/../chat/completions'],
  ['POST', '/v1/CHAT/completions'],
  ['PUT', '/v1/chat/completions'],
  ['POST', '/v1/audio/voices'],
  ['POST', '/v1/assistants'],
  ['POST', '/v1/realtime/client_secrets'],
  ['GET', '/v1/models/..%2ffiles'],
  ['GET', '/v1/threads/thread_1'],
  ['GET', '/v1/'],
])('the gateway does not forward %s %s', async (method, path) => {
  expectRefused(await call({ method, path, body: hello({}) }), 404, 'unsupported_operation');
});

it.each([
  ['POST', '/v1/chat/completions/x'],
  ['POST', '/v1/responses/resp_1/cancel'],
  ['DELETE', '/v1/models/ft:gpt-4o-mini:acme::1'],
  ['GET', '/v1/files/file-1'],
])('the gateway does not forward %s %s of no team', async (method, path) => {
  expectRefused(await call({ method, path, body: hello({}) }), 404, 'not_found');
});

it.each([
  ['GET', '/v1'],
  ['POST', '/v2/chat/completions'],
  ['POST', '/chat/completions/x'],
  ['POST', 'http://127.0.0.1/v1/chat/completions'],
])('%s %s ends in an error in the shape of the API', async (method, path) => {
  expectRefused(await call({ method, path, body: hello({}) }), 404, 'not_found');
});

it.each([false, true])('a body of 50 MB ends in an error (chunked: %s)', async (chunked) => {
  const body = Buffer.alloc(50 * 1024 * 1024, 'a');
  expectRefused(await call({ body, chunked }), 413, 'request_too_large');
});

it.each([sdk7, sdk6])('a body of 30 MB raises an exception of the SDK (%s)', async (sdk) => {
  const messages = [{ role: 'user' as const, content: 'a'.repeat(30 * 1024 * 1024) }];
  const tooLarge = { status: 413, code: 'request_too_large' };
  await expect(sdk(stack.app.url, key).chat.completions.create({ ...HELLO, messages })).rejects.toMatchObject(
    tooLarge,
  );
});

it.each<[string, () => string[]]>([
  ['none', () => []],
  ['an empty one', () => ['authorization', '']],
  ['another scheme', () => ['authorization', `Basic ${key}`]],
  ['one that nobody has', () => ['authorization', 'Bearer tg-nobody']],
  ['the upstream’s own', () => ['authorization', 'Bearer sk-upstream']],
  ['the admin’s', () => ['authorization', 'Bearer admin-key-of-the-tests']],
  ['the key in other letters', () => ['authorization', `Bearer ${key.toUpperCase()}`]],
  ['two of them', () => [...authorization(), ...authorization()]],
  ['a good and a bad one', () => [...authorization(), 'Authorization', 'Bearer tg-nobody']],
  ['it in another header', () => ['x-key', key, 'cookie', `key=${key}`]],
  ['it hidden by Connection', () => ['connection', 'authorization']],
])('a call with %s for a key ends in an error', async (_, headers) => {
  expectRefused(await call({ headers: headers(), body: hello({}) }), 401, 'invalid_api_key');
});
