import { get } from 'node:http';
import { expect, it } from 'vitest';
import { startSimulator } from '../../src/simulator/simulator.ts';
import { HELLO, post, useSimulator } from './client.ts';

const bench = useSimulator();
const CHAT = '/chat/completions';
const RESPONSE = { model: 'gpt-5', input: 'x' };
const { messages } = HELLO;

it.each<[string, object | string, number, string | null, string | null]>([
  [CHAT, '{"model":', 400, null, null],
  [CHAT, '[]', 400, null, null],
  [CHAT, { messages }, 400, null, null],
  [CHAT, { messages, model: 7 }, 400, 'model', 'invalid_type'],
  [CHAT, { model: 'gpt-4o' }, 400, 'messages', 'missing_required_parameter'],
  [CHAT, { ...HELLO, messages: 'hello' }, 400, 'messages', 'invalid_type'],
  [CHAT, { ...HELLO, messages: [] }, 400, 'messages', 'empty_array'],
  [CHAT, { ...HELLO, messages: [{ role: 'boss', content: 'x' }] }, 400, 'messages[0].role', 'invalid_value'],
  [CHAT, { ...HELLO, messages: [{ role: 'user', content: 5 }] }, 400, 'messages[0].content', 'invalid_type'],
  [CHAT, { ...HELLO, model: 'gpt-99' }, 404, null, 'model_not_found'],
  [CHAT, { ...HELLO, model: 'ft:gpt-4o:acme::x' }, 404, null, 'model_not_found'],
  [CHAT, { ...HELLO, model: 'gpt-5-pro' }, 404, 'model', null],
  [CHAT, { ...HELLO, model: 'davinci-002' }, 404, 'model', null],
  [CHAT, { ...HELLO, max_tokens: -1 }, 400, 'max_tokens', 'integer_below_min_value'],
  [CHAT, { ...HELLO, max_tokens: 1.5 }, 400, 'max_tokens', 'invalid_type'],
  [CHAT, { ...HELLO, max_tokens: 16_385 }, 400, 'max_tokens', 'invalid_value'],
  [
    CHAT,
    { ...HELLO, max_tokens: 5, max_completion_tokens: 5 },
    400,
    'max_tokens',
    'invalid_parameter_combination',
  ],
  [CHAT, { ...HELLO, model: 'gpt-5', max_tokens: 5 }, 400, 'max_tokens', 'unsupported_parameter'],
  [CHAT, { ...HELLO, n: 0 }, 400, 'n', 'integer_below_min_value'],
  [CHAT, { ...HELLO, n: 129 }, 400, 'n', 'integer_above_max_value'],
  [CHAT, { ...HELLO, stream: 'yes' }, 400, 'stream', 'invalid_type'],
  [CHAT, { ...HELLO, stream_options: { include_usage: true } }, 400, 'stream_options', null],
  [CHAT, { ...HELLO, service_tier: 'gold' }, 400, 'service_tier', 'invalid_value'],
  [CHAT, { ...HELLO, service_tier: 'flex' }, 400, 'service_tier', 'invalid_service_tier'],
  [CHAT, { ...HELLO, temperature: 3 }, 400, 'temperature', 'decimal_out_of_range'],
  ['/responses', { model: 'gpt-5' }, 400, 'input', 'missing_required_parameter'],
  ['/responses', { ...RESPONSE, max_output_tokens: 15 }, 400, 'max_output_tokens', 'integer_below_min_value'],
  [
    '/responses',
    { ...RESPONSE, tools: [{ type: 'computer_use' }] },
    400,
    'tools: computer_use',
    'not_simulated',
  ],
  [
    '/responses',
    { ...RESPONSE, previous_response_id: 'r' },
    400,
    'previous_response_id',
    'previous_response_not_found',
  ],
  ['/completions', { model: 'davinci', prompt: 'x', n: 3, best_of: 2 }, 400, 'best_of', null],
  ['/completions', { model: 'gpt-4o', prompt: 'x' }, 404, 'model', null],
  ['/embeddings', { model: 'text-embedding-3-small' }, 400, 'input', 'missing_required_parameter'],
  ['/embeddings', { model: 'text-embedding-3-small', input: '' }, 400, 'input', null],
  ['/embeddings', { model: 'text-embedding-3-small', input: ['a', 5] }, 400, 'input', 'invalid_type'],
  [
    '/embeddings',
    { model: 'text-embedding-3-small', input: Array(2049).fill('a') },
    400,
    'input',
    'array_above_max_length',
  ],
  ['/moderations', {}, 400, 'input', 'missing_required_parameter'],
  ['/audio/voices', {}, 404, null, null],
])('refuses %s %j as the API does: %i', async (path, body, status, param, code) => {
  const answer = await bench.post(path, body);
  expect(answer.status).toBe(status);
  expect(await answer.json()).toMatchObject({ error: { type: 'invalid_request_error', param, code } });
  expect(bench.lastLine()).toMatchObject({ status, cost_pico_usd: '0', fault: null });
});

it('demands a key, and the right one if there is a right one', async () => {
  const none = await bench.post(CHAT, HELLO, { authorization: '' });
  expect(none.status).toBe(401);
  const strict = await startSimulator({ apiKey: 'sk-right' });
  const wrong = await post(strict, CHAT, HELLO);
  expect(wrong.status).toBe(401);
  expect(await wrong.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
  expect((await post(strict, CHAT, HELLO, { authorization: 'Bearer sk-right' })).status).toBe(200);
  expect(strict.invoice().lines.map(({ status }) => status)).toEqual([401, 200]);
  await strict.close();
});

it('takes null for absent, as the API does', async () => {
  const nulls = {
    max_tokens: null,
    n: null,
    stream: null,
    service_tier: null,
    tools: null,
    prediction: null,
  };
  expect((await bench.post(CHAT, { ...HELLO, ...nulls })).status).toBe(200);
});

it('outlives bodies and paths that are made to break it', async () => {
  const deep = `{"model":"gpt-5","input":"x","tool_choice":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  expect((await bench.post('/responses', deep)).status).toBe(400);
  expect(bench.lastLine()).toMatchObject({ cost_pico_usd: '0', usage: { input_tokens: 0 } });
  const { port } = bench.simulator;
  for (const path of ['//', '/v1/models/%zz', '/v1/', '/?%']) {
    const status = await new Promise((resolve, reject) => {
      const headers = { authorization: 'Bearer sk-test' };
      get({ port, path, headers }, (answer) => resolve(answer.resume().statusCode)).on('error', reject);
    });
    expect(status, path).toBe(404);
  }
});
