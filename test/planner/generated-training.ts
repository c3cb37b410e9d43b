/**
 * Training files as people make them, from a seed: English, Chinese, tools, long lines and broken ones.
 * The same seed is the same file.
 */

/** Published: USD for a million trained tokens, the encoding, the longest example, what a tool's frame has. */
export const MODELS = [
  { model: 'gpt-4o-mini-2024-07-18', usd: 3n, encoding: 'o200k_base', longest: 65_536, perTool: 7 },
  { model: 'gpt-4.1-2025-04-14', usd: 25n, encoding: 'o200k_base', longest: Infinity, perTool: 7 },
  { model: 'gpt-3.5-turbo', usd: 8n, encoding: 'cl100k_base', longest: 16_385, perTool: 10 },
  { model: 'davinci-002', usd: 6n, encoding: 'cl100k_base', longest: Infinity, perTool: 10 },
] as const;

/** A small generator of pseudo-random numbers (mulberry32). */
export function randomOf(seed: number) {
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

export interface Message {
  role: string;
  content: unknown;
  [name: string]: unknown;
}

export const TOOL = (random: Random) => ({
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

export function fileOf(random: Random, isCompletion: boolean): Buffer {
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
