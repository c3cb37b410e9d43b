import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CountTokens, countJson, OutputCounter, type TextRule } from '../../src/openai/usage/count.ts';
import { loadTokeniser } from '../../src/openai/usage/tokeniser.ts';
import { usagePlace } from './read.ts';

let countTokens: CountTokens;
beforeAll(async () => {
  countTokens = await loadTokeniser('o200k_base');
});

const BYTES: TextRule = { countTokens: null };
const event = (json: unknown) => `data: ${JSON.stringify(json)}\n\n`;
const chat = (delta: unknown, index = 0, more = {}) => event({ choices: [{ index, delta }], ...more });
const content = (text: string, index = 0, more = {}) => chat({ content: text }, index, more);

function count(name: string, rule: TextRule | null, ...lines: string[]): number {
  const counter = new OutputCounter(usagePlace(name), rule);
  for (const line of lines) counter.add(Buffer.from(line));
  const { tokens } = counter;
  expect(counter.isOver(tokens)).toBe(false);
  if (tokens > 0) expect(counter.isOver(tokens - 1)).toBe(true);
  return tokens;
}

describe.each([
  ['by its bytes', null],
  ['event by event', BYTES],
] as const)('a delta of a stream that is read %s', (_, rule) => {
  it.each([
    ['text', { content: 'x' }],
    ['a refusal', { refusal: 'x' }],
    ['reasoning', { reasoning_content: 'x' }],
    ['reasoning by its other name', { reasoning: 'x' }],
    ['a call of a tool', { tool_calls: [{ index: 0, function: { arguments: '{' } }] }],
  ])('counts a token with %s', (_name, delta) => {
    expect(count('chat.completions', rule, chat(delta), chat(delta))).toBe(2);
  });

  it.each([
    ['nothing', {}],
    ['a role', { role: 'assistant', content: '', refusal: null }],
    ['an empty text', { content: '' }],
    ['null', { content: null }],
    ['annotations', { annotations: [{ type: 'url_citation' }] }],
    ['words that look like one in its text', { role: 'assistant', x: '"delta":{"content":"x"}' }],
  ])('counts none with %s', (_name, delta) => {
    expect(count('chat.completions', rule, chat(delta))).toBe(0);
  });

  it('is one of each choice, and of each event in what came together', () => {
    const together = content('a') + content('b', 1) + content('', 1) + content('c', 1);
    expect(count('chat.completions', rule, together, ': comment\n\n', 'data: [DONE]\r\n\r\n')).toBe(3);
  });

  it('is read with the blanks of any JSON writer', () => {
    expect(count('chat.completions', rule, 'data:{"choices": [{"delta": {"content": "x"}}]}\n')).toBe(1);
  });

  it('is a text of a completions stream', () => {
    const piece = (text: string) => event({ choices: [{ text, index: 0, finish_reason: null }] });
    expect(count('completions', rule, piece('a') + piece(''), piece('b'))).toBe(2);
  });

  it('is what the model writes of a Responses stream, not what is told of it', () => {
    const delta = (type: string, text: string) => `event: ${type}\n${event({ type, delta: text })}`;
    expect(
      count(
        'responses',
        rule,
        delta('response.output_text.delta', 'a') + delta('response.output_text.delta', ''),
        delta('response.function_call_arguments.delta', '{') + delta('response.refusal.delta', 'x'),
        delta('response.reasoning_summary_text.delta', 'a summary'),
        event({ type: 'response.output_text.done', text: 'a' }),
      ),
    ).toBe(3);
  });
});

describe('usage in the middle of a stream', () => {
  const usage = (output: number) => ({ usage: { prompt_tokens: 9, completion_tokens: output } });

  it('counts where it says more than there are deltas', () => {
    expect(count('chat.completions', BYTES, content('a', 0, usage(8)), content('b', 0, usage(16)))).toBe(16);
    expect(count('chat.completions', BYTES, content('a', 0, usage(0)), content('b', 0, usage(0)))).toBe(2);
  });

  it('is of all choices where it grows with each of their chunks', () => {
    const chunks = [content('a', 0, usage(8)), content('b', 1, usage(16)), content('c', 0, usage(24))];
    expect(count('chat.completions', BYTES, ...chunks)).toBe(24);
  });

  it('is added up where each choice has its own', () => {
    const chunks = [content('a', 0, usage(8)), content('b', 1, usage(8)), content('c', 0, usage(16))];
    expect(count('chat.completions', BYTES, ...chunks)).toBe(24);
  });

  it('is read of a Responses stream too', () => {
    const json = { type: 'response.in_progress', response: { usage: { input_tokens: 1, output_tokens: 7 } } };
    expect(count('responses', BYTES, event(json))).toBe(7);
  });
});

describe('text', () => {
  it('counts a token for sixteen bytes where no tokeniser is set, and none for the first ones', () => {
    expect(count('chat.completions', BYTES, content('x'.repeat(416)))).toBe(10);
  });

  it('counts what the tokeniser counts of the whole, however it is cut', () => {
    const unit = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 12 }),
      fc.constantFrom(' word', '\n\n', 'x', ' the', '漢字', '  ', '123', "'s"),
    );
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 60 }), (pieces) => {
        const counter = new OutputCounter(usagePlace('chat.completions'), { countTokens });
        for (const piece of pieces) {
          counter.add(Buffer.from(content(piece)));
          counter.isOver(3);
        }
        const whole = countTokens(pieces.join(''));
        const filled = pieces.filter((piece) => piece !== '').length;
        expect(counter.tokens).toBeLessThanOrEqual(Math.max(whole, filled));
        expect(counter.tokens).toBeGreaterThanOrEqual(Math.max(filled, whole - Math.ceil(whole / 20)));
      }),
      { numRuns: 300 },
    );
  });

  it('is counted apart for each choice', () => {
    const chunks = Array.from({ length: 40 }, (_, index) => content(' word', index % 2));
    expect(count('chat.completions', { countTokens }, ...chunks)).toBe(40);
    expect(count('chat.completions', { countTokens }, content(' word'.repeat(64)))).toBe(64);
  });

  it('takes no time that grows with its square', () => {
    const counter = new OutputCounter(usagePlace('chat.completions'), { countTokens });
    const startedUs = process.cpuUsage().user;
    for (let at = 0; at < 200; at++) counter.add(Buffer.from(content('a'.repeat(500))));
    expect(counter.isOver(1_000_000)).toBe(false);
    expect(counter.tokens).toBeGreaterThan(5_000);
    expect(process.cpuUsage().user - startedUs).toBeLessThan(5_000_000);
  });

  it('is what looks like a special token, too', () => {
    expect(count('chat.completions', { countTokens }, content('<|endoftext|>'))).toBeGreaterThan(1);
  });
});

describe('a whole JSON answer', () => {
  const count = (json: unknown, rule: TextRule) => countJson(Buffer.from(JSON.stringify(json)), rule);

  it('is counted with all of its choices', () => {
    const choices = [
      { message: { content: ' word'.repeat(10) } },
      { message: { content: ' word'.repeat(20) } },
    ];
    expect(count({ choices }, { countTokens })).toEqual({ choices: 2, tokens: 30 });
    expect(count({ choices }, BYTES)).toEqual({ choices: 2, tokens: 0 });
    expect(count({ choices: [{ text: ' word'.repeat(10) }] }, { countTokens })).toEqual({
      choices: 1,
      tokens: 10,
    });
  });

  it('is counted with its reasoning and its calls of tools', () => {
    const calls = [{ function: { name: 'f', arguments: '{}' } }];
    const message = { content: null, reasoning_content: ' word'.repeat(10), tool_calls: calls };
    expect(count({ choices: [{ message }] }, { countTokens }).tokens).toBeGreaterThan(11);
    const output = [
      { type: 'reasoning', summary: [{ text: 'not counted' }] },
      { type: 'message', content: [{ type: 'output_text', text: ' word'.repeat(10) }] },
    ];
    expect(count({ output }, { countTokens })).toEqual({ choices: 1, tokens: 10 });
  });

  it('has no choices where it is no answer', () => {
    expect(count({ error: {} }, BYTES)).toEqual({ choices: 0, tokens: 0 });
    expect(countJson(Buffer.from('<html>'), BYTES)).toEqual({ choices: 0, tokens: 0 });
  });
});
