/**
 * A thousand generated training files against a judge that shares nothing with the planner: OpenAI's own tokeniser (tiktoken,
 * compiled from its Rust), the published framing and tools formula, the published prices, all written here a second time.
 */
import { get_encoding, type Tiktoken, type TiktokenEncoding } from 'tiktoken';
import { afterAll, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { usd } from '../../src/domain/money.ts';
import { RateCards } from '../../src/domain/price.ts';
import { priceBook } from '../../src/planner/book.ts';
import { countTrainingFile } from '../../src/planner/count-file.ts';
import { estimate } from '../../src/planner/estimate.ts';
import type { FineTuneEstimate } from '../../src/planner/fine-tune.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const FILES = 1_000;
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');
const seed = readSeed();
const book = priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);

/** Published: USD for a million trained tokens, the encoding, the longest example, what a tool's frame has. */
const MODELS = [
  { model: 'gpt-4o-mini-2024-07-18', usd: 3n, encoding: 'o200k_base', longest: 65_536, perTool: 7 },
  { model: 'gpt-4.1-2025-04-14', usd: 25n, encoding: 'o200k_base', longest: Infinity, perTool: 7 },
  { model: 'gpt-3.5-turbo', usd: 8n, encoding: 'cl100k_base', longest: 16_385, perTool: 10 },
  { model: 'davinci-002', usd: 6n, encoding: 'cl100k_base', longest: Infinity, perTool: 10 },
] as const;

const encodings = new Map<TiktokenEncoding, Tiktoken>();
const known = new Map<string, number>();

/** Counts with OpenAI's tokeniser; what stands in every example is counted once. */
function counterOf(name: TiktokenEncoding): (text: string) => number {
  const encoding = encodings.get(name) ?? get_encoding(name);
  encodings.set(name, encoding);
  return (text) => {
    const key = `${name} ${text}`;
    const tokens = known.get(key) ?? encoding.encode_ordinary(text).length;
    if (text.length < 100) known.set(key, tokens);
    return tokens;
  };
}

afterAll(() => {
  for (const encoding of encodings.values()) encoding.free();
});

/** A small generator of pseudo-random numbers (mulberry32). */
function randomOf(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}
type Random = ReturnType<typeof randomOf>;

const ENGLISH =
  "the model learns from examples that you give it; it doesn't count words, it counts tokens, 1,234 of them. Training costs money".split(
    ' ',
  );
const CHINESE =
  '训练一个模型需要很多数据和时间，费用按照令牌数计算。我们先估算成本，然后再开始训练：请注意预算！';
const ODD = [
  '<|endoftext|>',
  '\n\n',
  '\t',
  '🙂👩‍👩‍👧',
  'naïve café',
  'ﬀ',
  '0000000',
  '=====',
  '    ',
  'https://a.example/?q=1&r=%20',
  'ÅÄÖ',
  '\u200b',
];

function textOf(random: Random): string {
  const words = 4 + random(20);
  const kind = random(12);
  const parts: string[] = [];
  for (let at = 0; at < words; at++) {
    if (kind < 6) parts.push(ENGLISH[random(ENGLISH.length)]!);
    else if (kind < 10) parts.push(CHINESE.slice(random(20), 20 + random(CHINESE.length - 20)).slice(0, 12));
    else parts.push(random(3) === 0 ? ODD[random(ODD.length)]! : ENGLISH[random(ENGLISH.length)]!);
  }
  if (random(1500) === 0) parts.push(['a', '我', 'aB', '9', 'é'][random(5)]!.repeat(1000 + random(1500)));
  return parts.join(kind >= 6 && kind < 10 ? '' : ' ');
}

interface Message {
  role: string;
  content: unknown;
  [name: string]: unknown;
}

const TOOL = (random: Random) => ({
  type: 'function',
  function: {
    name: `find_${ENGLISH[random(4)]}`,
    description: `${textOf(random).slice(0, 80)}.`,
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string', description: 'The city, as people write it.' },
        unit: { type: 'string', description: 'unit', enum: ['celsius', 'fahrenheit'] },
      },
      required: ['city'],
    },
  },
});

function exampleOf(random: Random, isCompletion: boolean): unknown {
  if (isCompletion) return { prompt: textOf(random), completion: ` ${textOf(random)}` };
  const messages: Message[] = [];
  if (random(2) === 0) messages.push({ role: 'system', content: textOf(random) });
  for (let turn = 0; turn <= random(2); turn++) {
    const content = random(6) === 0 ? [{ type: 'text', text: textOf(random) }] : textOf(random);
    messages.push({ role: 'user', content, ...(random(5) === 0 ? { name: 'ada' } : {}) });
    messages.push({ role: 'assistant', content: textOf(random), ...(random(4) === 0 ? { weight: 1 } : {}) });
  }
  if (random(4) !== 0) return { messages };
  const call = {
    id: 'call_1',
    type: 'function',
    function: { name: 'find_the', arguments: '{"city":"上海"}' },
  };
  messages.push({ role: 'assistant', content: null, tool_calls: [call] });
  messages.push({ role: 'tool', tool_call_id: 'call_1', content: textOf(random) });
  return { messages, tools: [TOOL(random), TOOL(random)] };
}

const BROKEN = ['', '{', 'null,', '{"messages": [{"role": "user"', "{'messages': []}"];

function fileOf(random: Random, isCompletion: boolean): Buffer {
  const lines: string[] = [];
  const examples = 10 + random(3);
  for (let at = 0; at < examples; at++) {
    lines.push(JSON.stringify(exampleOf(random, isCompletion)));
    if (random(40) === 0) lines.push(BROKEN[random(BROKEN.length)]!);
  }
  // Now and then one that is longer than what is trained of one.
  if (random(100) === 0) {
    const long = `${ENGLISH.join(' ')} `.repeat(700);
    const messages = [
      { role: 'user', content: 'go on' },
      { role: 'assistant', content: long },
    ];
    lines.push(JSON.stringify(isCompletion ? { prompt: long, completion: '.' } : { messages }));
  }
  return Buffer.from(lines.join(random(2) === 0 ? '\n' : '\r\n') + (random(2) === 0 ? '\n' : ''));
}

/** The published formula for tools (OpenAI Cookbook, num_tokens_for_tools). */
function judgeTools(tools: ReturnType<typeof TOOL>[], perTool: number, count: (text: string) => number) {
  let tokens = 12;
  for (const { function: one } of tools) {
    tokens += perTool + count(`${one.name}:${one.description.replace(/\.$/, '')}`) + 3;
    for (const [key, value] of Object.entries(one.parameters.properties)) {
      tokens += 3 + count(`${key}:${value.type}:${value.description.replace(/\.$/, '')}`);
      if ('enum' in value) tokens += -3 + value.enum.reduce((sum, item) => sum + 3 + count(item), 0);
    }
  }
  return tokens;
}

/** The published count of an example (OpenAI Cookbook, num_tokens_from_messages). */
function judgeExample(line: string, perTool: number, count: (text: string) => number): number | null {
  let json: { messages?: Message[]; prompt?: string; completion?: string; tools?: ReturnType<typeof TOOL>[] };
  try {
    json = JSON.parse(line);
  } catch {
    return null;
  }
  if (json.messages === undefined) return count(json.prompt ?? '') + count(json.completion ?? '');
  let tokens = 3;
  for (const message of json.messages) {
    tokens += 3;
    for (const [name, value] of Object.entries(message)) {
      if (name === 'weight' || value === null) continue;
      if (name === 'name') tokens += 1;
      if (name === 'content' && Array.isArray(value)) tokens += count(value[0].text);
      else tokens += count(typeof value === 'string' ? value : JSON.stringify(value));
    }
  }
  return json.tools === undefined ? tokens : tokens + judgeTools(json.tools, perTool, count);
}

async function estimated(model: string, epochs: 'auto' | number, file: Buffer): Promise<FineTuneEstimate> {
  const cut = 1 + (file.length % 1000);
  const found = await estimate(
    { kind: 'fine_tune', model, epochs },
    {
      readBook: () => Promise.resolve(book),
      countTraining: (job) => countTrainingFile(job, [file.subarray(0, cut), file.subarray(cut)]),
      readBatch: () => Promise.resolve(null),
      nowMs: NOW_MS,
    },
  );
  if (isApiError(found) || found.kind !== 'fine_tune') throw new Error('no estimate');
  return found;
}

it('an estimate is at least the bill, and within 5 % of it', { timeout: 60_000 }, async () => {
  const dearest = { ratio: 0, file: -1 };
  for (let at = 0; at < FILES; at++) {
    const random = randomOf(at);
    const { model, usd: perMillion, encoding, longest, perTool } = MODELS[random(MODELS.length)]!;
    const file = fileOf(random, model === 'davinci-002');
    const counted = file
      .toString()
      .split('\n')
      .map((line) => judgeExample(line, perTool, counterOf(encoding)));
    const billedTokens = counted.reduce<number>((sum, tokens) => sum + Math.min(tokens ?? 0, longest), 0);
    const epochs = 1 + random(5);
    const found = await estimated(model, epochs, file);
    const billed = (BigInt(billedTokens * epochs) * perMillion * 10n ** 12n) / 1_000_000n;
    const cost = usd(found.cost_usd);
    expect(cost >= billed, `file ${at} of ${model}: ${cost} is less than ${billed}`).toBe(true);
    expect(found.encoding).toBe(encoding);
    expect(found.examples).toBe(counted.filter((tokens) => tokens !== null).length);
    const ratio = found.tokens / billedTokens;
    if (ratio > dearest.ratio) Object.assign(dearest, { ratio, file: at });
  }
  expect(dearest.ratio, `file ${dearest.file}`).toBeLessThanOrEqual(1.05);
});
