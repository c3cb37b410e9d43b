import { describe, expect, test } from 'vitest';
import { billedAmount, lineSubject } from '../../src/domain/line-items.ts';
import type { MeterName } from '../../src/domain/quantities.ts';

const USD = 10n ** 12n;

describe('the name of a line item', () => {
  const model = (name: string, meter: MeterName | null, tier = 'default', isLong = false) => ({
    ...{ of: 'model', model: name, tier, meter, isLong },
  });
  test.each([
    ['gpt-4o-mini-2024-07-18, cached input', model('gpt-4o-mini-2024-07-18', 'cached_input_tokens')],
    ['priority | gpt-5.6-sol, output, long context', model('gpt-5.6-sol', 'output_tokens', 'priority', true)],
    ['batch | gpt-4o-2024-08-06, Input', model('gpt-4o-2024-08-06', 'input_tokens', 'batch')],
    ['gpt-5.6-sol, cache writes', model('gpt-5.6-sol', 'cache_write_tokens')],
    [
      'ft:gpt-4o-mini-2024-07-18:org::abc, input',
      model('ft:gpt-4o-mini-2024-07-18:org::abc', 'input_tokens'),
    ],
    ['gpt-4o', model('gpt-4o', null)],
    ['web search tool calls', { of: 'tools', tool: 'web_search_calls' }],
    ['code interpreter sessions', { of: 'tools', tool: 'container_sessions' }],
    ['file search tool calls', { of: 'tools', tool: 'file_search_calls' }],
    ['image generation tool calls', { of: 'tools', tool: 'image_tool_output_tokens' }],
    ['other tool calls', { of: 'tools', tool: null }],
    ['vector store storage', { of: 'storage' }],
    ['Data residency uplift', null],
    ['gpt-4o, residency', null],
    ['Credits', null],
  ])('%s', (name, subject) => expect(lineSubject(name)).toEqual(subject));
});

describe('an amount of the costs', () => {
  test.each([
    ['0.06', 60_000_000_000n, 2],
    ['12', 12n * USD, 0],
    ['0.06000000000000001', 60_000_000_000n, 2],
    ['0.8958740000000000', 895_874_000_000n, 6],
    ['1.5e-7', 150_000n, 8],
    ['0E-6176', 0n, 0],
    ['-0.5', -USD / 2n, 1],
    ['0.0000000000005', 1n, 12],
  ])('%s', (text, amount, decimals) => expect(billedAmount(text)).toEqual({ amount, decimals }));

  test.each(['', 'x', '1,5', 'NaN', '1e400', '0x10'])('%j is none', (text) =>
    expect(billedAmount(text)).toBeNull(),
  );
});
