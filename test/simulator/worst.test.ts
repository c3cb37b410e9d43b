import { describe, expect, it } from 'vitest';
import { HELLO, order, useSimulator } from './client.ts';

const bench = useSimulator({ mode: 'worst' });

describe('in worst mode', () => {
  it('bills a token for every byte of text, and three for each message and for the answer', async () => {
    const messages = [
      { role: 'system', content: 'né' },
      { role: 'user', name: 'bob', content: [{ type: 'text', text: '漢字' }] },
    ];
    await bench.post('/chat/completions', { model: 'gpt-4.1', messages, max_tokens: 1 });
    expect(bench.lastLine().usage.input_tokens).toBe(3 + 3 + 6 + 3 * 2 + 3);
  });

  it('bills tool schemas with their keys', async () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
    await bench.post('/chat/completions', { ...HELLO, tools });
    const schema = 'type' + 'function' + 'function' + 'name' + 'f' + 'parameters' + 'type' + 'object';
    expect(bench.lastLine().usage.input_tokens).toBe('hello'.length + 6 + schema.length);
  });

  it('bills the full output limit on every choice, or the maximum of the model', async () => {
    await bench.post('/chat/completions', { ...HELLO, max_completion_tokens: 70, n: 3 });
    expect(bench.lastLine().usage.output_tokens).toBe(210);
    await bench.post('/chat/completions', HELLO);
    expect(bench.lastLine().usage.output_tokens).toBe(16_384);
    await bench.post('/completions', { model: 'davinci-002', prompt: ['a', 'b'], best_of: 5 });
    expect(bench.lastLine().usage.output_tokens).toBe(2 * 5 * 16);
    await bench.post('/responses', { model: 'gpt-6-astra', input: 'x', max_output_tokens: 16 });
    expect(bench.lastLine().usage.output_tokens).toBe(16);
  });

  it('bills a rejected prediction on top of the limit', async () => {
    const prediction = { type: 'content', content: 'twelve bytes' };
    await bench.post('/chat/completions', { ...HELLO, max_completion_tokens: 5, prediction });
    expect(bench.lastLine().usage.output_tokens).toBe(5 + 12);
  });

  it('bills every input token as a cache write where one is priced, else as plain input', async () => {
    await bench.post('/responses', { model: 'gpt-6-luna', input: 'x', service_tier: 'default' });
    const { usage } = bench.lastLine();
    expect(usage.cache_write_tokens).toBe(usage.input_tokens);
    await bench.post('/responses', { model: 'gpt-5', input: 'x' });
    expect(bench.lastLine().usage).toMatchObject({ cached_input_tokens: 0, cache_write_tokens: 0 });
  });

  it('bills 12-hour cache writes at their own price, which only the default tier has', async () => {
    const body = {
      model: 'gpt-6.2-sol',
      input: 'x',
      max_output_tokens: 16,
      prompt_cache_options: { ttl: '12h' },
    };
    await bench.post('/responses', body);
    // 7 written tokens x $5 + 16 x $10, per million.
    expect(bench.lastLine()).toMatchObject({ service_tier: 'default', cost_pico_usd: '195000000' });
    expect((await bench.post('/responses', { ...body, service_tier: 'priority' })).status).toBe(400);
    expect((await bench.post('/responses', { ...body, model: 'gpt-6-sol' })).status).toBe(400);
  });

  it('serves the dearest tier that the request leaves open', async () => {
    const tierOf = async (service_tier: string | null, model = 'gpt-5'): Promise<string | null> => {
      await bench.post('/responses', { model, input: 'x', service_tier });
      return bench.lastLine().service_tier;
    };
    expect(await tierOf(null)).toBe('priority');
    expect(await tierOf('auto')).toBe('priority');
    expect(await tierOf('priority')).toBe('priority');
    expect(await tierOf('default')).toBe('default');
    expect(await tierOf('flex')).toBe('default');
    expect(await tierOf(null, 'gpt-5-nano')).toBe('default');
  });

  it('leaves priority for the default tier where long contexts have no price in it', async () => {
    const body = {
      model: 'gpt-5.4',
      input: 'x'.repeat(272_000),
      service_tier: 'priority',
      max_output_tokens: 16,
    };
    await bench.post('/responses', body);
    // 272,006 x $5 + 16 x $22.50, per million.
    expect(bench.lastLine()).toMatchObject({ service_tier: 'default', cost_pico_usd: '1360390000000' });
  });

  it('refuses an input that is longer than the model, unbilled', async () => {
    const answer = await bench.post('/responses', { model: 'gpt-4o', input: 'x'.repeat(128_000) });
    expect(await answer.json()).toMatchObject({ error: { code: 'context_length_exceeded' } });
    expect(bench.lastLine()).toMatchObject({ status: 400, cost_pico_usd: '0' });
  });

  it('survives a body that is nested deeper than any call stack', async () => {
    const depth = 100_000;
    const body = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":[${'['.repeat(depth)}${']'.repeat(depth)}]}]}`;
    expect((await bench.post('/chat/completions', body)).status).toBe(200);
  });
});

it('takes the mode of one request from its directive', async () => {
  await bench.post(
    '/responses',
    { model: 'gpt-5', input: 'abcdefgh' },
    order('mode=normal,output=20').headers,
  );
  expect(bench.lastLine().usage).toMatchObject({ input_tokens: 2 + 6, output_tokens: 20 });
});
