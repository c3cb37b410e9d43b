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
import { fileOf, type Message, MODELS, randomOf, type TOOL } from './generated-training.ts';

const FILES = 1_000;
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');
const seed = readSeed();
const book = priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);

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
