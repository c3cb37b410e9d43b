/** What a stream cost, in its last comment, for clients that ask for it. */
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';
import { send, startRecorder } from './wire.ts';

let stack: Stack;
let key: string;
beforeAll(async () => {
  stack = await startStack();
  ({ key } = await stack.team({ grantUsd: '50.00' }));
});
afterAll(() => stack.stop());

const ASKED = { 'x-tollgate-cost': 'comment' };
const CHAT = {
  model: 'gpt-4o-mini',
  max_completion_tokens: 30,
  stream: true,
  messages: [{ role: 'user', content: 'hi' }],
};
const EVENTS = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n';
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1,"total_tokens":9}}\n\n';
const DONE = 'data: [DONE]\n\n';

it.each([
  ['/chat/completions', CHAT],
  ['/responses', { model: 'gpt-4.1', input: 'hi', max_output_tokens: 40, stream: true }],
])('%s ends with its exact cost, after its last event', async (path, body) => {
  const response = await stack.post(key, path, body, ASKED);
  const text = await response.text();
  const event = (await readEvents(stack)).at(-1)!;
  expect(event.provenance).toBe('reported');
  const [, last] = /\n\n(: [^\n]+)\n\n$/.exec(text) ?? [];
  expect(last).toBe(`: x-tollgate-cost-usd: ${event.cost_usd}`);
  expect(text.match(/^:/gm)).toHaveLength(1);
});

it('its event has the time until the first byte, which the report on models sums up', async () => {
  const response = await stack.post(key, '/chat/completions', CHAT, { 'x-simulator': 'first_byte_ms=120' });
  await response.text();
  const { stage_us: stageUs } = (await readEvents(stack)).at(-1)!;
  expect(stageUs.first_byte).toBeGreaterThan(100_000);
  expect(stageUs.first_byte).toBeLessThan(stageUs.forward! + 1_000);
  const { data } = await stack.admin<{ data: { model: string; first_byte_ms: number | null }[] }>(
    'GET',
    '/models/report',
  );
  expect(data.find(({ model }) => model === 'gpt-4o-mini')?.first_byte_ms).toBeGreaterThan(0);
});

it('OpenAI’s client reads such a stream as any other', async () => {
  const client = new OpenAI({ apiKey: key, baseURL: `${stack.app.url}/v1`, maxRetries: 0 });
  const stream = await client.chat.completions.create(
    {
      model: 'gpt-4o-mini',
      max_completion_tokens: 30,
      stream: true,
      messages: [{ role: 'user', content: 'hi' }],
    },
    { headers: ASKED },
  );
  let finish: string | null = null;
  for await (const { choices } of stream) finish = choices[0]?.finish_reason ?? finish;
  expect(['stop', 'length']).toContain(finish);
});

it('of which the usage is not known it says what is held', async () => {
  stack.simulator.setProfile({ usageReports: 'never' });
  try {
    const response = await stack.post(key, '/chat/completions', CHAT, ASKED);
    const held = response.headers.get('x-tollgate-hold-usd');
    expect(await response.text()).toMatch(new RegExp(`\\n\\n: x-tollgate-hold-usd: ${held}\\n\\n$`));
    expect((await readEvents(stack)).at(-1)!.provenance).not.toBe('reported');
  } finally {
    stack.simulator.setProfile({ usageReports: 'once' });
  }
});

it('every other byte is the upstream’s, and the header is not sent on', async () => {
  const body = EVENTS + USAGE + DONE;
  const answer = { status: 200, headers: ['content-type', 'text/event-stream'], body };
  const recorder = await startRecorder(answer);
  const other = await startStack({ env: { OPENAI_BASE_URL: recorder.url } });
  try {
    const team = await other.team({ grantUsd: '5.00' });
    const own = ['authorization', `Bearer ${team.key}`, 'content-type', 'application/json'];
    const asked = JSON.stringify({ ...CHAT, stream_options: { include_usage: true } });
    const ends: [string[], string][] = [
      [[], ''],
      [['x-tollgate-cost', 'header'], ''],
      [['X-Tollgate-Cost', 'comment'], ': x-tollgate-cost-usd: 0.0000018\n\n'],
    ];
    for (const [headers, comment] of ends) {
      const request = { path: '/v1/chat/completions', headers: [...own, ...headers], body: asked };
      const { body: got } = await send(other.app.url, request);
      expect(got.toString(), headers.join()).toBe(body + comment);
      expect(recorder.seen.at(-1)!.rawHeaders.join('\n')).not.toMatch(/x-tollgate/i);
    }
  } finally {
    await other.stop();
    recorder.close();
  }
});

it('a stream that breaks off has its error event before the comment', async () => {
  const response = await stack.post(key, '/chat/completions', CHAT, {
    ...ASKED,
    'x-simulator': 'fault=cut_mid_stream,chunks=5',
  });
  const text = await response.text();
  expect(text).toMatch(
    /data: \{"error":[^\n]+\}\n\n(?:data: \[DONE\]\n\n)?: x-tollgate-hold-usd: [\d.]+\n\n$/,
  );
});
