/**
 * Agents on an upstream whose tokeniser and habits the gateway does not know, over real HTTP: whatever it counts, no call
 * is billed above its hold, and ledger and invoice are equal.
 */
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { HABITS, REASONING_CONTEXTS } from '../../src/simulator/reading.ts';
import { disagreements, readEvents } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
let key: string;
beforeAll(async () => {
  stack = await startStack({ simulator: { profile: { cacheChance: 0, medianOutputTokens: 200 } } });
  ({ key } = await stack.team({ grantUsd: '10000.00' }));
});
afterAll(() => stack.stop());

const TOOLS = ['read_file', 'write_file'].map((name) => ({
  type: 'function',
  name,
  description: 'Of the project. '.repeat(20),
  parameters: { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] },
}));
const CHAT_TOOLS = TOOLS.map(({ type, ...inner }) => ({ type, function: inner }));
const INSTRUCTIONS = 'You are a careful agent. '.repeat(200);
const IMAGE = 'https://images.example/one.png';
const TASK = 'read_file {"path":"a"} and read_file {"path":"b"}, then write_file';

type Item = Record<string, unknown>;

/** Repeats a 503 as the SDKs do: on a busy machine Postgres may be slow to lend. */
async function ask(path: string, body: object): Promise<Item> {
  for (let tries = 1; ; tries++) {
    const response = await stack.post(key, path, body);
    const text = await response.text();
    if (response.ok) return JSON.parse(text) as Item;
    if (response.status !== 503 || tries === 20) throw new Error(text);
    await setTimeout(Number(response.headers.get('retry-after-ms')));
  }
}

/** Two turns of an agent that sends its whole history, with encrypted reasoning. */
async function respond(model: string): Promise<void> {
  const settings = {
    model,
    store: false,
    include: ['reasoning.encrypted_content'],
    max_output_tokens: 4000,
    reasoning: { summary: 'auto' },
  };
  const picture = { type: 'input_image', image_url: IMAGE, detail: 'low' };
  const input: Item[] = [];
  for (const text of [TASK, `again ${TASK}`]) {
    input.push({
      role: 'user',
      content: [{ type: 'input_text', text }, ...(model === 'gpt-5' ? [picture] : [])],
    });
    for (let calls: Item[] = [{}]; calls.length > 0; ) {
      const body = { ...settings, instructions: INSTRUCTIONS, tools: TOOLS, input, truncation: 'auto' };
      const output = (await ask('/responses', body)).output as Item[];
      calls = output.filter(({ type }) => type === 'function_call');
      input.push(...output);
      for (const { call_id } of calls) {
        input.push({ type: 'function_call_output', call_id, output: '[{"line":1}]\n'.repeat(20) });
      }
    }
  }
}

async function chat(model: string): Promise<void> {
  const messages: Item[] = [{ role: 'system', content: INSTRUCTIONS }];
  for (const content of [TASK, `again ${TASK}`]) {
    messages.push({ role: 'user', content });
    for (let calls: Item[] = [{}]; calls.length > 0; ) {
      const body = { model, tools: CHAT_TOOLS, messages, max_completion_tokens: 4000 };
      const [choice] = (await ask('/chat/completions', body)).choices as { message: Item }[];
      calls = (choice!.message.tool_calls ?? []) as Item[];
      messages.push(choice!.message);
      for (const { id } of calls)
        messages.push({ role: 'tool', tool_call_id: id, content: '漢字 état\n'.repeat(20) });
    }
  }
}

/** Every habit, and every way to read reasoning again, in pairs. */
const PAIRS = Array.from({ length: Math.max(HABITS.length, REASONING_CONTEXTS.length) }, (_, at) => ({
  habit: HABITS[at % HABITS.length]!,
  reasoningContext: REASONING_CONTEXTS[at % REASONING_CONTEXTS.length]!,
}));

it.each(PAIRS)('$habit, reasoning $reasoningContext: no call is billed above its hold', async (pair) => {
  stack.simulator.setProfile({ ...pair, tokeniser: 'code' });
  const before = stack.simulator.invoice().line_count;
  await Promise.all([respond('gpt-5'), respond('gpt-5.6-terra'), chat('gpt-5-mini')]);
  await stack.idle();
  const { lines, line_count } = stack.simulator.invoice();
  expect(disagreements(await readEvents(stack), lines)).toEqual([]);
  // Three agents of two turns, each of three calls.
  expect(line_count - before).toBeGreaterThanOrEqual(18);
});

it('a name that is re-pointed to a dearer tokeniser: one call is billed above its hold, and none after it', async () => {
  const messages = [{ role: 'system', content: INSTRUCTIONS.repeat(2) }];
  const teamId = (await stack.admin<{ data: { id: string }[] }>('GET', '/teams')).data[0]!.id;
  for (const tokeniser of ['quarter', 'quarter', 'byte', 'byte', 'byte'] as const) {
    stack.simulator.setProfile({ habit: 'frames', tokeniser });
    messages.push({ role: 'user', content: 'Go on.' });
    await ask('/chat/completions', { model: 'gpt-5-nano', messages, max_completion_tokens: 500 });
  }
  await stack.idle();
  const events = (await readEvents(stack, teamId)).filter(({ model }) => model?.startsWith('gpt-5-nano'));
  expect(events.map(({ reason }) => reason)).toEqual([null, null, 'overrun', null, null]);
  for (const { reason, hold_usd, cost_usd } of events) {
    expect(usd(hold_usd) < usd(cost_usd)).toBe(reason === 'overrun');
  }
});
