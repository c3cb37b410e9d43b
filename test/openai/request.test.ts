import { describe, expect, it } from 'vitest';
import { findRoute, readRequest, renderBody } from '../../src/openai/request.ts';
import { accepted, chat, type PostPath, read, response } from './read.ts';

const members = (count: number, value: (index: number) => number) =>
  Array.from({ length: count }, (_, index) => `"n${index}":${value(index)}`).join(',');

describe('readRequest', () => {
  it('reads all that moves the cost of a chat completion', () => {
    const body = Buffer.from(JSON.stringify(chat({ n: 3, max_completion_tokens: 50, user: 'u-1' })));
    const request = accepted('chat/completions', body);
    expect(request).toMatchObject({ path: '/chat/completions', stream: false, includeUsage: false });
    expect(request.operation).toEqual({
      model: 'gpt-4o-mini',
      billable: true,
      inputTokensBound: body.length + 64,
      beyondText: null,
      hosted: null,
      inputAtMostModelMaximum: false,
      outputTokensLimit: 50,
      choices: 3,
      extraOutputTokens: 0,
      serviceTier: null,
      endUser: 'u-1',
      kept: null,
    });
  });

  it('writes the model of images into the tool that names none, and leaves all other bytes', () => {
    const other = '{"type":"function","name":"f","parameters":{"a":"]},\\"{","n":1.50}}';
    const before = `{"input":"x", "tools" : [ ${other} , { "type":"image_generation","size":"auto"}],"model":"gpt-5"}`;
    const request = accepted('responses', before);
    const written = '{"model":"gpt-image-1.5", "type":"image_generation","size":"auto"}';
    expect(request.body.toString()).toBe(
      before.replace('{ "type":"image_generation","size":"auto"}', written),
    );
    const sent = renderBody(request, { maxToolCalls: 4, model: 'own-name' }).toString();
    expect(JSON.parse(sent)).toEqual({
      ...JSON.parse(request.body.toString()),
      max_tool_calls: 4,
      model: 'own-name',
    });
    const named = before.replace('"size"', '"model":"gpt-image-2","size"');
    expect(accepted('responses', named).body.toString()).toBe(named);
  });

  it('needs no body for the operations without one', () => {
    const request = readRequest(findRoute('GET', '/v1/models/gpt-5')!, Buffer.from('ignored'));
    expect(request).toMatchObject({ members: null, operation: { model: 'gpt-5', billable: false } });
    expect('body' in request && request.body.length).toBe(0);
  });

  it('does not check moderations, which cost nothing', () => {
    expect(accepted('moderations', { input: [{ type: 'image_url' }] }).operation.billable).toBe(false);
  });

  it.each([
    [null, { type: 'string_check', operation: 'eq' }],
    [null, { type: 'text_similarity', evaluation_metric: 'bleu' }],
    [null, { type: 'multi', graders: { type: 'string_check' } }],
    [null, { type: 'multi', graders: { a: { type: 'string_check' }, b: { type: 'text_similarity' } } }],
    ['grader.type', { type: 'text_similarity', evaluation_metric: 'cosine' }],
    ['grader.type', { type: 'score_model', model: 'gpt-5', sampling_params: { max_completions_tokens: 1 } }],
    ['grader.type', { type: 'python', source: '' }],
    ['grader.type', {}],
    ['grader.type', { type: 'multi', graders: [{ type: 'string_check' }] }],
    ['grader.graders.type', { type: 'multi', graders: { type: 'label_model' } }],
    [
      'grader.graders.b.type',
      { type: 'multi', graders: { a: { type: 'string_check' }, b: { type: 'python' } } },
    ],
  ])('refuses %s of a grader that asks models or runs code: %o', (param, grader) => {
    const route = findRoute('POST', '/v1/fine_tuning/alpha/graders/run')!;
    const read = readRequest(route, Buffer.from(JSON.stringify({ grader, model_sample: 'x' })));
    const error = param === null ? {} : { code: 'unbounded_request', param };
    expect(read).toMatchObject(error);
    expect('operation' in read).toBe(param === null);
    const other = readRequest(route, Buffer.from(JSON.stringify({ Grader: grader, model_sample: 'x' })));
    expect(other).toMatchObject({ code: 'invalid_request', param: 'Grader' });
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
    const nested = `{"model":"m","messages":${'['.repeat(1e5)}${']'.repeat(1e5)}}`;
    for (const body of ['['.repeat(1e6), nested]) {
      expect(read('chat/completions', body)).toMatchObject({
        code: 'body_too_complex',
        message: expect.stringContaining('at most 256 passes'),
        details: { bound: 'depth', maximum: 256 },
      });
    }
  });

  it.each([
    ['members in one object', 'objectNames', `{"x":{${members(10_001, (index) => index)}}}`],
    ['members', 'names', `{"x":[${'{"a":1,"b":2},'.repeat(50_001)}0]}`],
    ['values where a name stands twice', 'values', `{"x":[${'1,'.repeat(5001)}{"a":1,"a":2}]}`],
  ])('refuses too many %s, and says how many pass', (_, bound, text) => {
    const maximum = { objectNames: 10_000, names: 100_000, values: 5000 }[bound];
    const error = read('chat/completions', text.replace('{', '{"model":"m","messages":[{}],'));
    expect(error).toMatchObject({ code: 'body_too_complex', details: { bound, maximum } });
    expect(error).toHaveProperty('message', expect.stringContaining(String(maximum)));
  });

  it('reads a large body whose names have escapes, but stand once', () => {
    const x = `[${'1,'.repeat(5001)}{"caf\\u00e9":1,"tea":2}]`;
    const body = Buffer.from(`{"model":"m","messages":[{}],"x":${x}}`);
    expect(accepted('chat/completions', body).body).toBe(body);
  });

  it.each<[string, PostPath, object]>([
    ['Model', 'chat/completions', chat({ Model: 'gpt-5' })],
    ['MAX_TOKENS', 'chat/completions', chat({ MAX_TOKENS: 5 })],
    ['\u017ftream', 'responses', response({ '\u017ftream': true })],
    ['to\u212aens', 'responses', response({ 'max_output_to\u212aens': 1e6 })],
    ['messages[0].Content', 'chat/completions', chat({ messages: [{ role: 'user', Content: 'x' }] })],
    ['tools[0].Type', 'chat/completions', chat({ tools: [{ type: 'function', Type: 'mcp' }] })],
    [
      'stream_options.Include_Usage',
      'completions',
      { model: 'm', prompt: 'x', stream_options: { Include_Usage: true } },
    ],
    ['N', 'completions', { model: 'm', prompt: 'x', N: 128 }],
  ])('refuses %s, a name of the API in other letters', (param, path, body) => {
    expect(read(path, body)).toMatchObject({
      code: 'invalid_request',
      param: expect.stringContaining(param),
      message: expect.stringMatching(/write '[a-z_]+'/),
    });
  });

  it('leaves names alone that the client gives to things of its own', () => {
    const parameters = { type: 'object', properties: { Model: { type: 'string' }, Stream: {} } };
    const tools = [{ type: 'function', function: { name: 'f', parameters } }];
    accepted('chat/completions', chat({ tools, metadata: { User: 'a' }, customField: 1 }));
    accepted('moderations', { Input: 'x' });
  });

  it('reads 100 KB of one letter in time that grows with its size', () => {
    const body = JSON.stringify(chat({ messages: [{ role: 'user', content: 'a'.repeat(100_000) }] }));
    // This thread's own time, whatever else the machine does.
    const before = process.threadCpuUsage();
    accepted('chat/completions', body);
    const { user, system } = process.threadCpuUsage(before);
    expect(user + system).toBeLessThan(1_000_000);
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
    for (const service_tier of ['scale', 'ultrafast', 'batch', '']) {
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
