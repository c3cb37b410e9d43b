import { request as httpRequest } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { HELLO, order, useSimulator } from './client.ts';

const bench = useSimulator({ profile: { slowFirstByteMs: 60, slowChunkMs: 10 } });
const STREAM = { ...HELLO, stream: true, stream_options: { include_usage: true } };

function send(fault: string, body: object = HELLO, path = '/chat/completions'): Promise<Response> {
  return bench.post(path, body, order(`fault=${fault}`).headers);
}

function expectLine(fault: string, fields: object): void {
  expect(bench.lastLine()).toMatchObject({ fault, ...fields });
}

const billed = (): boolean => BigInt(bench.lastLine().cost_pico_usd) > 0n;

/** The body as far as it came, undecoded, and whether it ended as promised. */
function rawAnswer(
  body: object,
  fault: string,
): Promise<{ bytes: Buffer; whole: boolean; encoding?: string }> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: 'Bearer sk-test',
      'accept-encoding': 'identity',
      ...order(`fault=${fault}`).headers,
    };
    const request = httpRequest(
      `${bench.simulator.url}/chat/completions`,
      { method: 'POST', headers },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', () => {});
        answer.on('close', () => {
          const encoding = answer.headers['content-encoding'];
          resolve({
            bytes: Buffer.concat(chunks),
            whole: answer.complete,
            ...(encoding ? { encoding } : {}),
          });
        });
      },
    );
    request.on('error', reject);
    request.end(JSON.stringify(body));
  });
}

describe('a refusal of the API is never billed', () => {
  it.each([
    ['rate_limit', 429, 'rate_limit_exceeded'],
    ['insufficient_quota', 429, 'insufficient_quota'],
    ['server_error', 500, null],
  ])('%s', async (fault, status, code) => {
    const answer = await send(fault);
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ error: { code } });
    expect(answer.headers.get('retry-after-ms')).toBe(fault === 'rate_limit' ? '1000' : null);
    expectLine(fault, { status, cost_pico_usd: '0' });
  });
});

describe('a lost answer may be billed or not', () => {
  it.each([500, 502, 503, 504])('a bare %i with an HTML body', async (status) => {
    const answer = await send(`html_${status}`);
    expect(answer.status).toBe(status);
    expect(await answer.text()).toMatch(/^<html>/);
    expect(billed()).toBe(true);
    await send(`html_${status},billed=false`);
    expectLine(`html_${status}`, {
      status,
      cost_pico_usd: '0',
      service_tier: null,
      usage: { output_tokens: 0 },
    });
  });

  it('a connection cut before the headers', async () => {
    await expect(send('cut_before_headers')).rejects.toThrow();
    expectLine('cut_before_headers', { status: null, completed: false });
    expect(billed()).toBe(true);
    await expect(send('cut_before_headers,billed=false')).rejects.toThrow();
    expect(billed()).toBe(false);
  });

  it('a request that hangs for ever', async () => {
    const body = JSON.stringify(HELLO);
    const answer = fetch(`${bench.simulator.url}/chat/completions`, {
      method: 'POST',
      headers: { authorization: 'Bearer sk-test', ...order('fault=hang').headers },
      body,
      signal: AbortSignal.timeout(100),
    });
    await expect(answer).rejects.toThrow(/timeout/i);
    expectLine('hang', { status: null, completed: false });
    expect(billed()).toBe(true);
  });
});

describe('a broken delivery is billed in full', () => {
  it('a stream, and a JSON body, cut in the middle', async () => {
    const stream = await rawAnswer(STREAM, 'cut_mid_stream');
    expect(stream.whole).toBe(false);
    expect(stream.bytes.toString()).toMatch(/^data: /);
    expect(stream.bytes.toString()).not.toMatch(/\n\n$/);
    expect(stream.bytes.toString()).not.toContain('"choices":[],"usage"');
    const json = await rawAnswer(HELLO, 'cut_mid_stream');
    expect(json.whole).toBe(false);
    expect(json.bytes.length).toBeGreaterThan(100);
    expectLine('cut_mid_stream', { status: 200, completed: false });
    expect(billed()).toBe(true);
  });

  it('an answer without its usage, in JSON and in streams', async () => {
    expect(await (await send('no_usage')).json()).not.toHaveProperty('usage');
    const chat = await (await send('no_usage', STREAM)).text();
    expect(chat).not.toContain('"choices":[],"usage"');
    expect(chat).toMatch(/data: \[DONE\]\n\n$/);
    const events = await send('no_usage', { model: 'gpt-5', input: 'x', stream: true }, '/responses');
    expect(await events.text()).not.toMatch(/^event: response\.completed/m);
    expectLine('no_usage', { status: 200 });
    expect(billed()).toBe(true);
  });

  it('an answer compressed against the request, in JSON and in streams', async () => {
    const json = await rawAnswer(HELLO, 'gzip');
    expect(json.encoding).toBe('gzip');
    expect(JSON.parse(gunzipSync(json.bytes).toString())).toHaveProperty('usage');
    const stream = await rawAnswer(STREAM, 'gzip');
    expect(stream).toMatchObject({ encoding: 'gzip', whole: true });
    expect(gunzipSync(stream.bytes).toString()).toMatch(/data: \[DONE\]\n\n$/);
    expectLine('gzip', { completed: true });
  });

  it('a slow first byte and slow chunks', async () => {
    const start = performance.now();
    await send('slow_first_byte');
    expect(performance.now() - start).toBeGreaterThan(55);
    expectLine('slow_first_byte', { status: 200 });
    const restart = performance.now();
    await (await send('slow_chunks,chunks=10', STREAM)).text();
    expect(performance.now() - restart).toBeGreaterThan(100);
    expectLine('slow_chunks', { completed: true });
  });
});

it('draws faults from the profile, which can change while it runs', async () => {
  const root = bench.simulator.url.slice(0, -'/v1'.length);
  bench.simulator.setProfile({ faults: { server_error: 1 } });
  expect((await bench.post('/chat/completions', HELLO)).status).toBe(500);
  expect((await send('none')).status).toBe(200);
  const change = await fetch(`${root}/profile`, {
    method: 'PATCH',
    body: '{"faults":{"html_502":1},"mode":"worst"}',
  });
  expect(await change.json()).toMatchObject({ mode: 'worst', faults: { html_502: 1 } });
  expect((await bench.post('/chat/completions', HELLO)).status).toBe(502);
  bench.simulator.setProfile({ faults: {} });
  bench.simulator.setMode('normal');
  expect((await bench.post('/chat/completions', HELLO)).status).toBe(200);
  expect(() => bench.simulator.setProfile({ faults: { hang: 0.6, gzip: 0.6 } })).toThrow(RangeError);
  const wrong = await fetch(`${root}/profile`, { method: 'PATCH', body: '{"medain":1}' });
  expect(wrong.status).toBe(400);
});

it('refuses a directive that it does not know, so that a test cannot misspell one', async () => {
  for (const directives of ['falt=hang', 'fault=hangs', 'output=-1', 'billed']) {
    const answer = await bench.post('/chat/completions', HELLO, order(directives).headers);
    expect(answer.status, directives).toBe(400);
  }
});
