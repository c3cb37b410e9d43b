import { describe, expect, it } from 'vitest';
import { accepted, chat, type PostPath, read, response } from './read.ts';

const inlineImage = 'data:image/png;base64,AAAA';
const beyond = (path: PostPath, body: unknown) => accepted(path, body).operation.beyondText;

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

  it('has inline and remote images, by their size and detail', () => {
    const fields = user({ type: 'text', text: 'x' }, { type: 'image_url', image_url: { url: inlineImage } });
    expect(beyond('chat/completions', chat(fields))).toMatchObject({
      images: [{ size: null, detail: 'auto' }],
      imageParam: 'messages[0].content[1].image_url',
      imageBytes: inlineImage.length,
      windowParam: null,
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
    expect(accepted('chat/completions', chat(fields)).operation.beyondText).toBeNull();
  });

  it.each([
    ['model', { model: 'gpt-realtime' }],
    ['n', { web_search_options: {}, n: 2 }],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: '12h' } }],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: 30 } }],
    ['modalities', { modalities: ['text', 'smell'] }],
    ['tools[1]', { tools: [{ type: 'function' }, { type: 'file_search' }] }],
    ['messages[0].audio', { messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] }],
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
    ['tools[0].type', { tools: [{ function: { name: 'f' } }] }],
    [
      'messages[0].content[0].image_url.detail',
      user({ type: 'image_url', image_url: { url: inlineImage, detail: 'huge' } }),
    ],
    ['messages[0].content[0].file', user({ type: 'file', file: {} })],
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
      beyondText: null,
      outputTokensLimit: null,
    });
  });

  it('has images and files in messages and in the results of tools', () => {
    const image = { type: 'input_image', image_url: 'https://a/b.png', detail: 'high' };
    const input = [
      { role: 'user', content: [image] },
      { type: 'function_call_output', output: [image] },
      { type: 'computer_call_output', output: { type: 'computer_screenshot', image_url: inlineImage } },
      { type: 'image_generation_call', result: 'AAAA' },
    ];
    expect(beyond('responses', response({ input }))).toMatchObject({
      images: [
        { size: null, detail: 'high' },
        { size: null, detail: 'high' },
        { size: null, detail: 'auto' },
        { size: null, detail: 'auto' },
      ],
      windowParam: null,
    });
  });

  it.each([
    ['input[0]', { input: [{ type: 'web_search_call' }] }],
    ['input[0]', { input: [{ type: 'compaction_trigger' }] }],
    ['input[0].content[0].file_data', content({ type: 'input_file', file_data: 'x' })],
    ['input[0].content[0].file_url', content({ type: 'input_file', file_url: 'https://a/b.pdf' })],
    ['input[0].content[0].file_id', content({ type: 'input_file', file_id: 'file-1' })],
    ['prompt', { prompt: { id: 'pmpt_1' } }],
    ['context_management', { context_management: [{ type: 'compaction' }] }],
    ['reasoning.mode', { reasoning: { mode: 'pro' } }],
  ])('is bounded by the window in %s', (windowParam, fields) => {
    expect(beyond('responses', response(fields))).toMatchObject({ windowParam });
  });

  it.each([
    [{ type: 'local_shell' }],
    [{ type: 'apply_patch' }],
    [{ type: 'computer' }],
    [{ type: 'computer_use_preview', display_width: 1, display_height: 1, environment: 'browser' }],
    [{ type: 'shell', environment: { type: 'local' } }],
    [{ type: 'tool_search', execution: 'client' }],
    [{ type: 'namespace', name: 'n', tools: [{ type: 'local_shell' }, { type: 'function', name: 'f' }] }],
  ])('costs the bytes of a tool that the client runs, and what the upstream writes of it: %j', (tool) => {
    const built = { type: 'additional_tools', role: 'developer', tools: [tool] };
    expect(beyond('responses', response({ tools: [tool] }))).toMatchObject({ moreTokens: 1024 });
    expect(beyond('responses', response({ input: [built] }))).toMatchObject({ moreTokens: 1024 });
  });

  it.each(['mcp_call', 'mcp_list_tools', 'shell_call_output', 'apply_patch_call', 'tool_search_call'])(
    'costs the bytes of a %s in its history',
    (type) => {
      expect(beyond('responses', response({ input: [{ type, id: 'x' }] }))).toBeNull();
    },
  );

  const reasoning = { type: 'reasoning', id: 'rs_1', summary: [] };
  const item = { kind: 'item', name: 'msg_1', param: 'input[0].id', isSent: false };
  it.each([
    [{ tools: [{ type: 'web_search' }] }, 'web_search_calls', null, false],
    [{ tools: [{ type: 'web_search_2025_08_26' }], max_tool_calls: 3 }, 'web_search_calls', 3, false],
    [{ tools: [{ type: 'web_search_preview_2025_03_11' }] }, 'web_search_preview_calls', null, false],
    [{ model: 'gpt-5-search-api' }, 'web_search_calls', 1, true],
  ])('may search the web: %j', (fields, meter, calls, always) => {
    const { operation } = accepted('responses', response(fields));
    expect(operation.hosted).toMatchObject({ meters: [meter], calls, always });
  });

  it.each([
    [{ previous_response_id: 'resp_1' }, { kind: 'response', name: 'resp_1', param: 'previous_response_id' }],
    [{ conversation: 'conv_1' }, { kind: 'conversation', name: 'conv_1', param: 'conversation' }],
    [{ conversation: { id: 'conv_1' } }, { kind: 'conversation', name: 'conv_1', param: 'conversation.id' }],
    [{ input: [{ type: 'item_reference', id: 'msg_1' }] }, item],
    [{ input: [{ id: 'msg_1' }] }, item],
    [{ input: [{ type: null, id: 'msg_1' }] }, item],
    [{ input: [reasoning] }, { kind: 'item', name: 'rs_1', isSent: true }],
    [{ input: [{ ...reasoning, encrypted_content: null }] }, { kind: 'item', name: 'rs_1', isSent: true }],
    [{ input: [{ ...reasoning, encrypted_content: 'gA' }] }, { kind: 'sealed', name: 'gA', isSent: true }],
    [
      { input: [{ type: 'compaction', encrypted_content: 'x' }] },
      { kind: 'sealed', name: 'x', isSent: true },
    ],
    [{ input: [{ type: 'web_search_call', id: 'ws_1' }] }, { kind: 'shown', name: 'ws_1', isSent: true }],
    [{ input: [{ type: 'image_generation_call', id: 'ig_1' }] }, { kind: 'shown', name: 'ig_1' }],
  ])('names what the upstream keeps: %j', (fields, reference) => {
    expect(beyond('responses', response(fields))).toMatchObject({ references: [reference] });
  });

  it.each([
    ['previous_response_id', { previous_response_id: 'a b' }],
    ['previous_response_id', { previous_response_id: 5 }],
    ['conversation', { conversation: '' }],
    ['conversation.id', { conversation: {} }],
    ['conversation', { conversation: 'conv_1', previous_response_id: 'resp_1' }],
    ['input[0].id', { input: [{ type: 'item_reference', id: 'x'.repeat(257) }] }],
    ['input[0].id', { input: [{ type: 'reasoning', summary: [] }] }],
  ])('ends in invalid_request where %s is no id: %j', (param, fields) => {
    expect(read('responses', response(fields))).toMatchObject({ code: 'invalid_request', param });
  });

  it.each([
    [{ type: 'image_generation', frame_count: 9 }, 'tools[0].frame_count'],
    [{ type: 'toolbox' }, 'tools[0]'],
    [{ type: 'namespace', tools: [{ type: 'toolbox' }] }, 'tools[0].tools[0]'],
  ])('ends in unbounded_request with a tool that the upstream runs: %j', (tool, param) => {
    const refusal = { code: 'unbounded_request', param };
    expect(read('responses', response({ tools: [tool] }))).toMatchObject(refusal);
    const built = { type: 'tool_search_output', tools: [tool] };
    expect(read('responses', response({ input: [built] }))).toMatchObject({ code: 'unbounded_request' });
  });

  const gib = (memoryGib: number, id: string | null = null) => ({ id, memoryGib });
  it.each([
    [{ type: 'file_search', vector_store_ids: ['vs_1'] }, ['file_search_calls'], null],
    [{ type: 'code_interpreter', container: { type: 'auto' } }, [], [gib(1)]],
    [{ type: 'shell', environment: { type: 'container_auto', memory_limit: '64g' } }, [], [gib(64)]],
    [{ type: 'code_interpreter', container: 'cntr_1' }, [], [{ id: 'cntr_1', memoryGib: null }]],
    [{ type: 'mcp', server_label: 's', server_url: 'https://a.example' }, [], null],
    [{ type: 'tool_search' }, [], null],
    [{ type: 'tool_search', execution: 'server' }, [], null],
  ])('bounds a tool that the upstream runs by its calls: %j', (tool, meters, containers) => {
    const most = { meters, containers, calls: null, approved: 0 };
    const added = [{ type: 'additional_tools', tools: [tool] }];
    for (const body of [{ tools: [tool] }, { input: added, store: false }])
      expect(accepted('responses', response(body)).operation.hosted).toMatchObject(most);
    const limited = accepted('responses', response({ tools: [tool], max_tool_calls: 2 }));
    expect(limited.operation.hosted?.calls).toBe(2);
    const chats = chat({ tools: [tool] });
    expect(read('chat/completions', chats)).toMatchObject({ code: 'unbounded_request' });
    const param: unknown = expect.stringMatching(/^input\[0\]\.tools\[0\]/);
    for (const body of [{ input: added }, { input: added, store: false, conversation: 'conv_1' }])
      expect(read('responses', response(body))).toMatchObject({ code: 'unbounded_request', param });
  });

  it('counts the calls that the client approves beyond its limit', () => {
    const given = (approve: boolean) => ({
      type: 'mcp_approval_response',
      approval_request_id: 'm',
      approve,
    });
    const { operation } = accepted('responses', response({ input: [given(true), given(false)] }));
    expect(operation.hosted).toMatchObject({ approved: 1, calls: null });
  });

  it('names a stored file and a stored image, which their team must own', () => {
    const part = { type: 'file', file: { file_id: 'file-1' } };
    const file = read('chat/completions', chat({ messages: [{ role: 'user', content: [part] }] }));
    expect(file).toMatchObject({
      objects: [{ kind: 'file', id: 'file-1', param: 'messages[0].content[0].file.file_id' }],
    });
    const image = content({ type: 'input_image', file_id: 'file-2', detail: 'high' });
    expect(read('responses', response(image))).toMatchObject({
      objects: [{ kind: 'file', id: 'file-2', param: 'input[0].content[0].file_id' }],
      operation: { beyondText: { images: [{ size: null, detail: 'high' }] } },
    });
    expect(read('responses', response(content({ type: 'input_file', file_id: 7 })))).toMatchObject({
      code: 'invalid_request',
    });
  });

  it.each([
    ['conversation', { background: true, conversation: 'conv_1' }],
    ['prompt_cache_options.ttl', { prompt_cache_options: { ttl: '12h' } }],
    ['reasoning.mode', { reasoning: { mode: 'fast' } }],
    ['model', { model: 'gpt-realtime' }],
    ['model', { model: 'gpt-5-search-api', tools: [{ type: 'web_search' }] }],
  ])('ends in unbounded_request for %s: %j', (param, fields) => {
    expect(read('responses', response(fields))).toMatchObject({ code: 'unbounded_request', param });
  });

  it.each([
    ['input', { input: undefined }],
    ['input', { input: [] }],
    ['input', { input: {} }],
    ['input[0]', { input: ['x'] }],
    ['input[0].content[0].image_url', content({ type: 'input_image' })],
    ['input[0].output', { input: [{ type: 'computer_call_output' }] }],
    ['tools[0].tools', { tools: [{ type: 'namespace' }] }],
    ['tools[1]', { tools: [{ type: 'web_search' }, { type: 'web_search_preview' }] }],
    ['max_tool_calls', { tools: [{ type: 'web_search' }], max_tool_calls: -1 }],
    ['max_output_tokens', { max_output_tokens: 15 }],
    ['background', { background: 'true' }],
    ['store', { background: true, store: false }],
    ['instructions', { instructions: [{ type: 'input_file' }] }],
  ])('ends in an error for a wrong %s: %j', (param, fields) => {
    expect(read('responses', response(fields))).toMatchObject({ code: 'invalid_request', param });
  });
});
