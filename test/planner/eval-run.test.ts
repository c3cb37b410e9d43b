import { describe, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { RateCards } from '../../src/domain/price.ts';
import type { JsonObject } from '../../src/openai/body.ts';
import { priceBook } from '../../src/planner/book.ts';
import { EvalRunItems } from '../../src/planner/eval-run.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const seed = readSeed();
const book = priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');

/** Returns the sums of a run over a file of these lines; the text of an error otherwise. */
function answer(source: JsonObject, criteria: JsonObject[], ...lines: unknown[]) {
  const run = EvalRunItems.begin({ source, criteria }, book, NOW_MS);
  if (isApiError(run)) return run.message;
  const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  const bytes = Buffer.from(texts.join('\n'));
  for (let at = 0; at < bytes.length; at += 100) run.push(bytes.subarray(at, at + 100));
  const found = run.end();
  return isApiError(found) ? found.message : found;
}

function counted(source: JsonObject, criteria: JsonObject[], ...lines: unknown[]) {
  const found = answer(source, criteria, ...lines);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

const sampled = (content: string, most: number | null = 10, model = 'gpt-4o-mini') => ({
  ...{ type: 'completions', model, sampling_params: { max_completion_tokens: most } },
  input_messages: { type: 'template', template: [{ role: 'user', content }] },
});
const score = (content: string, model = 'gpt-4o-mini') => ({
  ...{ type: 'score_model', name: 's', model, sampling_params: { max_completions_tokens: 20 } },
  input: [{ role: 'user', content }],
});
const inputOf = (found: ReturnType<typeof counted>) => found.models[0]?.inputTokens ?? 0;

describe('a run of an eval', () => {
  it('asks its model once for each item, at the bytes of what is written into its messages', () => {
    const none = counted(sampled('Hi'), [], { item: { a: 'x' } });
    expect(none).toMatchObject({ items: 1, models: [{ calls: 1, outputTokens: 10, mayBeLong: false }] });
    const same = inputOf(counted(sampled('{{item.a}} {{ item.a }}'), [], { item: { a: '' } }));
    const more = (value: unknown) =>
      inputOf(counted(sampled('{{item.a}} {{ item.a }}'), [], { item: { a: value } })) - same;
    expect(more('首都')).toBe(2 * 6);
    expect(more(12)).toBe(2 * 32);
    expect(more({ b: ['é'] })).toBe(2 * 4 * Buffer.byteLength('{"b":["é"]}'));
    const two = counted(sampled('{{item.a}}'), [], { item: { a: 'x' } }, '', { item: { a: 'x' } });
    expect(two).toMatchObject({ items: 2, models: [{ calls: 2, outputTokens: 20 }] });
  });

  it('holds an answer in what a grader reads at 128 bytes a token, at most the longest input of the grader', () => {
    const input = (most: number, sampler: string, place = 'sample.output_text') => {
      const { models } = counted(sampled('Hi', most, sampler), [score(`{{${place}}}`, 'gpt-4.1')], {
        item: {},
      });
      return models.find(({ model }) => model === 'gpt-4.1')?.inputTokens ?? 0;
    };
    expect(input(11, 'gpt-4o-mini') - input(10, 'gpt-4o-mini')).toBe(128);
    expect(input(16_384, 'gpt-4o-mini')).toBe(1_047_576);
    // Its encoding is not published; other places may hold the answer several times.
    expect(input(10, 'gpt-6-sol')).toBe(1_047_576);
    expect(input(10, 'gpt-4o-mini', 'sample.choices')).toBe(1_047_576);
    // Without a model of the run, the item brings its sample.
    const given = counted({ type: 'jsonl' }, [score('{{sample.output_text}}')], {
      ...{ item: {}, sample: { output_text: 'four' } },
    });
    expect(
      inputOf(given) -
        inputOf(
          counted({ type: 'jsonl' }, [score('{{sample.output_text}}')], {
            item: {},
            sample: { output_text: '' },
          }),
        ),
    ).toBe(4);
  });

  it('holds an answer without a limit at the most of its model', () => {
    expect(counted(sampled('Hi', null), [], { item: {} }).models).toMatchObject([{ outputTokens: 16_384 }]);
  });

  it('may have its messages in its items, where they are text', () => {
    const source = {
      ...sampled('', 10),
      input_messages: { type: 'item_reference', item_reference: 'item.messages' },
    };
    const text = [{ role: 'user', content: 'What is {{this}}?' }];
    expect(counted(source, [], { item: { messages: text } }).items).toBe(1);
    const image = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x' } }] }];
    expect(answer(source, [], { item: { messages: image } })).toMatch(/line 1: 'item.messages' has messages/);
  });

  it.each<[string, unknown, RegExp]>([
    ['that is no JSON', '{"item"', /line 2 must be an object with an 'item'/],
    ['without an item', { sample: {} }, /line 2 must be an object with an 'item'/],
    ['that is too long', { item: { a: 'x'.repeat(2 * 1024 * 1024) } }, /line 2 has more than 2097152 bytes/],
  ])('with a line %s is refused, naming it', (_what, line, message) => {
    expect(answer(sampled('Hi'), [], { item: {} }, line)).toMatch(message);
  });

  it('without an item is refused', () => {
    expect(answer(sampled('Hi'), [])).toBe('The run has no items.');
  });
});
