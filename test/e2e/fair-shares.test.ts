/** Connections to the upstream are shared among teams, and what a client does not read ends. */
import type { ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { type Recorder, startRecorder } from './wire.ts';

const MODEL = 'gpt-4o-mini';
const HELLO = { model: MODEL, messages: [{ role: 'user', content: 'hello' }], max_tokens: 2000 };
const STREAM = JSON.stringify({ ...HELLO, stream: true });
const USAGE = { prompt_tokens: 9, completion_tokens: 7, total_tokens: 16 };
/** More than the buffers of all sockets on the way. */
const STREAM_BYTES = 48 * 1024 * 1024;

const JSON_ANSWER = {
  status: 200,
  headers: ['content-type', 'application/json'],
  body: JSON.stringify({
    id: 'c',
    object: 'chat.completion',
    model: MODEL,
    choices: [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }],
    usage: USAGE,
  }),
};

const chunk = (rest: object) =>
  `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', model: MODEL, ...rest })}\n\n`;

/** Streams as fast as it is read, and ends with usage. */
async function longStream(response: ServerResponse): Promise<void> {
  const delta = { index: 0, delta: { content: 'x'.repeat(60_000) }, finish_reason: null };
  const text = chunk({ choices: [delta] });
  for (let sent = 0; sent < STREAM_BYTES && !response.destroyed; sent += text.length) {
    if (!response.write(text)) await new Promise<void>((resolve) => onRoom(response, resolve));
  }
  response.write(chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }));
  response.write(chunk({ choices: [], usage: USAGE }));
  response.end('data: [DONE]\n\n');
}

/** Calls back once, when more may be written or the connection is gone. */
function onRoom(response: ServerResponse, callback: () => void): void {
  const done = () => {
    response.off('drain', done).off('close', done);
    callback();
  };
  response.on('drain', done).on('close', done);
}

const STREAM_ANSWER = { status: 200, headers: ['content-type', 'text/event-stream'], body: longStream };

let stack: Stack;
let upstream: Recorder;
const sockets: Socket[] = [];

async function start(env: Record<string, string>): Promise<void> {
  upstream = await startRecorder(JSON_ANSWER);
  stack = await startStack({ env: { OPENAI_BASE_URL: upstream.url, ...env } });
}

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await stack.stop();
  upstream.close();
});

/** A client that asks for a stream and reads nothing of it. */
function ask(key: string, body = STREAM, version = 'HTTP/1.1'): Socket {
  const { port } = new URL(stack.app.url);
  const socket = connect(Number(port), '127.0.0.1');
  sockets.push(socket);
  socket.on('error', () => {});
  socket.pause();
  socket.write(
    `POST /v1/chat/completions ${version}\r\nhost: x\r\nauthorization: Bearer ${key}\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
}

async function gauge(name: string): Promise<number> {
  const page = await (await fetch(`${stack.app.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1]);
}

const used = () => gauge('tollgate_upstream_connections');

describe('connections to the upstream', () => {
  const startWith = (queueTimeoutMs: number) =>
    start({
      TOLLGATE_UPSTREAM_CONNECTIONS: '16',
      TOLLGATE_QUEUE_TIMEOUT_MS: String(queueTimeoutMs),
    });
  const waiting = () => gauge('tollgate_upstream_waiting_calls');

  /** As many streams that are not read as one team may have. */
  async function fill(key: string): Promise<Socket> {
    upstream.answer = STREAM_ANSWER;
    const [first] = Array.from({ length: 8 }, () => ask(key));
    await expect.poll(used, { timeout: 30_000 }).toBe(8);
    return first!;
  }

  it('are never all one team’s, however many streams it does not read: others’ calls go on', async () => {
    await startWith(60_000);
    const hostile = await stack.team({ grantUsd: '5' });
    const honest = await stack.team({ grantUsd: '5' });
    upstream.answer = STREAM_ANSWER;
    for (let index = 0; index < 60; index++) ask(hostile.key);
    await expect.poll(used, { timeout: 30_000 }).toBe(8);
    await expect.poll(waiting, { timeout: 30_000 }).toBe(32);
    expect(await gauge('tollgate_upstream_connections_max')).toBe(16);
    upstream.answer = JSON_ANSWER;
    for (let turn = 0; turn < 20; turn++) {
      const response = await stack.post(honest.key, '/chat/completions', HELLO);
      expect(response.status).toBe(200);
      await response.arrayBuffer();
    }
    const waits = (await readEvents(stack, honest.teamId)).map(({ stage_us }) => stage_us.connect!);
    expect(waits).toHaveLength(20);
    // Far below what the other team’s calls wait.
    for (const waitUs of waits) expect(waitUs).toBeLessThan(5_000_000);
  });

  it('are not waited for for ever: 503 upstream_busy says when to come again, and charges nothing', async () => {
    await startWith(3000);
    const { teamId, key } = await stack.team({ grantUsd: '5' });
    await fill(key);
    const sinceMs = performance.now();
    const response = await stack.post(key, '/chat/completions', HELLO);
    expect(performance.now() - sinceMs).toBeGreaterThan(2900);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ error: { code: 'upstream_busy', type: 'api_error' } });
    expect(Number(response.headers.get('retry-after-ms'))).toBeGreaterThanOrEqual(1000);
    expect(response.headers.get('x-should-retry')).toBeNull();
    for (const socket of sockets) socket.destroy();
    const busy = (await readEvents(stack, teamId)).find(({ outcome }) => outcome === 'voided');
    expect(busy).toMatchObject({ reason: 'upstream_busy', upstream_status: null, cost_usd: '0.00' });
    expect(busy!.stage_us.connect).toBeGreaterThan(2_900_000);
  });

  it('are waited for in turn, until the client leaves', async () => {
    await startWith(60_000);
    const { teamId, key } = await stack.team({ grantUsd: '5' });
    const first = await fill(key);
    const leaving = ask(key);
    await expect.poll(waiting).toBe(1);
    leaving.destroy();
    await expect.poll(waiting).toBe(0);
    upstream.answer = JSON_ANSWER;
    const served = stack.post(key, '/chat/completions', HELLO);
    await expect.poll(waiting).toBe(1);
    await delay(300);
    // The rest of its stream is read for its usage before another call has its connection.
    first.destroy();
    expect((await served).status).toBe(200);
    const events = await readEvents(stack, teamId);
    const left = events.filter(({ outcome }) => outcome === 'voided');
    expect(left).toMatchObject([{ reason: 'client_gone', upstream_status: null, cost_usd: '0.00' }]);
    const waited = events.find(({ outcome, stream }) => outcome === 'settled' && !stream);
    expect(waited!.stage_us.connect).toBeGreaterThan(250_000);
  });
});

describe('a client that takes no byte of its response', () => {
  beforeEach(() => start({ TOLLGATE_CLIENT_STALL_MS: '1000' }));

  it('is cut off after TOLLGATE_CLIENT_STALL_MS; its call is read to its end, and costs what the upstream said', async () => {
    const { teamId, key } = await stack.team({ grantUsd: '5' });
    upstream.answer = STREAM_ANSWER;
    // Served by the wire, and by Node's server.
    const stalled = [ask(key), ask(key, STREAM, 'HTTP/1.0')];
    const closed = stalled.map((socket) => new Promise((resolve) => socket.on('close', resolve)));
    await expect.poll(() => upstream.seen.length, { timeout: 30_000 }).toBe(2);
    // Bytes of its own do not put the end off.
    const knocking = setInterval(() => stalled[0]!.write('x'), 100);
    await expect.poll(used, { timeout: 30_000 }).toBe(0);
    clearInterval(knocking);
    for (const socket of stalled) socket.resume();
    await Promise.all(closed);
    await stack.idle();
    const events = await readEvents(stack, teamId);
    expect(events).toHaveLength(2);
    for (const event of events) {
      expect(event).toMatchObject({
        outcome: 'settled',
        provenance: 'reported',
        reason: 'client_gone',
        output_tokens: USAGE.completion_tokens,
      });
    }
  });

  it('is not one that reads slowly, whatever else it does', async () => {
    const { key } = await stack.team({ grantUsd: '5' });
    upstream.answer = STREAM_ANSWER;
    const slow = ask(key);
    let bytes = 0;
    slow.on('data', (piece: Buffer) => {
      bytes += piece.length;
      slow.pause();
    });
    const reading = setInterval(() => slow.resume(), 5);
    await delay(4000);
    expect(slow.destroyed).toBe(false);
    expect(bytes).toBeGreaterThan(0);
    clearInterval(reading);
  });
});
