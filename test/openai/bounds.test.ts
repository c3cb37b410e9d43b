import { describe, expect, it } from 'vitest';
import { accepted, chat, read, response } from './read.ts';

const inlineImage = 'data:image/png;base64,AAAA';

describe('a chat completion', () => {
  const user = (...content: unknown[]) => ({ messages: [{ role: 'user', content }] });

  it('is limited by the larger of its two output limits', () => {
    const limit = (fields: object) => accepted('chat/completions', chat(fields)).operation.outputTokensLimit;
    expect(limit({})).toBeNull();
    expect(limit({ max_tokens: 7 })).toBe(7);
    expect(limit({ max_tokens: 7, max_completion_tokens: 9 })).toBe(9);
    expect(limit({ max_tokens: 9, max_completion_tokens: 7 })).toBe(9);
    expect(limit({ max_tokens: 7, max_completion_tokens: null })).toBe(7);
  });

  it('bills a rejected prediction in each choice', () => {
    const prediction = { type: 'content', content: 'é' };
    const { operation } = accepted('chat/completions', chat({ prediction, n: 2 }));
    expect(operation.extraOutputTokens).toBe(2 * Buffer.byteLength(JSON.stringify(prediction)));
  });

  it('is bounded by the model when it holds an inline image', () => {
    const fields = user({ type: 'text', text: 'x' }, { type: 'image_url', image_url: { url: inlineImage } });
    expect(accepted('chat/completions', chat(fields)).operation).toMatchObject({
      inputBoundByModel: true,
      inputBoundParam: 'messages[0].content[1].image_url',
    });
  });

  it('may have client tools, refusals, tool results and assistant messages', () => {
    const messages = [
      { role: 'assistant', content: null, tool_calls: [] },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'no' }] },
      { role: 'tool', content: [{ type: 'text', text: 'x' }], tool_call_id: 'a' },
    ];
    const tools = [
      { type: 'function', function: { name: 'f' } },
      { type: 'custom', custom: { name: 'g' } },
    ];
    const prompt_cache_options = { ttl: '30m' };
    const fields = { messages, tools, store: true, audio: null, modalities: ['text'], prompt_cache_options };
    expect(accepted('chat/completions', chat(fields)).operation.inputBoundByModel).toBe(false);
  });

  it.each([
    ['model', { model: 'gpt-4o-search-preview' }],
    ['model', { model: 'gpt-4o-audio-preview' }],
    ['web_search_options', { web_search_options: {} }],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: '12h' } }],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: 30 } }],
    ['modalities', { modalities: ['text', 'audio'] }],
    ['audio', { audio: { voice: 'alloy', format: 'wav' } }],
    ['tools[1]', { tools: [{ type: 'function' }, { type: 'web_search' }] }],
    ['tools[0]', { tools: [{ function: { name: 'f' } }] }],
    ['messages[0].audio', { messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] }],
    ['messages[0].content[0].image_url', user({ type: 'image_url', image_url: { url: 'https://a/b.png' } })],
    ['messages[0].content[0].image_url', user({ type: 'image_url', image_url: { url: 'HTTP://a' } })],
    ['messages[0].content[1]', user({ type: 'text' }, { type: 'input_audio', input_audio: {} })],
    ['messages[0].content[0]', user({ type: 'file', file: { file_id: 'f' } })],
    ['messages[0].content[0]', user({ type: 'something_new' })],
    ['messages[0].content[0]', user({ text: 'x' })],
  ])('ends in unbounded_request for %s: %j', (param, fields) => {
    expect(read('chat/completions', chat(fields))).toMatchObject({ code: 'unbounded_request', param });
  });

  it.each([
    ['messages', { messages: undefined }],
    ['messages', { messages: [] }],
    ['messages', { messages: 'Hello' }],
    ['messages[1]', { messages: [{ role: 'user', content: '' }, 'Hello'] }],
    ['messages[0].content', { messages: [{ role: 'user', content: { text: 'x' } }] }],
    ['messages[0].content[0]', user('x')],
    ['messages[0].content[0].image_url', user({ type: 'image_url', image_url: inlineImage })],
    ['n', { n: 129 }],
    ['n', { n: 1.5 }],
    ['n', { n: '2' }],
    ['max_tokens', { max_tokens: 0 }],
    ['max_tokens', { max_tokens: -1 }],
    ['max_completion_tokens', { max_completion_tokens: 1.5 }],
    ['max_completion_tokens', { max_completion_tokens: 2 ** 31 }],
    ['tools', { tools: {} }],
    ['tools[0]', { tools: ['function'] }],
    ['prediction', { prediction: 'x' }],
    ['modalities', { modalities: 'text' }],
  ])('ends in an error for a wrong %s: %j', (param, fields) => {
    expect(read('chat/completions', chat(fields))).toMatchObject({ code: 'invalid_request', param });
  });
});

describe('a response', () => {
  const content = (...parts: unknown[]) => ({ input: [{ role: 'user', content: parts }] });

  it('may have messages, tool calls, their results and its own reasoning', () => {
    const input = [
      { role: 'user', content: 'x' },
      { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'y', annotations: [] }] },
      { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
      { type: 'function_call_output', call_id: 'a', output: 'z' },
      { type: 'custom_tool_call_output', call_id: 'a', output: [{ type: 'input_text', text: 'z' }] },
    ];
    const fields = { input, background: false, previous_response_id: null, reasoning: { effort: 'low' } };
    expect(accepted('responses', response(fields)).operation).toMatchObject({
      inputBoundByModel: false,
      outputTokensLimit: null,
    });
  });

  it('is bounded by the model when it holds an inline image or encrypted reasoning', () => {
    const bound = (fields: object) => accepted('responses', response(fields)).operation.inputBoundParam;
    expect(bound(content({ type: 'input_image', image_url: inlineImage }))).toBe(
      'input[0].content[0].image_url',
    );
    const reasoning = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAA' };
    expect(bound({ input: [reasoning] })).toBe('input[0].encrypted_content');
    const output = [{ type: 'input_image', image_url: inlineImage }];
    expect(bound({ input: [{ type: 'function_call_output', output }] })).toBe('input[0].output[0].image_url');
  });

  it.each([
    ...['web_search', 'web_search_preview_2025_03_11', 'file_search', 'code_interpreter', 'computer'].map(
      (type) => [type],
    ),
    ...['image_generation', 'mcp', 'local_shell', 'shell', 'apply_patch', 'namespace', 'toolbox'].map(
      (type) => [type],
    ),
  ])('ends in unbounded_request with the tool %s', (type) => {
    const refusal = { code: 'unbounded_request', param: 'tools[0]' };
    expect(read('responses', response({ tools: [{ type }] }))).toMatchObject(refusal);
  });

  it.each([
    ['background', { background: true }],
    ['previous_response_id', { previous_response_id: 'resp_1' }],
    ['conversation', { conversation: 'conv_1' }],
    ['prompt', { prompt: { id: 'pmpt_1' } }],
    ['context_management', { context_management: [{ type: 'compaction' }] }],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: '12h' } }],
    ['reasoning.mode', { reasoning: { mode: 'pro' } }],
    ['model', { model: 'gpt-realtime' }],
    ['input[0]', { input: [{ type: 'item_reference', id: 'msg_1' }] }],
    ['input[0]', { input: [{ id: 'msg_1' }] }],
    ['input[0]', { input: [{ type: null, id: 'msg_1' }] }],
    ['input[0]', { input: [{ type: 'reasoning', id: 'rs_1', summary: [] }] }],
    ['input[0]', { input: [{ type: 'compaction', encrypted_content: 'x' }] }],
    ['input[0]', { input: [{ type: 'computer_call_output', output: {} }] }],
    ['input[0].content[0]', content({ type: 'input_file', file_data: 'x' })],
    ['input[0].content[0]', content({ type: 'input_audio', input_audio: {} })],
    ['input[0].content[0].file_id', content({ type: 'input_image', file_id: 'f', image_url: inlineImage })],
    ['input[0].content[0].image_url', content({ type: 'input_image', image_url: 'https://a/b.png' })],
    ['input[0].output[0]', { input: [{ type: 'function_call_output', output: [{ type: 'input_file' }] }] }],
  ])('ends in unbounded_request for %s: %j', (param, fields) => {
    expect(read('responses', response(fields))).toMatchObject({ code: 'unbounded_request', param });
  });

  it.each([
    ['input', { input: undefined }],
    ['input', { input: [] }],
    ['input', { input: {} }],
    ['input[0]', { input: ['x'] }],
    ['input[0].content[0].image_url', content({ type: 'input_image' })],
    ['max_output_tokens', { max_output_tokens: 15 }],
    ['background', { background: 'true' }],
    ['instructions', { instructions: [{ type: 'input_file' }] }],
  ])('ends in an error for a wrong %s: %j', (param, fields) => {
    expect(read('responses', response(fields))).toMatchObject({ code: 'invalid_request', param });
  });
});
