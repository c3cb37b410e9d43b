/** Counts of inputs by published encodings: tight where text is usual, and never below what any way to write the prompt makes. */
import { countTokens as cl100k } from 'gpt-tokenizer/encoding/cl100k_base';
import { countTokens as o200k } from 'gpt-tokenizer/encoding/o200k_base';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { countPrompt, type PromptStyle, type Tokeniser } from '../../bench/holds/prompt.ts';
import { Anchors } from '../../src/gateway/anchors.ts';
import { EncodingCounts } from '../../src/gateway/counting.ts';
import { SCAN_BOUNDS } from '../../src/openai/scan.ts';
import { publishedEncoding } from '../../src/openai/usage/tokeniser.ts';
import { book, NOW } from '../domain/fixtures.ts';
import { accepted, type PostPath } from '../openai/read.ts';
import { Random } from '../support/random.ts';

const threads = vi.hoisted(() => ({ started: 0 }));
vi.mock('node:worker_threads', async (original) => {
  const actual = await original<typeof import('node:worker_threads')>();
  class Worker extends actual.Worker {
    constructor(...given: ConstructorParameters<typeof actual.Worker>) {
      super(...given);
      threads.started++;
    }
  }
  return { ...actual, Worker };
});

/** A busy machine must not decide a test. */
const counts = new EncodingCounts(30_000);
afterAll(() => counts.close());

const AS_TEXT = { disallowedSpecial: new Set<string>() };
const TOKENISERS: Record<string, Tokeniser> = {
  'gpt-5': (text) => o200k(text, AS_TEXT),
  'gpt-4-turbo': (text) => cl100k(text, AS_TEXT),
};

/** The most input tokens by a count; null: none could be had. */
async function counted(path: PostPath, body: { model: string }): Promise<number | null> {
  const request = accepted(path, body);
  const parts = await counts.count(request, SCAN_BOUNDS);
  if (parts === null) return null;
  const { operation } = request;
  const rule = book.find(body.model, NOW)?.limits.imageRule ?? null;
  const scope = { teamId: 't', model: body.model, wanted: null };
  return new Anchors().find(scope, parts, operation.beyondText, rule, NOW)?.bound ?? null;
}

const WORDS = [
  'the ',
  'état ',
  '数据',
  'x',
  '{"a":1}',
  'zzzzzz',
  '\n\t',
  '𐍈 ',
  'return ',
  "don't ",
  '  ',
  '123456',
  '\r\n',
];
const MORE_WORDS = [
  ...WORDS,
  '\u0085',
  '\ufeff',
  'ÅNGSTRÖM',
  '<|im_start|>',
  '\ud800',
  'camelCaseName',
  '\\"',
  '🙂',
  '>>>>',
  '/',
];
const words = (random: Random, most: number): string =>
  Array.from({ length: random.between(0, most) }, () => random.pick(MORE_WORDS)).join('');

const NAMES = ['path', 'aVeryLongNameOfAParameter', 'état', 'x', '数据', 'max-results', 'UPPER_CASE'];

function schema(random: Random, depth: number): Record<string, unknown> {
  const described = random.chance(0.6) ? { description: words(random, 8) } : {};
  const roll = random.fraction();
  if (depth === 0 || roll < 0.4)
    return { type: random.pick(['string', 'number', 'boolean', 'integer']), ...described };
  if (roll < 0.55)
    return { enum: Array.from({ length: random.between(1, 5) }, () => words(random, 2)), ...described };
  if (roll < 0.7) return { type: 'array', items: schema(random, depth - 1), ...described };
  if (roll < 0.8) return { anyOf: [schema(random, depth - 1), { type: 'null' }], ...described };
  const names = Array.from({ length: random.between(0, 5) }, (_, index) => `${random.pick(NAMES)}_${index}`);
  const properties = Object.fromEntries(names.map((name) => [name, schema(random, depth - 1)]));
  return { type: 'object', properties, required: names.slice(0, 2), ...described };
}

const tool = (random: Random) => ({
  name: `f_${random.between(1, 1000)}`,
  description: words(random, 20),
  parameters: { type: 'object', properties: { a: schema(random, 3), b: schema(random, 2) } },
});

function randomChat(random: Random, model: string) {
  const messages: Record<string, unknown>[] = [{ role: 'system', content: words(random, 80) }];
  for (let turn = random.between(1, 6); turn > 0; turn--) {
    const parts = Array.from({ length: random.between(1, 4) }, () => ({
      type: 'text',
      text: words(random, 10),
    }));
    messages.push({ role: 'user', content: random.chance(0.5) ? words(random, 30) : parts });
    const call = { id: 'call_1', type: 'function', function: { name: 'f_1', arguments: words(random, 10) } };
    messages.push({ role: 'assistant', content: null, tool_calls: [call] });
    messages.push({ role: 'tool', tool_call_id: 'call_1', content: words(random, 60) });
  }
  const tools = Array.from({ length: random.between(0, 4) }, () => ({
    type: 'function',
    function: tool(random),
  }));
  return { model, messages, ...(tools.length === 0 ? {} : { tools }) };
}

function randomResponse(random: Random, model: string) {
  const input: Record<string, unknown>[] = [];
  for (let turn = random.between(1, 6); turn > 0; turn--) {
    input.push({ role: 'user', content: [{ type: 'input_text', text: words(random, 40) }] });
    input.push({ type: 'function_call', call_id: 'call_1', name: 'f_1', arguments: words(random, 10) });
    input.push({ type: 'function_call_output', call_id: 'call_1', output: words(random, 60) });
  }
  const tools = Array.from({ length: random.between(0, 4) }, () => ({ type: 'function', ...tool(random) }));
  const text = { format: { type: 'json_schema', name: 'answer', schema: schema(random, 3) } };
  return { model, instructions: words(random, 60), input, tools, ...(random.chance(0.3) ? { text } : {}) };
}

const styles: PromptStyle['tools'][] = ['typescript', 'json'];

describe.each(Object.keys(TOKENISERS))('the count of %s', (model) => {
  it('is never below what the prompt costs, however it is written', async () => {
    const random = new Random(7);
    for (let call = 0; call < 60; call++) {
      const isChat = random.chance(0.5);
      const body = isChat ? randomChat(random, model) : randomResponse(random, model);
      const bound = await counted(isChat ? 'chat/completions' : 'responses', body);
      // As it comes off the wire: half a surrogate pair is none of the upstream's letters.
      const sent = JSON.parse(JSON.stringify(body).toWellFormed()) as typeof body;
      for (const tools of styles) {
        const cost = countPrompt(sent, TOKENISERS[model]!, { tools, image: () => 0 });
        expect(bound, `call ${call}, tools as ${tools}`).toBeGreaterThanOrEqual(cost);
      }
    }
  });
});

describe('a count', () => {
  const prose =
    'The gateway counts what a prompt costs before it is sent, and holds no more than that. '.repeat(100);

  it('is near to the cost of prose', async () => {
    const bound = await counted('responses', { model: 'gpt-5', input: prose } as { model: string });
    const cost = countPrompt({ input: prose }, TOKENISERS['gpt-5']!, { tools: 'json', image: () => 0 });
    expect(bound! / cost).toBeLessThan(1.3);
    expect(bound! - cost).toBeLessThan(360);
  });

  it('takes a run without a break at its bytes', async () => {
    const run = 'a'.repeat(300_000);
    const bound = await counted('responses', { model: 'gpt-5', input: `${prose}${run}${prose}` } as {
      model: string;
    });
    expect(bound).toBeGreaterThan(300_000);
    expect(bound).toBeLessThan(300_000 + prose.length);
  });

  it('takes definitions that refer to others at their bytes', async () => {
    const parameters = {
      type: 'object',
      $defs: { a: { description: prose } },
      properties: { b: { $ref: '#/$defs/a' } },
    };
    const body = { model: 'gpt-5', input: 'x', tools: [{ type: 'function', name: 'f', parameters }] };
    expect(await counted('responses', body)).toBeGreaterThan(prose.length);
  });

  it('takes images by their pixels, and what only looks like one as text', async () => {
    const pixel =
      'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
    const image = { type: 'input_image', image_url: pixel };
    const body = (part: object) => ({
      model: 'gpt-5-mini',
      input: [{ role: 'user', content: [{ type: 'input_text', text: prose }, part] }],
    });
    const withImage = await counted('responses', body(image));
    const without = await counted('responses', body({ type: 'input_text', text: '' }));
    expect(withImage! - without!).toBeLessThan(20);
    const hidden = { type: 'function_call_output', call_id: 'c', output: `data:image/png;base64,${prose}` };
    const bound = await counted('responses', { model: 'gpt-5-mini', input: [hidden] } as { model: string });
    expect(bound).toBeGreaterThan(prose.length / 6);
  });

  it('is not had for what its bytes do not show, nor for models without a published encoding', async () => {
    const history = { role: 'user', content: prose };
    expect(
      await counted('responses', { model: 'gpt-5', input: [history], truncation: 'auto' } as {
        model: string;
      }),
    ).toBeNull();
    expect(
      await counted('responses', { model: 'gpt-6-astra', input: [history] } as { model: string }),
    ).toBeNull();
  });
});

describe('a call whose count is late', () => {
  const prose = accepted('responses', { model: 'gpt-5', input: 'What a prompt costs. '.repeat(300) });

  it('has none, and the thread that loads the encoding for it goes on', async () => {
    threads.started = 0;
    const hasty = new EncodingCounts(1, 30_000);
    const late = Array.from({ length: 3 }, () => hasty.count(prose, SCAN_BOUNDS));
    expect(await Promise.all(late)).toEqual([null, null, null]);
    expect(await hasty.count(prose, SCAN_BOUNDS)).toBeNull();
    expect(threads.started).toBe(1);
    await hasty.close();
  });

  it('is counted by another thread where the one before took too long', async () => {
    threads.started = 0;
    const strict = new EncodingCounts(30_000, 1);
    const long = accepted('responses', { model: 'gpt-5', input: 'What a prompt costs. '.repeat(20_000) });
    expect(await strict.count(long, SCAN_BOUNDS)).toBeNull();
    await strict.count(prose, SCAN_BOUNDS);
    expect(threads.started).toBe(2);
    await strict.close();
  });
});

it.each([
  ['gpt-5.6-terra', 'o200k_base'],
  ['gpt-5-mini-2025-08-07', 'o200k_base'],
  ['gpt-4.1-nano', 'o200k_base'],
  ['gpt-4o', 'o200k_base'],
  ['ft:gpt-4o-mini:x', 'o200k_base'],
  ['o3-mini', 'o200k_base'],
  ['gpt-4', 'cl100k_base'],
  ['gpt-4-turbo', 'cl100k_base'],
  ['gpt-3.5-turbo-0125', 'cl100k_base'],
  ['gpt-6-astra', null],
  ['ft:gpt-4.1:x', null],
  ['o30', null],
])('%s has the published encoding %s', (model, encoding) => {
  expect(publishedEncoding(model)).toBe(encoding);
});
