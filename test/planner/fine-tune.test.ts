import { describe, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { usd } from '../../src/domain/money.ts';
import { makePrice, RateCards } from '../../src/domain/price.ts';
import { priceBook } from '../../src/planner/book.ts';
import { countTrainingFile } from '../../src/planner/count-file.ts';
import { countExample } from '../../src/planner/example.ts';
import {
  autoEpochs,
  countJobOf,
  type FineTuneQuestion,
  type KnownCount,
  planFineTune,
  reckonFineTune,
} from '../../src/planner/fine-tune.ts';
import { LineSplitter } from '../../src/planner/lines.ts';
import { boundedCount, countBytes, encodingOf } from '../../src/planner/text-count.ts';
import { LINE_BYTES_MAX, TrainingFile } from '../../src/planner/training-file.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const NOW_MS = Date.parse('2026-11-28T12:00:00Z');
const seed = readSeed();
const book = priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);
const RULE = { count: countBytes, imageRule: null, perTool: 7 };

async function estimated(question: Partial<FineTuneQuestion>, file: string | KnownCount, prices = book) {
  const plan = planFineTune(
    { kind: 'fine_tune', model: 'gpt-4o-mini', epochs: 'auto', ...question },
    prices,
    NOW_MS,
  );
  if (isApiError(plan)) return plan;
  const count =
    typeof file === 'string' ? await countTrainingFile(countJobOf(plan, prices), [Buffer.from(file)]) : file;
  return reckonFineTune(plan, count, prices);
}

const CHAT = (text: string) => ({
  messages: [
    { role: 'user', content: text },
    { role: 'assistant', content: 'yes' },
  ],
});
const FILE = (lines: number) => `${JSON.stringify(CHAT('hello world'))}\n`.repeat(lines);

describe('epochs of auto', () => {
  it.each([
    [0, 25],
    [1, 25],
    [4, 25],
    [10, 10],
    [33, 3],
    [34, 3],
    [8_333, 3],
    [8_334, 2],
    [20_000, 1],
    [1_000_000, 1],
  ])('of %d examples are %d by the published rule', (examples, epochs) => {
    expect(autoEpochs(examples)).toBe(epochs);
  });
});

describe('an estimate of fine-tuning', () => {
  it('is the published framing and tokens, by epochs, by the price', async () => {
    // 3 for the conversation; 3 and a role for each message; "hello world" is two tokens, "yes" one.
    expect(await estimated({ epochs: 3 }, FILE(100))).toMatchObject({
      ...{ model: 'gpt-4o-mini-2024-07-18', encoding: 'o200k_base', examples: 100, tokens: 1400 },
      ...{ epochs: 3, epochs_by: 'given', trained_tokens: 4200, problem_count: 0, problems: [] },
      ...{ cost_per_epoch_usd: '0.0042', cost_usd: '0.0126', file_bytes: FILE(100).length },
      histogram: [{ from_tokens: 8, to_tokens: 15, examples: 100 }],
      inference: { input_usd: '0.30', cached_input_usd: '0.15', output_usd: '1.20' },
    });
  });

  it('takes the rule for auto, and its most where the examples are not known', async () => {
    expect(await estimated({}, FILE(20))).toMatchObject({ epochs: 5, epochs_by: 'auto' });
    expect(await estimated({}, { tokens: 1000, examples: null })).toMatchObject({
      ...{ epochs: 25, epochs_by: 'auto_at_most', cost_usd: '0.075', histogram: [] },
    });
    expect(await estimated({}, { tokens: 1000, examples: 50 })).toMatchObject({
      epochs: 3,
      epochs_by: 'auto',
    });
  });

  it('counts bytes where no tokeniser is published', async () => {
    const price = makePrice({
      ...{ id: 'x', model: 'house-1', tier: 'default', effectiveFromMs: 0, origin: 'admin' },
      ...{ longContextAboveTokens: null, lines: [{ meter: 'trained_tokens', per: 1000, rate: usd('0.01') }] },
    });
    const cards = new RateCards([...seed.prices, price], seed.models);
    const own = priceBook(cards, [...seed.prices, { ...price, source: 'our contract' }], seed.training);
    const found = await estimated({ model: 'house-1', epochs: 1 }, FILE(10), own);
    expect(found).toMatchObject({ encoding: null, tokens: 10 * (3 + 4 + 11 + 4 + 3), inference: null });
    expect(found).toMatchObject({
      price: { usd: '0.01', per: '1000 trained tokens', source: 'our contract' },
    });
  });

  it("prefers an admin's price of training to the published one", async () => {
    const price = makePrice({
      ...{ id: 'y', model: 'gpt-4.1-2025-04-14', tier: 'default', effectiveFromMs: 0, origin: 'admin' },
      ...{
        longContextAboveTokens: null,
        lines: [{ meter: 'trained_tokens', per: 1_000_000, rate: usd('7') }],
      },
    });
    const cards = new RateCards([...seed.prices, price], seed.models);
    const own = priceBook(cards, seed.prices, seed.training);
    const question = { model: 'gpt-4.1-2025-04-14', epochs: 1 };
    expect(await estimated(question, { tokens: 1_000_000, examples: 9 }, own)).toMatchObject({
      cost_usd: '7.00',
    });
    expect(await estimated(question, { tokens: 1_000_000, examples: 9 })).toMatchObject({
      cost_usd: '25.00',
    });
  });

  it('is by the hour where training is billed so', async () => {
    expect(await estimated({ model: 'o4-mini', hours: '2.5' }, FILE(10))).toMatchObject({
      ...{ model: 'o4-mini-2025-04-16', cost_usd: '250.00', epochs_by: 'hours', trained_tokens: null },
      price: { usd: '100.00', per: 'hour' },
    });
    expect(await estimated({ model: 'o4-mini' }, FILE(10))).toMatchObject({ param: 'hours' });
  });

  it('knows what training cost in 2022', async () => {
    const question = { model: 'davinci', date: '2022-07-15', epochs: 4 };
    expect(await estimated(question, { tokens: 1_000_000, examples: 500 })).toMatchObject({
      cost_usd: '120.00',
    });
  });

  it.each<[Partial<FineTuneQuestion>, string, string]>([
    [{ model: 'gpt-99' }, FILE(1), 'model'],
    [{ date: '2019-01-01' }, FILE(1), 'model'],
    [{}, '', 'file'],
    [{}, 'x\n\n', 'file'],
  ])('%j is refused', async (question, file, param) => {
    expect(await estimated(question, file)).toMatchObject({ param });
  });
});

describe('a training file', () => {
  const problemsOf = (...lines: string[]) => {
    const file = new TrainingFile(RULE, null);
    file.push(Buffer.from(lines.join('\n')));
    return file.end().firstProblems.map(({ line, problem }) => `${line} ${problem}`);
  };

  it('says which lines the API would refuse, and why', () => {
    const user = { role: 'user', content: 'x' };
    const answer = { role: 'assistant', content: 'y' };
    const chat = (...messages: unknown[]) => JSON.stringify({ messages });
    expect(
      problemsOf(
        chat(user, answer),
        '{',
        '',
        '3',
        chat(),
        chat(user),
        chat(user, { role: 'robot', content: 'z' }, answer),
        chat(user, { role: 'assistant', content: '' }),
        chat(user, { ...answer, colour: 'red' }),
        chat({ role: 'user', content: 3 }, answer),
        JSON.stringify({ messages: [user, answer], tools: [{ type: 'function' }] }),
        JSON.stringify({ prompt: 'a', completion: 3 }),
        JSON.stringify({ input: { messages: [user] }, preferred_output: [answer] }),
        JSON.stringify({ messages: [user, answer], colour: 'red' }),
      ),
    ).toEqual([
      '2 is not valid JSON',
      '3 is empty',
      '4 must be a JSON object',
      '5 messages: must be an array with at least one message',
      "5 messages: no message of the role 'assistant', so there is nothing to learn",
      "6 messages: no message of the role 'assistant', so there is nothing to learn",
      '7 messages[1].role: must be one of system, developer, user, assistant, tool, function',
      '8 messages[1].content: must not be empty',
      '9 messages[1].colour: there is no such field',
      '10 messages[0].content: must be text or an array of parts',
      '11 tools[0]: must be a function with a name',
      '12 completion: must be text',
      '13 non_preferred_output: must be an array with a message',
      '14 colour: there is no such field',
    ]);
  });

  it('reads lines however they are cut, and counts what it does not read at a token a byte', () => {
    const seen: [string | null, number, number][] = [];
    const splitter = new LineSplitter(
      (line, number, bytes) => seen.push([line?.toString() ?? null, number, bytes]),
      8,
    );
    const text = Buffer.from('\ufeffab\r\nçd\n\n123456789\nlast');
    for (let at = 0; at < text.length; at += 3) splitter.push(text.subarray(at, at + 3));
    splitter.end();
    expect(seen).toEqual([
      ['ab', 1, 6],
      ['çd', 2, 3],
      ['', 3, 0],
      [null, 4, 9],
      ['last', 5, 4],
    ]);
    const file = new TrainingFile(RULE, null);
    file.push(Buffer.alloc(LINE_BYTES_MAX + 1, 0x61));
    expect(file.end()).toMatchObject({ examples: 1, tokens: LINE_BYTES_MAX + 1, problems: 1 });
  });

  it('cuts examples at the longest that is trained, and says so', () => {
    const file = new TrainingFile(RULE, 100);
    file.push(Buffer.from(`${JSON.stringify(CHAT('x'.repeat(200)))}\n${JSON.stringify(CHAT('x'))}`));
    expect(file.end()).toMatchObject({ examples: 2, tokens: 115, cut: 1, longest: { line: 1, tokens: 214 } });
  });

  it('keeps no more than the first problems', () => {
    const file = new TrainingFile(RULE, null);
    file.push(Buffer.from('{\n'.repeat(5000)));
    const { problems, firstProblems, unreadable } = file.end();
    expect([problems, unreadable, firstProblems.length]).toEqual([5000, 5000, 100]);
  });

  it('survives lines that are nested deep', () => {
    const deep = `{"messages":[{"role":"user","content":"x","name":${'['.repeat(50_000)}${']'.repeat(50_000)}}]}`;
    expect(problemsOf(deep)).toHaveLength(1);
  });

  it('does not parse a line of endless values, and counts its bytes', () => {
    const file = new TrainingFile(RULE, null);
    const line = `{"messages":[${'[1],'.repeat(150_000)}1]}`;
    file.push(Buffer.from(line));
    expect(file.end()).toMatchObject({ examples: 1, tokens: line.length, problems: 1 });
  });

  it('counts both answers of a pair with its input, tools and images', () => {
    const input = { messages: [{ role: 'user', content: 'abc' }] };
    const output = [{ role: 'assistant', content: 'de' }];
    const pair = { input, preferred_output: output, non_preferred_output: output };
    expect(countExample(pair, RULE)).toMatchObject({ tokens: 2 * (3 + 3 + 1 + 3 + 3 + 1 + 2), problems: [] });
    const image = { type: 'image_url', image_url: { url: 'https://example.com/x.png', detail: 'low' } };
    const seen = {
      messages: [
        { role: 'user', content: [image] },
        { role: 'assistant', content: 'd' },
      ],
    };
    const imageRule = { kind: 'tiles', base: 85, tile: 170 } as const;
    expect(countExample(seen, { ...RULE, imageRule }).tokens).toBe(3 + 4 + 85 + 5);
    expect(countExample(seen, RULE).problems[0]).toContain('not counted');
  });
});

describe('the count of a text', () => {
  it('is bounded where a tokeniser is slow, and never below it', () => {
    const asked: number[] = [];
    const count = boundedCount((text) => {
      asked.push(text.length);
      return text.length;
    });
    expect(count('word '.repeat(1000))).toBe(5000);
    expect(asked).toEqual([5000]);
    expect(count('a'.repeat(5000))).toBe(5004);
    expect(Math.max(...asked.slice(1))).toBeLessThanOrEqual(1024);
    expect(count('\u{1f642}'.repeat(2000))).toBeGreaterThanOrEqual(4000);
  });

  it.each([
    ['gpt-4o-mini-2024-07-18', 'o200k_base'],
    ['ft:gpt-4.1-2025-04-14:org::id', 'o200k_base'],
    ['gpt-4-0613', 'cl100k_base'],
    ['davinci-002', 'cl100k_base'],
    ['davinci', 'r50k_base'],
    ['gpt-6-sol', null],
    ['house-1', null],
  ])('of %s is by %s', (model, encoding) => {
    expect(encodingOf(model)).toBe(encoding);
  });
});
