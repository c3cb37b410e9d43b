import { describe, expect, it } from 'vitest';
import { sealOf } from '../../src/openai/kept.ts';
import { meterJson } from '../../src/openai/response.ts';
import { usagePlace } from './read.ts';

const meter = (name: string, body: unknown) =>
  meterJson(usagePlace(name), Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));

const chatUsage = {
  prompt_tokens: 100,
  completion_tokens: 50,
  total_tokens: 150,
  prompt_tokens_details: { cached_tokens: 60, cache_write_tokens: 30, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 20, rejected_prediction_tokens: 5 },
};
const usage = {
  input_tokens: 100,
  cached_input_tokens: 60,
  cache_write_tokens: 30,
  output_tokens: 50,
  reasoning_tokens: 20,
};

describe('meterJson', () => {
  it('reads a chat completion', () => {
    const body = { model: 'gpt-4o-2024-08-06', service_tier: 'default', choices: [], usage: chatUsage };
    expect(meter('chat.completions', body)).toEqual({
      usage,
      usageAtLeast: null,
      state: 'complete',
      model: 'gpt-4o-2024-08-06',
      serviceTier: 'default',
      kept: null,
    });
  });

  it('reads a response', () => {
    const reported = {
      input_tokens: 100,
      input_tokens_details: { cached_tokens: 60, cache_write_tokens: 30 },
      output_tokens: 50,
      output_tokens_details: { reasoning_tokens: 20 },
      total_tokens: 150,
    };
    const body = {
      model: 'gpt-5',
      service_tier: 'priority',
      usage: reported,
      tools: [{ usage: 1 }],
      output: [],
    };
    expect(meter('responses', body)).toEqual({
      usage,
      usageAtLeast: null,
      state: 'complete',
      model: 'gpt-5',
      serviceTier: 'priority',
      kept: { id: null, isStored: true, items: [], reasoningContext: null },
    });
  });

  it('reads what of a response later calls may name', () => {
    const message = { id: 'msg_1', type: 'message', content: [{ type: 'output_text', text: 'é' }] };
    const thought = { id: 'rs_1', type: 'reasoning', summary: [], encrypted_content: 'gAAAA' };
    const body = {
      id: 'resp_1',
      reasoning: { context: 'all_turns' },
      output: [thought, message, { type: 'web_search_call', id: 'a b' }, { type: 'compaction', id: 'cmp_1' }],
    };
    const bytes = (item: object) => Buffer.byteLength(JSON.stringify(item));
    const { encrypted_content, ...shown } = thought;
    expect(meter('responses', body).kept).toEqual({
      id: 'resp_1',
      isStored: true,
      reasoningContext: 'all_turns',
      items: [
        { names: ['rs_1', sealOf(encrypted_content)], bytes: bytes(shown), hidden: 'reasoning', images: [] },
        { names: ['msg_1'], bytes: bytes(message), hidden: 'nothing', images: [] },
        { names: [], bytes: bytes(body.output[2]!), hidden: 'input', images: [] },
        { names: ['cmp_1'], bytes: bytes(body.output[3]!), hidden: 'output', images: [] },
      ],
    });
    expect(meter('responses', { ...body, store: false }).kept?.isStored).toBe(false);
  });

  it('reads a completion without details as one without cached or reasoning tokens', () => {
    const body = { usage: { prompt_tokens: 3, completion_tokens: 0, prompt_tokens_details: null } };
    expect(meter('completions', body)).toEqual({
      usage: {
        input_tokens: 3,
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 0,
        reasoning_tokens: 0,
      },
      usageAtLeast: null,
      state: 'broken',
      model: null,
      serviceTier: null,
      kept: null,
    });
  });

  it.each([
    '{"object":"list","data":[{"embedding":[0.1,-0.2],"index":0}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}',
    '{"usage":{"prompt_tokens":8,"total_tokens":8},"model":"e","data":[{"embedding":"AAAA"}]}',
    '{"data":[],"usage":{"prompt_tokens":8},"model":"e","tags":[]}',
    '{"usage":{"prompt_tokens":8},"model":"e"}',
  ])('reads embeddings, wherever the vectors stand: %s', (body) => {
    const { usage: read, model } = meter('embeddings', body);
    expect(read).toMatchObject({ input_tokens: 8, output_tokens: 0 });
    expect(model).toBe('e');
  });

  it('does not parse vectors, whatever is in them', () => {
    const body = '{"data":[{"embedding":[NaN]}],"model":"e","usage":{"prompt_tokens":8}}';
    expect(meter('embeddings', body).usage?.input_tokens).toBe(8);
  });

  it.each([
    ['a missing count', { completion_tokens: undefined }],
    ['a negative count', { completion_tokens: -1 }],
    ['a fraction', { prompt_tokens: 1.5 }],
    ['a text', { prompt_tokens: '100' }],
    ['a count beyond exact integers', { prompt_tokens: 2 ** 53 }],
    ['more cached than input tokens', { prompt_tokens_details: { cached_tokens: 101 } }],
    [
      'more cached and written than input tokens',
      { prompt_tokens_details: { cached_tokens: 60, cache_write_tokens: 41 } },
    ],
    ['more reasoning than output tokens', { completion_tokens_details: { reasoning_tokens: 51 } }],
    ['details that are no counts', { completion_tokens_details: { reasoning_tokens: 'many' } }],
  ])('reports no usage rather than a wrong one: %s', (_, wrong) => {
    expect(meter('chat.completions', { usage: { ...chatUsage, ...wrong } }).usage).toBeNull();
  });

  it.each(['', 'Bad gateway', '[]', 'null', '{"usage":[]}', '{"usage":null}', '{"model":5}'])(
    'reads nothing into %j',
    (body) => {
      const unnamed = { model: null, serviceTier: null, kept: null };
      const nothing = { usage: null, usageAtLeast: null, state: 'broken', ...unnamed };
      expect(meter('chat.completions', body)).toEqual(nothing);
      expect(meter('embeddings', body)).toEqual(nothing);
    },
  );
});
