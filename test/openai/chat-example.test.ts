import { describe, expect, it } from 'vitest';
import { chatExample } from '../../src/openai/chat-example.ts';

const user = { role: 'user', content: '多少钱？' };
const weather = { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } };
const call = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"上海"}' } };
const events = (...all: object[]) =>
  `${all.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`;
const delta = (change: object, finish: string | null = null, index = 0) => ({
  choices: [{ index, delta: change, finish_reason: finish }],
});

function example(request: object, response: object | string, edited: string | null = null) {
  const text = typeof response === 'string' ? response : JSON.stringify(response);
  return chatExample({ request: JSON.stringify(request), response: text }, edited);
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
      delta({ content: 'of another choice' }, 'stop', 1),
      delta({}, 'tool_calls'),
    );
    expect(example(asked, calls)?.messages[1]).toEqual({
      role: 'assistant',
      tool_calls: [call],
    });
  });

  it.each([
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
      'an image',
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'https://a.example/b' }] }] },
      done,
    ],
    ['a tool of the upstream', { input: 'x', tools: [{ type: 'web_search' }] }, done],
    ['an answer that failed', { input: 'x' }, { ...done, status: 'failed' }],
  ])('with %s is no example', (_what, request, response) => {
    expect(example(request, response)).toBeNull();
  });
});
