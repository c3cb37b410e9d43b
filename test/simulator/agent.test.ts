/** The simulated model as an agent's: it calls tools, keeps to schemas, and fails in the ways of a model. */
import type OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { seededRandom } from '../../src/simulator/random.ts';
import { validValue } from '../../src/simulator/schema.ts';
import { order, useSimulator } from './client.ts';

const bench = useSimulator();
afterEach(() => bench.simulator.setProfile({ toolCallChance: 0, habit: 'frames', tokeniser: 'quarter' }));

const CITY = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };
const chatTool = (name: string) => ({ type: 'function' as const, function: { name, parameters: CITY } });
const tool = (name: string) => ({ type: 'function' as const, name, parameters: CITY, strict: false });
const TOOLS = ['get_weather', 'get_time', 'book'];
const PROMPT = 'Use get_weather {"city":"Paris"} and get_time {"city":"{}"}, then book.';

for (const sdk of ['sdk7', 'sdk6'] as const) {
  const client = (): OpenAI => bench[sdk] as unknown as OpenAI;

  describe(`the tools of an agent with the official SDK ${sdk.slice(-1)}`, () => {
    it.each([false, true])('are called step by step in chat, streamed: %s', async (stream) => {
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: PROMPT }];
      const said: string[][] = [];
      for (let step = 0; step < 3; step++) {
        const body = { model: 'gpt-5-mini', messages, tools: TOOLS.map(chatTool) };
        const answer = stream
          ? await client().chat.completions.stream(body).finalChatCompletion()
          : await client().chat.completions.create(body);
        const { message, finish_reason } = answer.choices[0]!;
        messages.push(message);
        const calls = message.tool_calls ?? [];
        said.push([
          finish_reason,
          ...calls.map((call) => (call.type === 'function' ? call.function.name : '')),
        ]);
        for (const { id } of calls) messages.push({ role: 'tool', tool_call_id: id, content: 'done' });
        const names = calls.map((call) => call.type === 'function' && JSON.parse(call.function.arguments));
        for (const given of names) expect(given).toHaveProperty('city');
      }
      expect(said).toEqual([['tool_calls', 'get_weather', 'get_time'], ['tool_calls', 'book'], ['stop']]);
      expect(messages.at(-1)?.content).not.toBe('');
    });

    it.each([false, true])('are called step by step in responses, streamed: %s', async (stream) => {
      let input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: PROMPT }];
      let previous_response_id: string | null = null;
      const said: string[][] = [];
      for (let step = 0; step < 3; step++) {
        const body = { model: 'gpt-5-mini', input, previous_response_id, tools: TOOLS.map(tool) };
        const answer: OpenAI.Responses.Response = stream
          ? await client().responses.stream(body).finalResponse()
          : await client().responses.create(body);
        const calls = answer.output.filter((item) => item.type === 'function_call');
        said.push(calls.map(({ name }) => name));
        input = calls.map(({ call_id }) => ({ type: 'function_call_output', call_id, output: 'done' }));
        for (const call of calls) expect(JSON.parse(call.arguments)).toHaveProperty('city');
        previous_response_id = answer.id;
        if (calls.length === 0) expect(answer.output_text).not.toBe('');
      }
      expect(said).toEqual([['get_weather', 'get_time'], ['book'], []]);
    });

    it('are custom ones with a text, and those of a namespace', async () => {
      const tools: OpenAI.Responses.Tool[] = [
        { type: 'custom', name: 'run' },
        { type: 'namespace', name: 'agents', description: 'others', tools: [tool('spawn')] },
      ];
      const body = { model: 'gpt-5-mini', input: 'run "ls -l\\n" and spawn', tools };
      const whole = await client().responses.create(body);
      const streamed = await client().responses.stream(body).finalResponse();
      for (const { output } of [whole, streamed]) {
        expect(output.at(-2)).toMatchObject({ type: 'custom_tool_call', name: 'run', input: 'ls -l\n' });
        expect(output.at(-1)).toMatchObject({ type: 'function_call', name: 'spawn', namespace: 'agents' });
      }
      const chat = {
        model: 'gpt-5-mini',
        messages: [{ role: 'user' as const, content: 'run "ls"' }],
        tools: [{ type: 'custom' as const, custom: { name: 'run' } }],
      };
      const { choices } = await client().chat.completions.create(chat);
      expect(choices[0]?.message.tool_calls).toMatchObject([
        { type: 'custom', custom: { name: 'run', input: 'ls' } },
      ]);
    });

    it('are called where the choice forces it, where the header orders it, and by chance', async () => {
      const body = {
        model: 'gpt-4o',
        messages: [{ role: 'user' as const, content: 'hello' }],
        tools: TOOLS.map(chatTool),
      };
      const calls = async (fields: object, directives = 'fault=none') => {
        const answer = await client().chat.completions.create(
          { ...body, ...fields, stream: false },
          order(directives),
        );
        return answer.choices[0]?.message.tool_calls?.length ?? 0;
      };
      const choice = { type: 'function', function: { name: 'book' } };
      expect(await calls({})).toBe(0);
      expect(await calls({ tool_choice: 'required' })).toBe(1);
      expect(await calls({ tool_choice: choice })).toBe(1);
      expect(await calls({}, 'tool_calls=2')).toBe(2);
      expect(await calls({ parallel_tool_calls: false }, 'tool_calls=2')).toBe(1);
      bench.simulator.setProfile({ toolCallChance: 1 });
      expect(await calls({})).toBe(1);
      expect(await calls({ tool_choice: 'none' })).toBe(0);
    });

    it('give answers in the form that is asked for, whole and streamed', async () => {
      const Step = z.object({ thought: z.string(), done: z.boolean() });
      const Plan = z.object({ name: z.enum(['a', 'b']), steps: z.array(Step), cost: z.number().nullable() });
      const messages = [{ role: 'user' as const, content: 'plan' }];
      const format = zodResponseFormat(Plan, 'plan');
      const chat = await client().chat.completions.parse({
        model: 'gpt-4o',
        messages,
        response_format: format,
      });
      expect(Plan.parse(chat.choices[0]?.message.parsed)).toBeTruthy();
      const text = { format: zodTextFormat(Plan, 'plan') };
      const response = await client()
        .responses.stream({ model: 'gpt-5', input: 'plan', text })
        .finalResponse();
      expect(Plan.parse(response.output_parsed)).toBeTruthy();
      const { usage } = bench.lastLine();
      expect(usage.output_tokens - usage.reasoning_tokens).toBeLessThanOrEqual(response.output_text.length);
    });
  });
}

it('summarises its reasoning where it is asked to, whole and streamed', async () => {
  const body = { model: 'gpt-5', input: 'x', reasoning: { summary: 'auto' as const } };
  const whole = await bench.sdk7.responses.create(body);
  const types: string[] = [];
  const stream = bench.sdk7.responses.stream(body);
  stream.on('event', ({ type }) => types.push(type));
  const { output } = await stream.finalResponse();
  for (const [reasoning] of [whole.output, output]) {
    expect(reasoning).toMatchObject({ type: 'reasoning', summary: [{ type: 'summary_text' }] });
  }
  expect(types).toContain('response.reasoning_summary_text.delta');
});

it('breaks off a call and an answer that the limit cuts, and bills the limit', async () => {
  const body = { model: 'gpt-4o', tools: TOOLS.map(chatTool), max_completion_tokens: 8 };
  const content = `get_weather {"city":"${'Paris '.repeat(50)}"}`;
  const chat = await bench.sdk7.chat.completions.create({ ...body, messages: [{ role: 'user', content }] });
  expect(chat.choices[0]?.finish_reason).toBe('length');
  const [call] = chat.choices[0]?.message.tool_calls ?? [];
  expect(() => JSON.parse(call?.type === 'function' ? call.function.arguments : '{}')).toThrow();
  expect(bench.lastLine().usage.output_tokens).toBe(8);
  const response = await bench.sdk7.responses.create({
    model: 'gpt-4o',
    input: content,
    tools: TOOLS.map(tool),
    max_output_tokens: 16,
  });
  expect(response.status).toBe('incomplete');
  expect(response.output.at(-1)).toMatchObject({ type: 'function_call', status: 'incomplete' });
});

it('fails in the middle of a stream as the API does', async () => {
  const failed = order('fault=failed,output=20');
  const stream = await bench.sdk7.responses.create({ model: 'gpt-4o', input: 'x', stream: true }, failed);
  const types: string[] = [];
  for await (const event of stream) types.push(event.type);
  expect(types.at(-1)).toBe('response.failed');
  expect(types).toContain('response.output_text.delta');
  const whole = await bench.sdk7.responses.create({ model: 'gpt-4o', input: 'x' }, failed);
  expect(whole).toMatchObject({ status: 'failed', error: { code: 'server_error' }, usage: null });
  const chat = bench.sdk7.chat.completions.stream(
    { model: 'gpt-4o', messages: [{ role: 'user', content: 'x' }] },
    failed,
  );
  await expect(chat.finalChatCompletion()).rejects.toThrow('had an error');
  expect(BigInt(bench.lastLine().cost_pico_usd)).toBeGreaterThan(0n);
});

const TREE = {
  $defs: {
    node: {
      type: 'object',
      properties: { left: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
      required: ['left'],
    },
  },
  $ref: '#/$defs/node',
};
const LIST = {
  type: 'object',
  properties: { name: { type: 'string' }, children: { type: 'array', items: { $ref: '#' } } },
  required: ['name', 'children'],
  additionalProperties: false,
};
const SCHEMAS: object[] = [
  { type: 'string', minLength: 20, maxLength: 22 },
  { type: 'string', format: 'date-time' },
  { type: 'string', format: 'uuid' },
  { type: 'string', pattern: '^[A-Z]{2}-\\d{3,5}(?:-x|-y)?$' },
  { type: 'string', pattern: '^@[a-zA-Z0-9_]+$' },
  { type: 'integer', minimum: 3, exclusiveMaximum: 5 },
  { type: 'number', exclusiveMinimum: 0, maximum: 0.25 },
  { type: 'number', multipleOf: 0.25, minimum: -1, maximum: 1 },
  { type: ['string', 'null'] },
  { const: 'x' },
  { enum: [1, 'two', null] },
  { type: 'array', items: { type: 'boolean' }, minItems: 5, maxItems: 6 },
  {
    allOf: [
      { type: 'object', properties: { a: { type: 'string' } }, required: ['a'] },
      { type: 'object', properties: { b: { type: 'integer' } }, required: ['b'] },
    ],
  },
  TREE,
  LIST,
];

it.each(SCHEMAS.map((schema) => [JSON.stringify(schema).slice(0, 70), schema]))(
  'writes what is valid: %s',
  (_, schema) => {
    const reads = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
    for (let seed = 0; seed < 40; seed++) {
      const value = validValue(schema, seededRandom(seed, 'schema'));
      expect(reads.safeParse(value), JSON.stringify(value)).toMatchObject({ success: true });
    }
  },
);

describe('what an upstream counts', () => {
  const messages = Array.from({ length: 20 }, (_, at) => ({
    role: at % 2 ? ('assistant' as const) : ('user' as const),
    content: `A message, number ${at}.`,
  }));
  const count = async () => {
    await bench.sdk7.chat.completions.create({ model: 'gpt-4o', messages });
    return bench.lastLine().usage.input_tokens;
  };

  it('depends on its tokeniser and on its habit', async () => {
    const usual = await count();
    bench.simulator.setProfile({ tokeniser: 'byte' });
    expect(await count()).toBeGreaterThan(2 * usual);
    bench.simulator.setProfile({ tokeniser: 'code' });
    const coded = await count();
    expect(coded).not.toBe(usual);
    bench.simulator.setProfile({ habit: 'longer_turns' });
    expect(await count()).toBeGreaterThan(coded);
    bench.simulator.setProfile({ habit: 'json' });
    const json = await count();
    expect(json).toBeGreaterThan(coded + 20 * 13);
    bench.simulator.setProfile({ habit: 'reminders' });
    expect(await count()).toBe(json + 120);
    bench.simulator.setProfile({ habit: 'date_line' });
    expect((await count()) - json).toBeGreaterThanOrEqual(54);
  });
});
