import type OpenAI from 'openai';
import { describe, expect, it } from 'vitest';
import { collect, HELLO, order, useSimulator } from './client.ts';

const bench = useSimulator();

for (const sdk of ['sdk7', 'sdk6'] as const) {
  // Both SDKs have the same methods; what they differ in (retries, parsing) is theirs.
  const client = (): OpenAI => bench[sdk] as unknown as OpenAI;

  describe(`the official SDK ${sdk.slice(-1)}`, () => {
    it('reads a chat completion and its request id', async () => {
      const answer = await client().chat.completions.create({ ...HELLO, n: 2 });
      expect(answer.choices).toHaveLength(2);
      expect(answer.model).toBe('gpt-4o-mini-2024-07-18');
      expect(answer.service_tier).toBe('default');
      const line = bench.lastLine();
      expect(answer._request_id).toBe(line.request_id);
      expect(answer.usage).toMatchObject({
        prompt_tokens: line.usage.input_tokens,
        completion_tokens: line.usage.output_tokens,
      });
    });

    it('reads a chat stream, whose last chunk carries the usage that was asked for', async () => {
      const stream = await client().chat.completions.create(
        { ...HELLO, stream: true, stream_options: { include_usage: true } },
        order('chunks=10,output=12'),
      );
      const chunks = await collect(stream);
      expect(chunks).toHaveLength(13);
      expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null)).toBe(true);
      expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { completion_tokens: 12 } });
      expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe('stop');
    });

    it('gathers the same text from a stream as from a JSON answer of the same request id', async () => {
      const options = { headers: { 'x-client-request-id': `same-${sdk}` } };
      const whole = await client().chat.completions.create(HELLO, options);
      const streamed = await client().chat.completions.stream(HELLO, options).finalChatCompletion();
      expect(streamed.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
    });

    it('reads a response and a streamed response that ends at its limit', async () => {
      const answer = await client().responses.create({ model: 'gpt-5-mini', input: 'hello' });
      expect(answer.status).toBe('completed');
      expect(answer.output_text).not.toBe('');
      const events: string[] = [];
      const stream = client().responses.stream(
        { model: 'gpt-6-astra', input: 'hello', max_output_tokens: 16 },
        order('output=500'),
      );
      stream.on('event', (event) => {
        expect(event.sequence_number).toBe(events.length);
        events.push(event.type);
      });
      const final = await stream.finalResponse();
      expect(events.slice(0, 2)).toEqual(['response.created', 'response.in_progress']);
      expect(events.at(-1)).toBe('response.incomplete');
      expect(final.incomplete_details).toEqual({ reason: 'max_output_tokens' });
      expect(final.usage?.output_tokens).toBe(16);
      expect(bench.lastLine().usage.output_tokens).toBe(16);
    });

    it('reads legacy completions: best_of and every prompt are billed, n are returned', async () => {
      const answer = await client().completions.create(
        { model: 'davinci', prompt: ['one', 'two'], n: 2, best_of: 3, max_tokens: 10 },
        order('output=50'),
      );
      expect(answer.choices.map(({ index, finish_reason }) => [index, finish_reason])).toEqual([
        [0, 'length'],
        [1, 'length'],
        [2, 'length'],
        [3, 'length'],
      ]);
      expect(answer.usage?.completion_tokens).toBe(60);
      const defaulted = await client().completions.create({ model: 'ada', prompt: 'x' }, order('output=50'));
      expect(defaulted.usage?.completion_tokens).toBe(16);
    });

    it('reads a stream of legacy completions', async () => {
      const stream = await client().completions.create(
        { model: 'babbage-002', prompt: 'x', stream: true, stream_options: { include_usage: true } },
        order('output=5,chunks=5'),
      );
      const chunks = await collect(stream);
      expect(chunks).toHaveLength(7);
      expect(chunks.at(-1)?.usage?.completion_tokens).toBe(5);
    });

    it('reads embeddings in both encodings, moderations and models', async () => {
      const vectors = await client().embeddings.create({
        model: 'text-embedding-3-large',
        input: ['a', 'b'],
      });
      expect(vectors.data.map(({ embedding }) => embedding.length)).toEqual([3072, 3072]);
      const floats = await client().embeddings.create({
        model: 'text-embedding-3-small',
        input: [1, 2, 3],
        dimensions: 8,
        encoding_format: 'float',
      });
      expect(floats.data[0]?.embedding).toHaveLength(8);
      expect(floats.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 });
      expect((await client().moderations.create({ input: ['a', 'b'] })).results).toHaveLength(2);
      expect(bench.lastLine()).toMatchObject({ operation: 'moderations', cost_pico_usd: '0' });
      const names = (await client().models.list()).data.map(({ id }) => id);
      expect(names).toContain('gpt-6-astra');
      expect((await client().models.retrieve('gpt-4o')).id).toBe('gpt-4o');
      expect((await client().models.retrieve('ft:gpt-4o-mini-2024-07-18:acme::x1')).id).toMatch(/^ft:/);
    });

    it('raises its usual errors', async () => {
      const model = client().chat.completions.create({ ...HELLO, model: 'gpt-99' });
      await expect(model).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
      const quota = client().chat.completions.create(HELLO, order('fault=insufficient_quota'));
      await expect(quota).rejects.toMatchObject({ status: 429, code: 'insufficient_quota' });
      const server = client().chat.completions.create(HELLO, order('fault=server_error'));
      await expect(server).rejects.toMatchObject({ status: 500, type: 'server_error' });
    });
  });
}

it('keeps every usage field out of a chat stream that did not ask for it', async () => {
  const body = { ...HELLO, stream: true };
  const text = await (await bench.post('/chat/completions', body, order('chunks=1').headers)).text();
  for (const event of text.split('\n\n').slice(0, -2)) {
    expect(JSON.parse(event.slice('data: '.length))).not.toHaveProperty('usage');
  }
  expect(text.endsWith('data: [DONE]\n\n')).toBe(true);
});

it('sends the headers of the real API, cookies included', async () => {
  const { headers } = await bench.post('/chat/completions', HELLO);
  expect(headers.get('x-request-id')).toBe(bench.lastLine().request_id);
  expect(headers.get('openai-processing-ms')).toMatch(/^\d+$/);
  expect(headers.get('x-ratelimit-limit-requests')).toBe('10000');
  expect(headers.getSetCookie()[0]).toMatch(/^__cf_bm=/);
  const events = await bench.post('/responses', { model: 'gpt-4.1', input: 'x', stream: true });
  expect(events.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(await events.text()).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/);
});
