import { describe, expect, it } from 'vitest';
import { chatExample } from '../../src/openai/chat-example.ts';
import { countExample } from '../../src/planner/example.ts';

const user = { role: 'user', content: '多少钱？' };
const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } };
const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"上海"}' } };
const events = (...all: object[]) =>
  `${all.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`;
const delta = (change: object, finish: string | null = null, index = 0) => ({
  choices: [{ index, delta: change, finish_reason: finish }],
});

const RULE = { count: () => 1, imageRule: { kind: 'tiles', base: 85, tile: 170 }, perTool: 1 } as const;

function example(request: object, response: object | string, edited: string | null = null) {
  const text = typeof response === 'string' ? response : JSON.stringify(response);
  const made = chatExample({ request: JSON.stringify(request), response: text }, edited);
  // What the planner knows to be refused.
  if (made !== null) expect(countExample(made, RULE).problems).toEqual([]);
  return made;
}

describe('a chat completion', () => {
  const asked = { model: 'gpt-4o-mini', messages: [user], tools: [weather], temperature: 1 };

  it('is its messages, its tools, and its answer without what is no part of it', () => {
    const message = { role: 'assistant', content: null, tool_calls: [call], annotations: [], refusal: null };
    expect(example(asked, { choices: [{ message }] })).toEqual({
      messages: [user, { role: 'assistant', tool_calls: [call] }],
      tools: [weather],
    });
  });

  it('that was edited ends with the text', () => {
    const message = { role: 'assistant', content: 'No.' };
    expect(example(asked, { choices: [{ message }] }, '三美元')?.messages).toEqual([
      user,
      { role: 'assistant', content: '三美元' },
    ]);
  });

  it('that was streamed is put together: text, and calls by their place', () => {
    const text = events(
      delta({ role: 'assistant', content: '三' }),
      delta({ content: '美元' }),
      delta({}, 'stop'),
    );
    expect(example(asked, text)?.messages[1]).toEqual({
      role: 'assistant',
      content: '三美元',
    });
    const calls = events(
      delta({
        tool_calls: [{ index: 0, id: 'call_1', function: { name: 'weather', arguments: '{"city":' } }],
      }),
      delta({ tool_calls: [{ index: 0, function: { arguments: '"上海"}' } }] }),
      delta({}, 'tool_calls'),
    );
    expect(example(asked, calls)?.messages[1]).toEqual({
      role: 'assistant',
      tool_calls: [call],
    });
  });

  it('has the roles and fields of the format alone, as clients send back more', () => {
    const before = {
      ...{ role: 'assistant', content: 'Hm.', refusal: null, annotations: [], audio: null, tool_calls: null },
      ...{ function_call: null, reasoning_content: 'x' },
    };
    const image = { type: 'image_url', image_url: { url: 'https://a.example/b.png', detail: 'low' } };
    const shown = { role: 'user', content: [{ type: 'text', text: 'This?', cache_control: {} }, image] };
    const messages = [{ role: 'developer', content: 'Be short.' }, user, before, shown];
    const strict = { ...weather, function: { ...weather.function, strict: null } };
    const request = { messages, tools: [strict], parallel_tool_calls: false };
    expect(example(request, { choices: [{ message: { role: 'assistant', content: 'Yes.' } }] })).toEqual({
      messages: [
        { role: 'system', content: 'Be short.' },
        user,
        { role: 'assistant', content: 'Hm.' },
        { role: 'user', content: [{ type: 'text', text: 'This?' }, image] },
        { role: 'assistant', content: 'Yes.' },
      ],
      tools: [weather],
      parallel_tool_calls: false,
    });
  });

  it.each([
    [
      'audio',
      [{ role: 'user', content: [{ type: 'input_audio', input_audio: { data: '', format: 'wav' } }] }],
      [],
    ],
    ['a file', [{ role: 'user', content: [{ type: 'file', file: { file_id: 'file-1' } }] }], []],
    [
      'an image of an assistant',
      [{ role: 'assistant', content: [{ type: 'image_url', image_url: { url: 'x' } }] }],
      [],
    ],
    ['a refusal before', [{ role: 'assistant', content: null, refusal: 'No.' }], []],
    ['a tool that is no function', [user], [{ type: 'custom', custom: { name: 'sql' } }]],
  ])('with %s is no example, whatever people made of its answer', (_what, messages, tools) => {
    const answer = { choices: [{ message: { role: 'assistant', content: 'Yes.' } }] };
    expect(example({ messages, tools }, answer)).toBeNull();
    expect(example({ messages, tools }, answer, 'Yes!')).toBeNull();
  });

  it('of which the answer cannot be one is one with the text that people gave', () => {
    for (const answer of ['data: {"choices":[]}\n\n', { choices: [{}, {}] }, { error: {} }])
      expect(example(asked, answer, '三美元')?.messages).toEqual([
        user,
        { role: 'assistant', content: '三美元' },
      ]);
  });

  it.each([
    ['several choices', { choices: [{ message: { content: 'a' } }, { message: { content: 'b' } }] }],
    ['several streamed choices', events(delta({ content: 'a' }, 'stop'), delta({ content: 'b' }, 'stop', 1))],
    ['a refusal', { choices: [{ message: { role: 'assistant', content: null, refusal: 'No.' } }] }],
    ['a streamed refusal', events(delta({ refusal: 'No.' }), delta({}, 'stop'))],
    [
      'a call of no function',
      { choices: [{ message: { tool_calls: [{ id: 'a', type: 'custom', custom: {} }] } }] },
    ],
    ['an answer that broke off', events(delta({ content: '三' }))],
    ['an answer without anything', { choices: [{ message: { role: 'assistant', content: null } }] }],
    ['no answer', { error: { message: 'no' } }],
    ['what cannot be read', '\u001f\u008b'],
  ])('with %s is no example', (_what, response) => {
    expect(example(asked, response)).toBeNull();
  });
});

describe('a response', () => {
  const said = { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Three.' }] };
  const done = { status: 'completed', output: [{ type: 'reasoning', summary: [] }, said] };

  it('is a conversation in the chat format, with its calls and what they returned', () => {
    const input = [
      { role: 'user', content: [{ type: 'input_text', text: 'How much?' }] },
      { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{"city":"上海"}' },
      { type: 'function_call_output', call_id: 'call_1', output: 'rain' },
    ];
    const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object' } }];
    expect(example({ instructions: 'Be short.', input, tools }, done)).toEqual({
      messages: [
        { role: 'system', content: 'Be short.' },
        { role: 'user', content: 'How much?' },
        { role: 'assistant', tool_calls: [call] },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
        { role: 'assistant', content: 'Three.' },
      ],
      tools: [weather],
    });
  });

  it('has calls that were made together in one message, their results behind it, and no reasoning', () => {
    const called = (id: string) => ({ type: 'function_call', call_id: id, name: 'weather', arguments: '{}' });
    const result = (id: string) => ({ type: 'function_call_output', call_id: id, output: 'rain' });
    const text = (value: string) => ({ type: 'output_text', text: value, annotations: [] });
    const input = [
      { role: 'developer', content: 'Be short.' },
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'A' },
          { type: 'input_text', text: 'B' },
        ],
      },
      { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'x' },
      { type: 'message', role: 'assistant', content: [text('I look.')] },
      ...[called('call_1'), called('call_2'), result('call_1'), result('call_2')],
    ];
    const output = [{ ...said, content: [text('Well:')] }, said, called('call_3')];
    const toolCall = (id: string) => ({
      id,
      type: 'function',
      function: { name: 'weather', arguments: '{}' },
    });
    expect(example({ input }, { status: 'completed', output })?.messages).toEqual([
      { role: 'system', content: 'Be short.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'A' },
          { type: 'text', text: 'B' },
        ],
      },
      { role: 'assistant', content: 'I look.', tool_calls: [toolCall('call_1'), toolCall('call_2')] },
      { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      { role: 'tool', tool_call_id: 'call_2', content: 'rain' },
      { role: 'assistant', content: 'Well:\n\nThree.', tool_calls: [toolCall('call_3')] },
    ]);
  });

  it('has images by their addresses', () => {
    const image = { type: 'input_image', image_url: 'data:image/png;base64,', detail: 'low' };
    expect(example({ input: [{ role: 'user', content: [image] }] }, done)?.messages[0]).toEqual({
      role: 'user',
      content: [{ type: 'image_url', image_url: { url: image.image_url, detail: 'low' } }],
    });
  });

  it('that ended at its limit is one, if people accept it', () => {
    expect(example({ input: 'x' }, { ...done, status: 'incomplete' })?.messages).toHaveLength(2);
  });

  it('that was streamed is its last event', () => {
    const text = events(
      { type: 'response.created', response: {} },
      { type: 'response.completed', response: done },
    );
    expect(example({ input: 'How much?' }, text)?.messages).toHaveLength(2);
  });

  it.each([
    ['an input that is stored elsewhere', { input: 'x', previous_response_id: 'resp_1' }, done],
    [
      'an image by its id',
      { input: [{ role: 'user', content: [{ type: 'input_image', file_id: 'a' }] }] },
      done,
    ],
    ['an item by its id', { input: [{ type: 'item_reference', id: 'msg_1' }] }, done],
    [
      'a refusal',
      { input: 'x' },
      { ...done, output: [{ ...said, content: [{ type: 'refusal', refusal: 'No.' }] }] },
    ],
    ['nothing but reasoning', { input: 'x' }, { ...done, output: done.output.slice(0, 1) }],
    ['a tool of the upstream', { input: 'x', tools: [{ type: 'web_search' }] }, done],
    ['an answer that failed', { input: 'x' }, { ...done, status: 'failed' }],
  ])('with %s is no example', (_what, request, response) => {
    expect(example(request, response)).toBeNull();
  });
});
