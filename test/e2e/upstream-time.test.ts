/** An upstream that is paid by the second of its time: what a call holds, and what it costs however it ends. */

import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { temporaryFolder } from '../support/folder.ts';
import { readBalance, readEvents, type UsageEvent } from './books.ts';
import { type Stack, startStack } from './stack.ts';

const PATIENCE = { timeout: 30_000, interval: 20 };
const RATE = usd('0.01');
const CALL_MS = 60_000;
const LATE_MS = 300;
const USAGE = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 };

/** How long the server worked on its last call, by its own clock; up to its last chunk. */
let workedMs = 0;

/** The last message of a call says what becomes of it. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const beganMs = performance.now();
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const { model, messages } = JSON.parse(Buffer.concat(chunks).toString());
  const fate = messages.at(-1).content;
  const worked = () => {
    workedMs = performance.now() - beganMs;
  };
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const head = { id: 'chatcmpl-1', created: 1, model };
  if (fate === 'hang') return;
  if (fate === 'refuse') {
    response.writeHead(400, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ error: { message: 'no', type: 'invalid_request_error', code: null, param: null } }),
    );
    return;
  }
  await pause(30);
  if (fate === 'answer') {
    const choices = [{ index: 0, message: { role: 'assistant', content: 'hi' }, finish_reason: 'stop' }];
    response.writeHead(200, { 'content-type': 'application/json' });
    worked();
    response.end(JSON.stringify({ ...head, object: 'chat.completion', choices, usage: USAGE }));
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  const event = (rest: object) =>
    response.write(`data: ${JSON.stringify({ ...head, object: 'chat.completion.chunk', ...rest })}\n\n`);
  for (let at = 0; at < (fate === 'story' ? 2_000 : 5) && !response.closed; at++) {
    event({ choices: [{ index: 0, delta: { content: 'a' }, finish_reason: null }] });
    worked();
    await pause(20);
  }
  if (fate === 'cut') response.destroy();
  else {
    event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
    event({ choices: [], usage: USAGE });
    worked();
    response.end('data: [DONE]\n\n');
  }
}

let server: Server;
let stack: Stack;
beforeAll(async () => {
  server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const path = join(await temporaryFolder(), 'tollgate.yaml');
  const upstream = (name: string, timeouts: string, prices: string) =>
    `  - name: ${name}\n    base_url: ${url}\n    timeouts: {${timeouts}}\n    prices: {${prices}}\n    models: [${name}, ${name}-mixed]\n`;
  const mixed = "input: '1', output: '2', second: '0.01', max_output_tokens: 1000";
  await writeFile(
    path,
    `upstreams:\n${upstream('gpu', `call_ms: ${CALL_MS}`, `gpu: { second: '0.01' }, gpu-mixed: { ${mixed} }`)}${upstream(
      'late',
      `call_ms: ${LATE_MS}`,
      `late: { second: '0.01' }, late-mixed: { ${mixed} }`,
    )}${upstream('open', '', '')}`,
  );
  stack = await startStack({ env: { TOLLGATE_CONFIG_FILE: path } });
});
afterAll(async () => {
  await stack.stop();
  server.closeAllConnections();
  server.close();
});

const body = (model: string, fate: string, fields: object = {}) => ({
  model,
  messages: [{ role: 'user', content: fate }],
  max_completion_tokens: 100,
  ...fields,
});

interface Leave {
  /** `finish` or `cancel`. */
  onClientGone: string;
}

/** Makes one call of a new team, and returns its event when all is in the ledger; a client that leaves does so after its first chunk. */
async function call(model: string, fate: string, fields: object = {}, leave: Leave | null = null) {
  const { key, teamId } = await stack.team({ grantUsd: '50.00' });
  if (leave !== null) await stack.admin('PATCH', `/teams/${teamId}`, { on_client_gone: leave.onClientGone });
  const gone = new AbortController();
  const response = await fetch(`${stack.app.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body(model, fate, fields)),
    signal: gone.signal,
  });
  if (leave !== null) {
    await response.body!.getReader().read();
    gone.abort();
  } else await response.text().catch(() => '');
  const events = await vi.waitFor(async () => {
    const found = await readEvents(stack, teamId);
    expect(found).toHaveLength(1);
    return found;
  }, PATIENCE);
  const [event] = events as [UsageEvent];
  const { settled_usd, held_usd } = await readBalance(stack, teamId);
  expect([settled_usd, held_usd]).toEqual([event.cost_usd, '0.00']);
  return { event, status: response.status };
}

/** What so many microseconds cost, rounded up, beside tokens at whole pico-dollars. */
const costOf = (us: number, tokens = 0n) => (BigInt(us) * RATE + 999_999n) / 1_000_000n + tokens;
const usOf = ({ quantities }: UsageEvent) => Math.round((quantities.upstream_seconds ?? 0) * 1_000_000);
/** Of the usage that the server reports, at $1 and $2 for a million tokens. */
const TOKENS = 5n * usd('0.000001') + 7n * usd('0.000002');

describe('a call that is paid by the second', () => {
  it.each([
    ['answer', {}],
    ['stream', { stream: true }],
  ])('costs its time: %s', async (fate, fields) => {
    const { event } = await call('gpu', fate, fields);
    expect(event).toMatchObject({
      outcome: 'settled',
      provenance: 'reported',
      reason: null,
      output_tokens: 7,
    });
    expect(usd(event.cost_usd)).toBe(costOf(usOf(event)));
    expect(usOf(event)).toBeGreaterThanOrEqual(Math.floor(workedMs * 1000));
    expect(usd(event.hold_usd)).toBe(costOf(CALL_MS * 1000));
  });

  it('costs its tokens too where these have a price', async () => {
    const { event } = await call('gpu-mixed', 'answer');
    expect(usd(event.cost_usd)).toBe(costOf(usOf(event), TOKENS));
    expect(usd(event.hold_usd)).toBeGreaterThan(costOf(CALL_MS * 1000));
  });

  it('is stopped at its bound, which is what it held and costs', async () => {
    const { event, status } = await call('late', 'hang');
    expect(status).toBe(504);
    expect(event).toMatchObject({ outcome: 'settled', provenance: 'estimated', reason: 'upstream_timeout' });
    expect(usOf(event)).toBe(LATE_MS * 1000);
    expect([event.cost_usd, event.hold_usd]).toEqual(['0.003', '0.003']);
  });

  it('is stopped in the middle of a stream, and is unknown where its tokens cost something', async () => {
    const { event } = await call('late-mixed', 'story', { stream: true });
    expect(event).toMatchObject({ outcome: 'unknown', reason: 'upstream_timeout', cost_usd: event.hold_usd });
    expect(usd(event.hold_usd)).toBeGreaterThan(costOf(LATE_MS * 1000));
  });

  it('costs the time until it was stopped, when its client leaves', async () => {
    const { event } = await call('gpu', 'story', { stream: true }, { onClientGone: 'cancel' });
    expect(event).toMatchObject({ outcome: 'settled', provenance: 'estimated', reason: 'client_gone' });
    expect(usd(event.cost_usd)).toBe(costOf(usOf(event)));
    expect(usOf(event)).toBeGreaterThan(30_000);
    expect(usOf(event)).toBeLessThan(CALL_MS * 1000);
  });

  it('costs the time to its end, when it goes on without its client', async () => {
    const { event } = await call('gpu', 'stream', { stream: true }, { onClientGone: 'finish' });
    expect(event).toMatchObject({ outcome: 'settled', provenance: 'reported' });
    expect(usd(event.cost_usd)).toBe(costOf(usOf(event)));
    expect(usOf(event)).toBeGreaterThanOrEqual(Math.floor(workedMs * 1000));
  });

  it('costs its time when the upstream breaks off, and nothing when it refuses', async () => {
    const { event } = await call('gpu', 'cut', { stream: true });
    expect(event).toMatchObject({
      outcome: 'settled',
      provenance: 'estimated',
      reason: 'upstream_interrupted',
    });
    expect(usd(event.cost_usd)).toBe(costOf(usOf(event)));
    expect((await call('gpu', 'refuse')).event).toMatchObject({ outcome: 'voided', cost_usd: '0.00' });
  });

  it('is refused where nothing bounds its time, or no money is left for it', async () => {
    const lines = [
      { meter: 'upstream_seconds', per: 1, rate: '0.01' },
      { meter: 'input_tokens', per: 1, rate: '0' },
      { meter: 'output_tokens', per: 1, rate: '0' },
    ];
    await stack.admin('POST', '/prices', { model: 'open', source: 'ours', lines });
    const { key } = await stack.team({ grantUsd: '0.01' });
    const refusal = async (model: string) => {
      const response = await stack.post(key, '/chat/completions', body(model, 'answer'));
      const { error } = (await response.json()) as { error: { code: string; message: string } };
      return [response.status, error.code, error.message];
    };
    await vi.waitFor(async () => {
      expect(await refusal('open')).toEqual([
        400,
        'unbounded_request',
        expect.stringContaining('timeouts.call_ms'),
      ]);
    }, PATIENCE);
    expect(await refusal('gpu')).toEqual([
      expect.any(Number),
      expect.stringMatching(/insufficient_quota|hold_too_large/),
      expect.any(String),
    ]);
  });
});
