/**
 * Random conversations with upstreams whose tokeniser and habits the gateway does not know: whatever they count, no call is
 * held at less. Items are tiny on purpose, so that framing weighs as much as it can.
 */
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import { describe, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { estimate } from '../../src/domain/estimate.ts';
import { Anchors } from '../../src/gateway/anchors.ts';
import { book, NOW } from '../domain/fixtures.ts';
import { accepted } from '../openai/read.ts';
import { Random } from '../support/random.ts';

type Item = Record<string, unknown>;
interface Body {
  model: string;
  instructions: string;
  tools: Item[];
  input: Item[];
  store: boolean;
}
type Tokeniser = (text: string) => number;

/** Each pair of bytes decides how long its token is: the text says nothing of it. */
function randomCode(seed: number): Tokeniser {
  return (text) => {
    const bytes = Buffer.from(text);
    let tokens = 0;
    for (let at = 0; at < bytes.length; tokens++)
      at += 1 + ((((bytes[at]! * 31 + (bytes[at + 1] ?? 0)) * seed) >>> 3) % 5);
    return tokens;
  };
}
const TOKENISERS: Record<string, Tokeniser> = {
  cl100k: (text) => encode(text).length,
  'a random code': randomCode(0x9e37),
  'a byte each': (text) => Buffer.byteLength(text),
};

/** What an upstream counts for an input. */
type Habit = (body: Body, count: Tokeniser, random: Random) => number;

const textOf = (item: Item): string =>
  [item.content, item.arguments, item.output, item.name].filter((part) => typeof part === 'string').join('');
const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);
const reasoningOf = (item: Item): number => (item.type === 'reasoning' ? Number(item.id) : 0);
const outside = ({ tools, instructions }: Body, count: Tokeniser): number =>
  sum(tools.map((tool) => count(JSON.stringify(tool)))) + count(instructions) + 3;
const plain: Habit = (body, count) =>
  outside(body, count) + sum(body.input.map((item) => count(textOf(item)) + 11));
/** The items since the user's last message. */
const turnOf = ({ input }: Body): Item[] => input.slice(input.findLastIndex(({ role }) => role === 'user'));

const HABITS: Record<string, Habit> = {
  'frames each item': plain,
  'reads the JSON of each item, and frames it at its worst': (body, count) =>
    outside(body, count) + sum(body.input.map((item) => count(JSON.stringify(item)) + 16)),
  'reads all reasoning again': (...call) => plain(...call) + sum(call[0].input.map(reasoningOf)),
  'reads the reasoning of the current turn': (...call) =>
    plain(...call) + sum(turnOf(call[0]).map(reasoningOf)),
  'drops or keeps reasoning at random': (...call) =>
    plain(...call) + sum(call[0].input.map((item) => (call[2].chance(0.5) ? reasoningOf(item) : 0))),
  'reads an answer as longer than it was written': (body, count) =>
    outside(body, count) +
    sum(
      body.input.map((item) => {
        const text = textOf(item);
        const longer = item.role === 'assistant' ? Math.ceil(count(text) * 1.5) : count(text);
        return Math.min(Buffer.byteLength(text), longer) + 11;
      }),
    ),
  'writes a line with the date': (...call) =>
    HABITS['reads the JSON of each item, and frames it at its worst']!(...call) + call[2].between(0, 60),
  'writes a reminder each ten items': (...call) =>
    plain(...call) + 60 * Math.floor(call[0].input.length / 10),
  'heads the output of a tool with its name': (body, count) =>
    HABITS['reads the JSON of each item, and frames it at its worst']!(body, count, new Random(1)) +
    sum(body.input.map(({ type }) => (type === 'function_call_output' ? count(TOOL_NAME) : 0))),
  'finds a larger image at an address': (...call) =>
    HABITS['reads the JSON of each item, and frames it at its worst']!(...call) +
    sum(call[0].input.map(({ content }) => (Array.isArray(content) ? call[2].between(1, 600) : 0))),
};

const TOOL_NAME = 'a_function_with_quite_a_long_name_of_its_own';

const words = (random: Random, most: number): string =>
  Array.from({ length: random.between(1, most) }, () =>
    random.pick(['the ', 'état ', '数据 ', 'x', '{"a":1}', 'zzzzzz', '\n\t', '𐍈 ', 'return ']),
  ).join('');

/** A tool whose bytes nothing else has. */
const tool = (random: Random): Item => ({
  type: 'function',
  name: `f${random.between(1, 4)}`,
  parameters: { type: 'object', description: 'd'.repeat(random.between(1, 300)) },
});

/** The items of one step of an agent. */
function step(random: Random, hasReasoning: boolean, hasImages: boolean): Item[] {
  const reasoning = {
    type: 'reasoning',
    id: String(random.between(0, 5000)),
    summary: [],
    encrypted_content: 'x',
  };
  const thinks = hasReasoning && random.chance(0.5) ? [reasoning] : [];
  const image = {
    role: 'user',
    content: [{ type: 'input_image', image_url: 'https://a/b.png', detail: 'high' }],
  };
  if (hasImages && random.chance(0.3)) return [image];
  if (random.chance(0.5)) {
    const output = { type: 'function_call_output', call_id: 'c', output: words(random, 8) };
    return [
      ...thinks,
      { type: 'function_call', call_id: 'c', name: TOOL_NAME, arguments: words(random, 3) },
      output,
    ];
  }
  const answer = { role: 'assistant', content: words(random, 10) };
  return [...thinks, answer, { role: 'user', content: words(random, 4) }];
}

/** What a client does between two calls: goes on, edits, forks, drops, appends, changes its tools or its clock. */
function goOn(body: Body, random: Random, hasReasoning: boolean, hasImages: boolean): Body {
  const next = structuredClone(body);
  const at = random.between(1, next.input.length);
  const roll = random.fraction();
  if (roll < 0.08) next.input.splice(at);
  else if (roll < 0.14) next.input.splice(at, 0, { role: 'user', content: words(random, 3) });
  else if (roll < 0.18 && next.input.length > 3) next.input.splice(at, 1);
  else if (roll < 0.22) {
    const last = next.input.at(-1)!;
    if (typeof last.content === 'string') last.content += words(random, 5);
  } else if (roll < 0.28)
    next.tools.push(random.chance(0.5) ? tool(random) : structuredClone(random.pick(next.tools)));
  else if (roll < 0.32 && next.tools.length > 1) next.tools.pop();
  else if (roll < 0.4) next.instructions = words(random, 60);
  next.input.push(...step(random, hasReasoning, hasImages));
  return next;
}

function start(random: Random): Body {
  const content = random.pick(['a', 'b']).repeat(random.between(3500, 4200));
  const tools = [tool(random)];
  const input = [{ role: 'user', content }];
  return { model: 'gpt-5', instructions: words(random, 40), tools, input, store: false };
}

const card = book.find('gpt-5', NOW)!;

/** Returns how far each call's bounds are above its bill, in tokens, and how many calls earlier ones bounded. */
function play(habit: string, tokeniser: string, seed: number) {
  const random = new Random(seed);
  const anchors = new Anchors();
  const room: number[] = [];
  let anchored = 0;
  for (let conversation = 0; conversation < 3; conversation++) {
    let body = start(random);
    for (let call = 0; call < 8; call++) {
      const { operation, inputParts } = accepted('responses', body);
      const scope = { teamId: 't', model: body.model };
      const rule = card.limits.imageRule;
      const use =
        inputParts === null ? null : anchors.find(scope, inputParts, operation.beyondText, rule, NOW);
      const held = estimate(operation, card, { strict: true, inputAtMost: use?.bound ?? null });
      if (isApiError(held)) throw held;
      const bill = HABITS[habit]!(body, TOKENISERS[tokeniser]!, random);
      // What encrypted reasoning weighs is recalled, and not known here.
      const isWhole = (operation.beyondText?.references ?? null) === null;
      // Where more is billed than there are bytes, the bytes' own bound does not hold, and what was counted still does.
      const bytes = estimate(operation, card, { strict: true });
      if (isApiError(bytes)) throw bytes;
      if (isWhole && bytes.inputTokens >= bill) room.push(held.inputTokens - bill);
      if (use?.bound != null) {
        room.push(use.bound - bill);
        anchored++;
      }
      if (use !== null) anchors.learn(use, bill, NOW);
      body = goOn(body, random, habit.includes('reasoning'), habit.includes('image'));
    }
  }
  return { room, anchored };
}

/** 24 calls each. */
const SEEDS = 20;

describe.each(Object.keys(HABITS))('an upstream that %s', (habit) => {
  it.each(Object.keys(TOKENISERS))('bills no call above its hold, counted by %s', (tokeniser) => {
    let anchored = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const played = play(habit, tokeniser, seed);
      expect(Math.min(...played.room), `seed ${seed}`).toBeGreaterThanOrEqual(0);
      anchored += played.anchored;
    }
    expect(anchored).toBeGreaterThan(20);
  });
});
