import { describe, expect, it } from 'vitest';
import { findRoute, readRequest } from '../../src/openai/request.ts';
import { accepted, chat, read, response } from './read.ts';

describe('readRequest', () => {
  it('reads all that moves the cost of a chat completion', () => {
    const body = Buffer.from(JSON.stringify(chat({ n: 3, max_completion_tokens: 50, user: 'u-1' })));
    const request = accepted('chat/completions', body);
    expect(request).toMatchObject({ path: '/chat/completions', stream: false, includeUsage: false });
    expect(request.operation).toEqual({
      model: 'gpt-4o-mini',
      billable: true,
      inputTokensBound: body.length + 64,
      inputBoundByModel: false,
      inputBoundParam: null,
      inputAtMostModelMaximum: false,
      outputTokensLimit: 50,
      choices: 3,
      extraOutputTokens: 0,
      serviceTier: null,
      endUser: 'u-1',
    });
  });

  it('needs no body for the operations without one', () => {
    const request = readRequest(findRoute('GET', '/v1/models/gpt-5')!, Buffer.from('ignored'));
    expect(request).toMatchObject({ json: null, operation: { model: 'gpt-5', billable: false } });
    expect('body' in request && request.body.length).toBe(0);
  });

  it('does not check moderations, which cost nothing', () => {
    expect(accepted('moderations', { input: [{ type: 'image_url' }] }).operation.billable).toBe(false);
  });

  it.each([
    ['no JSON', '{"model":'],
    ['no object', '[]'],
    ['nothing', ''],
    ['a byte order mark', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), Buffer.from('{}')])],
    ['invalid UTF-8', Buffer.from('{"model":"\xff"}', 'latin1')],
    ['UTF-16', Buffer.from('{"model":"m"}', 'utf16le')],
  ])('returns invalid_json for %s', (_, body) => {
    expect(read('chat/completions', body)).toMatchObject({ code: 'invalid_json' });
  });

  it('returns an error for a million open brackets, without a stack overflow', () => {
    expect(read('chat/completions', '['.repeat(1e6))).toMatchObject({ code: 'invalid_json' });
    const nested = `{"model":"m","messages":${'['.repeat(1e5)}${']'.repeat(1e5)}}`;
    expect(read('chat/completions', nested)).toMatchObject({ code: 'invalid_request' });
  });

  it('reads 100 KB of one letter in milliseconds', () => {
    const body = JSON.stringify(chat({ messages: [{ role: 'user', content: 'a'.repeat(100_000) }] }));
    const startedAt = performance.now();
    accepted('chat/completions', body);
    expect(performance.now() - startedAt).toBeLessThan(50);
  });

  it.each([
    ['model', { model: undefined }],
    ['model', { model: 5 }],
    ['model', { model: '' }],
    ['model', { model: 'm'.repeat(300) }],
    ['stream', { stream: 'true' }],
    ['stream', { stream: 1 }],
    ['stream_options', { stream_options: true }],
    ['stream_options.include_usage', { stream_options: { include_usage: 1 } }],
    ['service_tier', { service_tier: 1 }],
    ['user', { user: { id: 1 } }],
    ['safety_identifier', { safety_identifier: 'x'.repeat(300) }],
  ])('returns an error for a wrong %s: %j', (param, fields) => {
    expect(read('chat/completions', chat(fields))).toMatchObject({ code: 'invalid_request', param });
    expect(read('responses', response(fields))).toMatchObject({ code: 'invalid_request', param });
  });

  it('takes null for missing', () => {
    const fields = {
      stream: null,
      stream_options: null,
      service_tier: null,
      user: null,
      n: null,
      tools: null,
    };
    const { operation, stream } = accepted('chat/completions', chat(fields));
    expect(operation).toMatchObject({ serviceTier: null, endUser: null, choices: 1 });
    expect(stream).toBe(false);
  });

  it.each(['default', 'flex', 'priority'])('keeps the service tier %s', (tier) => {
    expect(accepted('responses', response({ service_tier: tier })).operation.serviceTier).toBe(tier);
  });

  it('returns an error for other service tiers', () => {
    expect(accepted('responses', response({ service_tier: 'auto' })).operation.serviceTier).toBeNull();
    for (const service_tier of ['scale', 'fast', 'ultrafast', 'batch', '']) {
      const refusal = { code: 'unknown_price', param: 'service_tier' };
      expect(read('responses', response({ service_tier }))).toMatchObject(refusal);
    }
  });

  it('tells a stream whose client asked for usage from one whose client did not', () => {
    const stream_options = { include_usage: true };
    const usage = (fields: object) => accepted('chat/completions', chat(fields)).includeUsage;
    expect(usage({ stream: true, stream_options })).toBe(true);
    expect(usage({ stream: true, stream_options: {} })).toBe(false);
    expect(usage({ stream: false, stream_options })).toBe(false);
  });

  it('prefers the safety identifier to the older user field', () => {
    const { operation } = accepted('responses', response({ user: 'a', safety_identifier: 'b' }));
    expect(operation.endUser).toBe('b');
  });

  it('reads nothing into a member named __proto__', () => {
    const body =
      '{"__proto__":{"max_tokens":5,"n":9},"model":"m","messages":[{"role":"user","content":"x"}]}';
    const { operation } = accepted('chat/completions', body);
    expect(operation).toMatchObject({ outputTokensLimit: null, choices: 1 });
  });
});

describe('completions', () => {
  const completion = (fields: object = {}) => ({ model: 'davinci-002', prompt: 'Hello', ...fields });

  it('multiply the prompts by the completions written for each', () => {
    const choices = (fields: object) => accepted('completions', completion(fields)).operation.choices;
    expect(choices({})).toBe(1);
    expect(choices({ prompt: ['a', 'b', 'c'], n: 2 })).toBe(6);
    expect(choices({ prompt: [1, 2, 3], n: 2, best_of: 5 })).toBe(5);
    expect(choices({ prompt: [[1], [2, 3]], best_of: 4 })).toBe(8);
  });

  it('have the API’s default output limit of 16 tokens', () => {
    expect(accepted('completions', completion()).operation).toMatchObject({
      outputTokensLimit: 16,
    });
    expect(accepted('completions', completion({ max_tokens: 0 })).operation.outputTokensLimit).toBe(0);
  });

  it('hold an echoed prompt as output', () => {
    expect(accepted('completions', completion({ echo: true })).operation.extraOutputTokens).toBe(7);
  });

  it.each([
    ['best_of', { n: 3, best_of: 2 }],
    ['best_of', { best_of: 21 }],
    ['n', { n: 0 }],
    ['max_tokens', { max_tokens: -1 }],
    ['prompt', { prompt: [] }],
    ['prompt', { prompt: [[]] }],
    ['prompt', { prompt: ['a', 1] }],
    ['prompt', { prompt: [1.5] }],
    ['prompt', { prompt: null }],
    ['prompt', { prompt: { id: 'x' } }],
  ])('end in an error for a wrong %s: %j', (param, fields) => {
    expect(read('completions', completion(fields))).toMatchObject({ code: 'invalid_request', param });
  });
});

describe('embeddings', () => {
  it.each([['text'], [['a', 'b']], [[1, 2]], [[[1], [2, 3]]]])('have no output: %j', (input) => {
    const { operation } = accepted('embeddings', { model: 'text-embedding-3-small', input });
    expect(operation).toMatchObject({ outputTokensLimit: 0, choices: 1 });
  });

  it.each([[undefined], [[]], [[null]], [{}], [[['a']]]])('end in an error for the input %j', (input) => {
    const refusal = { code: 'invalid_request', param: 'input' };
    expect(read('embeddings', { model: 'm', input })).toMatchObject(refusal);
  });
});
