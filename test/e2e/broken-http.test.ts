/** What is no HTTP at all is refused in OpenAI's shape too, and disturbs nobody. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
let key: string;
beforeAll(async () => {
  stack = await startStack();
  ({ key } = await stack.team({ grantUsd: '1.00' }));
});
afterAll(() => stack.stop());

/** Sends bytes as they are and answers all that comes back until the connection closes. */
async function exchange(bytes: string): Promise<string> {
  const socket = connect(Number(new URL(stack.app.url).port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    answer += text;
  });
  // A server that closes while a request is still being written resets the connection.
  socket.on('error', () => {});
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

const BODY = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] });

function chat(headers: string, body = BODY): string {
  const own = `host: x\r\nauthorization: Bearer ${key}\r\ncontent-length: ${body.length}\r\n`;
  return `POST /v1/chat/completions HTTP/1.1\r\n${own}${headers}\r\n${body}`;
}

it.each<[string, () => string]>([
  ['two ways to say how long the body is', () => chat('transfer-encoding: chunked\r\n')],
  ['two lengths', () => chat('content-length: 3\r\n')],
  ['a length below zero', () => chat('').replace(/content-length: \d+/, 'content-length: -1')],
  ['headers without end', () => chat(`x-long: ${'a'.repeat(40_000)}\r\n`)],
  [
    'two thousand headers',
    () => chat(Array.from({ length: 2000 }, (_, index) => `x-${index}: 1\r\n`).join('')),
  ],
  ['a header with a NUL in it', () => chat('x-odd: a\0b\r\n')],
  ['the start of a TLS connection', () => '\x16\x03\x01\x02\x00\x01\r\n\r\n'],
  ['a broken chunk', () => chat('').replace(/content-length: \d+/, 'transfer-encoding: chunked')],
])('refuses %s', async (_, bytes) => {
  const [head, body] = (await exchange(bytes())).split('\r\n\r\n');
  expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(head).toContain('x-should-retry: false');
  expect(JSON.parse(body!).error).toMatchObject({
    code: 'invalid_request',
    type: 'invalid_request_error',
    message: expect.stringMatching(/\S/),
  });
  expect(await readEvents(stack)).toEqual([]);
  expect(stack.simulator.invoice().line_count).toBe(0);
});

it('the error of a broken request comes after the whole response to the request before it', async () => {
  const stream = BODY.replace('{', '{"stream":true,');
  const slow = 'x-simulator: chunks=5,chunk_ms=30\r\n';
  const socket = connect(Number(new URL(stack.app.url).port), '127.0.0.1');
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => {
    if (answer === '') socket.write('no HTTP\r\n\r\n');
    answer += text;
  });
  socket.on('error', () => {});
  socket.write(chat(slow, stream));
  await once(socket, 'close');
  const end = answer.indexOf('\r\n0\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(answer.slice(0, end)).toContain('data: [DONE]');
  expect(answer.slice(0, end)).not.toContain('invalid_request');
  expect(answer.slice(end)).toContain('invalid_request');
});

it('a call with an unknown expectation is served', async () => {
  const answer = await exchange(chat('expect: the-best\r\nconnection: close\r\n'));
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
});

it('refuses a HEAD with too many headers without a body, as its client expects', async () => {
  const [head, body] = (
    await exchange(chat(`x-long: ${'a'.repeat(40_000)}\r\n`).replace('POST', 'HEAD'))
  ).split('\r\n\r\n');
  expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(body).toBe('');
});
