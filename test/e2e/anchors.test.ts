/** An agent repeats its history with each call: what the upstream counted for it before bounds what it costs now. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { billed, disagreements, readEvents, sumOf, type UsageEvent } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
let key: string;
let teamId: string;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());
beforeEach(async () => {
  ({ key, teamId } = await stack.team({ grantUsd: '1000.00' }));
});

const OUTPUT = 100;
/** Pico-USD for a token of gpt-5-mini: $0.25 and $2.00 a million. */
const INPUT_PRICE = 250_000n;
const OUTPUT_PRICE = 2_000_000n;
/** The input tokens that a call was held at. */
const heldInput = ({ hold_usd }: UsageEvent): number =>
  Number((usd(hold_usd) - BigInt(OUTPUT) * OUTPUT_PRICE) / INPUT_PRICE);
const ratio = (event: UsageEvent): number => heldInput(event) / (event.input_tokens ?? 0);
const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

type Message = Record<string, unknown>;
const tool = (name: string) => ({
  type: 'function',
  function: { name, description: 'Reads a file of the project. '.repeat(8), parameters: { type: 'object' } },
});
const SYSTEM = { role: 'system', content: 'You are a careful agent. '.repeat(300) };
const opening = (task: string): Message[] => [SYSTEM, { role: 'user', content: task }];
/** What an agent adds for its next call. */
const step = (turn: number): Message[] => [
  {
    role: 'assistant',
    content: null,
    tool_calls: [
      { id: `c${turn}`, type: 'function', function: { name: 'read', arguments: `{"n":${turn}}` } },
    ],
  },
  { role: 'tool', tool_call_id: `c${turn}`, content: `line ${turn} of a file. `.repeat(40) },
];

async function chat(messages: Message[], fields: object = {}, by = key): Promise<void> {
  const body = {
    model: 'gpt-5-mini',
    max_completion_tokens: OUTPUT,
    tools: [tool('read')],
    messages,
    ...fields,
  };
  const response = await stack.post(by, '/chat/completions', body);
  if (!response.ok) throw new Error(await response.text());
  await response.text();
}

async function respond(input: Message[], fields: object = {}): Promise<void> {
  const body = { model: 'gpt-5-mini', max_output_tokens: OUTPUT, input, store: false, ...fields };
  const response = await stack.post(key, '/responses', body);
  if (!response.ok) throw new Error(await response.text());
  await response.text();
}

describe('an agent of twenty turns', () => {
  it.each([false, true])(
    'is held close to its bill from its second turn on, streamed: %s',
    async (stream) => {
      const messages = opening('Mend the build.');
      for (let turn = 1; turn <= 20; turn++) {
        await chat(messages, { stream });
        messages.push(...step(turn));
      }
      const events = await readEvents(stack, teamId);
      expect(events).toHaveLength(20);
      expect(ratio(events[0]!)).toBeGreaterThan(3);
      expect(median(events.slice(1).map(ratio))).toBeLessThan(1.3);
      for (const event of events) expect(usd(event.hold_usd)).toBeGreaterThanOrEqual(usd(event.cost_usd));
    },
  );

  it('is so with responses whose instructions have a clock', async () => {
    const input: Message[] = [{ role: 'user', content: SYSTEM.content }];
    for (let turn = 1; turn <= 20; turn++) {
      const instructions = `It is 10:${turn}. Be careful.`;
      await respond(input, { instructions });
      const output = `line ${turn} of a file. `.repeat(40);
      const call = { type: 'function_call', call_id: `c${turn}`, name: 'read', arguments: '{}' };
      input.push(call, { type: 'function_call_output', call_id: `c${turn}`, output });
    }
    const events = await readEvents(stack, teamId);
    expect(median(events.slice(1).map(ratio))).toBeLessThan(1.3);
  });
});

it.each(['all_turns', 'undocumented'] as const)(
  'bounds an agent that sends its encrypted reasoning back, of which the model reads %s',
  async (reasoningContext) => {
    stack.simulator.setProfile({ reasoningContext });
    const team = await stack.team({ grantUsd: '1000.00' });
    const input: Message[] = [{ role: 'user', content: SYSTEM.content }];
    for (let turn = 1; turn <= 8; turn++) {
      const fields = { include: ['reasoning.encrypted_content'], max_output_tokens: 1000 };
      const body = { model: 'gpt-5-mini', input, store: false, ...fields };
      const response = await stack.post(team.key, '/responses', body);
      const { output } = (await response.json()) as { output: Message[] };
      input.push(...output, { role: 'user', content: `line ${turn} of a file. `.repeat(40) });
    }
    stack.simulator.setProfile({ reasoningContext: 'all_turns' });
    const events = await readEvents(stack, team.teamId);
    const ratios = events.map(({ hold_usd, input_tokens }) => {
      const held = Number((usd(hold_usd) - 1000n * OUTPUT_PRICE) / INPUT_PRICE);
      return held / (input_tokens ?? 0);
    });
    expect(median(ratios.slice(1))).toBeLessThan(reasoningContext === 'all_turns' ? 1.4 : 2.2);
    for (const event of events) expect(usd(event.hold_usd)).toBeGreaterThanOrEqual(usd(event.cost_usd));
  },
);

describe('what was counted before', () => {
  const last = async (): Promise<UsageEvent> => (await readEvents(stack, teamId)).at(-1)!;
  const history = [...opening('Mend the build.'), ...step(1), ...step(2), ...step(3)];

  it('bounds a call with an edit, a fork, a tool more, or another first task', async () => {
    for (const items of [2, 4, 6, 8]) await chat(history.slice(0, items));
    await chat([...history.slice(0, -1), { ...history.at(-1), content: 'edited' }]);
    expect(ratio(await last())).toBeLessThan(1.7);
    await chat([...history.slice(0, 2), ...step(7)]);
    expect(ratio(await last())).toBeLessThan(2.2);
    await chat(history, { tools: [tool('read'), tool('write')] });
    expect(ratio(await last())).toBeLessThan(1.4);
    await chat(opening('Write the docs.'));
    expect(ratio(await last())).toBeLessThan(2.5);
  });

  it.each<[string, object, (messages: Message[]) => unknown]>([
    ['another model', { model: 'gpt-5' }, (messages) => messages],
    ['another option', { tool_choice: 'none' }, (messages) => messages],
    ['another first item', {}, ([first, ...rest]) => [{ ...first, name: 'x' }, ...rest.slice(0, 1)]],
  ])('bounds no call with %s by its items', async (_, fields, change) => {
    await chat(history);
    const known = await last();
    await chat(change(history) as Message[], fields);
    const event = await last();
    const perToken = 'model' in fields ? 5n : 1n;
    const held = Number((usd(event.hold_usd) / perToken - BigInt(OUTPUT) * OUTPUT_PRICE) / INPUT_PRICE);
    expect(held).toBeGreaterThan(2 * (event.input_tokens ?? 0));
    expect(known.id).not.toBe(event.id);
  });

  it('bounds no call of another team', async () => {
    await chat(history);
    await chat(history);
    expect(ratio(await last())).toBeLessThan(1.2);
    const other = await stack.team({ grantUsd: '1000.00' });
    await chat(history, {}, other.key);
    const events = await readEvents(stack, other.teamId);
    expect(ratio(events[0]!)).toBeGreaterThan(2.5);
  });

  it('is nothing for a body in which a name stands twice, or whose upstream reported no usage', async () => {
    const body = JSON.stringify({ model: 'gpt-5-mini', max_completion_tokens: OUTPUT, messages: history });
    for (let time = 0; time < 2; time++) {
      const response = await stack.post(key, '/chat/completions', body.replace('{', '{"seed":1,"seed":2,'));
      expect(response.status).toBe(200);
      await response.text();
    }
    expect(ratio(await last())).toBeGreaterThan(2.5);
  });

  it('is not remembered of calls that stand alone, until their team goes on with a conversation', async () => {
    for (let call = 1; call <= 3; call++) await chat(opening('Mend the build.'));
    expect(ratio(await last())).toBeGreaterThan(3);
    for (let call = 1; call <= 3; call++) await chat(history);
    await chat(opening('Write the docs.'));
    await chat(opening('Write the docs.'));
    expect(ratio(await last())).toBeLessThan(1.2);
  });

  it('is remembered of a call that stands alone where its bytes would take much of what is free', async () => {
    const { key: poor, teamId: poorId } = await stack.team({ grantUsd: '0.04' });
    for (let call = 1; call <= 2; call++) await chat(opening('Mend the build.'), {}, poor);
    const [first, second] = await readEvents(stack, poorId);
    expect(ratio(first!)).toBeGreaterThan(3);
    expect(ratio(second!)).toBeLessThan(1.2);
  });

  it('ends for the model when a bill is above it, and is said', async () => {
    await chat(history, { model: 'gpt-5-nano' });
    stack.simulator.setMode('worst');
    await chat(history, { model: 'gpt-5-nano' });
    stack.simulator.setMode('normal');
    await chat(history, { model: 'gpt-5-nano' });
    const page = await (await fetch(`${stack.app.url}/metrics`)).text();
    expect(page).toMatch(/^tollgate_anchor_breaks_total 1$/m);
    const [, broken, after] = await readEvents(stack, teamId);
    expect(broken?.reason).toBe('overrun');
    expect(usd(after!.hold_usd)).toBeGreaterThan(usd(broken!.hold_usd) * 2n);
  });
});

it('leaves ledger and invoice equal', async () => {
  await stack.idle();
  await stack.settled();
  const events = await readEvents(stack);
  expect(sumOf(events)).toBe(billed(stack));
  const { lines } = stack.simulator.invoice();
  const isOverrun = ({ reason }: UsageEvent) => reason === 'overrun';
  const found = disagreements(events, lines);
  expect(found.filter((why) => !why.startsWith('billed above its hold'))).toEqual([]);
  expect(events.filter(isOverrun)).toHaveLength(1);
});
