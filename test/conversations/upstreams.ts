/** Upstreams whose tokeniser and habits the gateway does not know: what each counts for an input. */
import { encode } from 'gpt-tokenizer/encoding/cl100k_base';
import type { Random } from '../support/random.ts';

export type Item = Record<string, unknown>;

export interface Body {
  model: string;
  instructions: string;
  tools: Item[];
  input: Item[];
  store: boolean;
  truncation?: 'auto';
  reasoning?: { context: 'current_turn' };
}

export type Tokeniser = (text: string) => number;

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

export const TOKENISERS: Record<string, Tokeniser> = {
  cl100k: (text) => encode(text).length,
  'a random code': randomCode(0x9e37),
  'a byte each': (text) => Buffer.byteLength(text),
};

/** What an upstream counts for an input. @param reasoningOf the tokens behind an item of reasoning */
type Count = (call: Call) => number;

interface Call {
  body: Body;
  count: Tokeniser;
  random: Random;
  reasoningOf: (item: Item) => number;
}

export interface Habit {
  count: Count;
  /** What its responses say of earlier reasoning. */
  says?: 'all_turns' | 'current_turn';
  /** The conversations bring reasoning, images by their address, or let it cut them. */
  brings?: 'reasoning' | 'images' | 'truncation';
  /** Its clients ask for the reasoning of the current turn. */
  isAsked?: boolean;
}

const textOf = (item: Item): string =>
  [item.content, item.arguments, item.output, item.name].filter((part) => typeof part === 'string').join('');
const sum = (numbers: number[]): number => numbers.reduce((total, each) => total + each, 0);
const outside = ({ body: { tools, instructions }, count }: Call): number =>
  sum(tools.map((tool) => count(JSON.stringify(tool)))) + count(instructions) + 3;
const plain: Count = (call) =>
  outside(call) + sum(call.body.input.map((item) => call.count(textOf(item)) + 11));
/** What is encrypted is no text. */
const shown = (item: Item): string => JSON.stringify({ ...item, encrypted_content: undefined });
const worst: Count = (call) =>
  outside(call) + sum(call.body.input.map((item) => call.count(shown(item)) + 16));
/** The items since the user's last message. */
const turnOf = ({ input }: Body): Item[] =>
  input.slice(input.findLastIndex(({ role }) => role === 'user') + 1);
const reasoningIn = (items: Item[], { reasoningOf }: Call): number => sum(items.map(reasoningOf));

export const TOOL_NAME = 'a_function_with_quite_a_long_name_of_its_own';

export const HABITS: Record<string, Habit> = {
  'frames each item': { count: plain },
  'reads the JSON of each item, and frames it at its worst': { count: worst },
  'reads all reasoning again': {
    count: (call) => worst(call) + reasoningIn(call.body.input, call),
    says: 'all_turns',
    brings: 'reasoning',
  },
  'reads the reasoning of the current turn': {
    count: (call) => plain(call) + reasoningIn(turnOf(call.body), call),
    says: 'current_turn',
    brings: 'reasoning',
  },
  'reads the reasoning of the current turn, as it was asked': {
    count: (call) => plain(call) + reasoningIn(turnOf(call.body), call),
    says: 'current_turn',
    brings: 'reasoning',
    isAsked: true,
  },
  'says the reasoning of the current turn, and sometimes reads all': {
    count: (call) =>
      plain(call) + reasoningIn(call.random.chance(0.5) ? call.body.input : turnOf(call.body), call),
    says: 'current_turn',
    brings: 'reasoning',
  },
  'drops or keeps reasoning at random': {
    count: (call) =>
      worst(call) +
      reasoningIn(
        call.body.input.filter(() => call.random.chance(0.5)),
        call,
      ),
    brings: 'reasoning',
  },
  'reads an answer as longer than it was written': {
    count: (call) =>
      outside(call) +
      sum(
        call.body.input.map((item) => {
          const text = textOf(item);
          const tokens = call.count(text);
          const longer = item.role === 'assistant' ? Math.ceil(tokens * 1.5) : tokens;
          return Math.min(Buffer.byteLength(text), longer) + 11;
        }),
      ),
  },
  'writes a line with the date': { count: (call) => worst(call) + call.random.between(0, 60) },
  'writes a reminder each ten items': {
    count: (call) => plain(call) + 60 * Math.floor(call.body.input.length / 10),
  },
  'heads the output of a tool with its name': {
    count: (call) =>
      worst(call) +
      sum(call.body.input.map(({ type }) => (type === 'function_call_output' ? call.count(TOOL_NAME) : 0))),
  },
  'finds a larger image at an address': {
    count: (call) =>
      worst(call) +
      sum(call.body.input.map(({ content }) => (Array.isArray(content) ? call.random.between(1, 600) : 0))),
    brings: 'images',
  },
  'leaves out the oldest items where it may': {
    count: (call) => {
      const { input } = call.body;
      const left = call.random.chance(0.5) ? input.slice(Math.floor(input.length / 2)) : input;
      return worst({ ...call, body: { ...call.body, input: left } });
    },
    brings: 'truncation',
  },
};
