import { describe, expect, it } from 'vitest';
import { isApiError } from '../../src/domain/errors.ts';
import { usd } from '../../src/domain/money.ts';
import { RateCards } from '../../src/domain/price.ts';
import { BatchFile, type BatchQuestion } from '../../src/planner/batch.ts';
import { priceBook } from '../../src/planner/book.ts';
import { readSeed } from '../../src/store/seed/read-seed.ts';

const seed = readSeed();
const book = priceBook(new RateCards(seed.prices, seed.models), seed.prices, seed.training);
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');

let ids = 0;
const call = (body: unknown, url = '/v1/chat/completions', more = {}) =>
  JSON.stringify({ custom_id: `call-${ids++}`, method: 'POST', url, body, ...more });
const CHAT = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 };

function answer(question: Partial<BatchQuestion>, ...lines: string[]) {
  const file = new BatchFile({ kind: 'batch', ...question }, book, NOW_MS);
  const bytes = Buffer.from(lines.join('\n'));
  for (let at = 0; at < bytes.length; at += 100) file.push(bytes.subarray(at, at + 100));
  return file.end();
}

function estimated(question: Partial<BatchQuestion>, ...lines: string[]) {
  const found = answer(question, ...lines);
  if (isApiError(found)) throw new Error(found.message);
  return found;
}

describe('an estimate of a batch', () => {
  it('sums the bounds of its calls by model and endpoint, beside what they cost singly', () => {
    const found = estimated(
      {},
      call(CHAT),
      call(CHAT),
      call({ model: 'gpt-6-sol', input: 'hello', max_output_tokens: 1000 }, '/v1/responses'),
      call({ model: 'text-embedding-3-small', input: 'hello' }, '/v1/embeddings'),
    );
    expect(found).toMatchObject({ lines: 4, open_ended_lines: 0, unpriced_lines: 0, problems: [] });
    const [sol, mini, embedded] = found.models;
    // The gateway's bound of input: the bytes of the body and 64 tokens of framing; input at the dearer rate of a cache write.
    const bytes = Buffer.byteLength(JSON.stringify(CHAT));
    expect(mini).toEqual({
      ...{ model: 'gpt-4o-mini', operation: 'chat.completions', lines: 2 },
      ...{ input_tokens: 2 * (bytes + 64), output_tokens: 2000 },
      batch_usd: `0.${String(2 * ((bytes + 64) * 75_000 + 1000 * 300_000)).padStart(12, '0')}`.replace(
        /0+$/,
        '',
      ),
      single_usd: `0.${String(2 * ((bytes + 64) * 150_000 + 1000 * 600_000)).padStart(12, '0')}`.replace(
        /0+$/,
        '',
      ),
    });
    expect(sol).toMatchObject({ model: 'gpt-6-sol', operation: 'responses', output_tokens: 1000 });
    expect(embedded).toMatchObject({ operation: 'embeddings', output_tokens: 0 });
    expect(usd(embedded!.single_usd)).toBe(2n * usd(embedded!.batch_usd));
    expect(Number(found.single_usd)).toBeCloseTo(2 * Number(found.batch_usd), 12);
  });

  it('takes a call without a limit at the most that its model writes, or at what is given', () => {
    const { max_tokens: _, ...open } = CHAT;
    expect(estimated({}, call(open)).models[0]).toMatchObject({ output_tokens: 16_384 });
    expect(estimated({ answer_tokens: 50 }, call(open), call(CHAT))).toMatchObject({
      ...{ open_ended_lines: 1, answer_tokens: 50 },
      models: [{ output_tokens: 1050 }],
    });
  });

  it('is at the prices of a date', () => {
    const body = { ...CHAT, model: 'gpt-5.6-luna' };
    expect(estimated({ date: '2026-07-30' }, call(body))).toMatchObject({ unpriced_lines: 0 });
    // Before, its price in a batch is not known.
    expect(estimated({ date: '2026-07-29' }, call(body))).toMatchObject({
      unpriced_lines: 1,
      batch_usd: '0.00',
    });
  });

  it('says which lines are in no sum, and why', () => {
    const found = estimated(
      {},
      call(CHAT),
      '{',
      '3',
      call(CHAT, '/v1/teapots'),
      call(CHAT, '/v1/chat/completions', { method: 'GET' }),
      call('hello'),
      call({ ...CHAT, model: 'gpt-99' }),
      call({ ...CHAT, model: 'text-embedding-ada-002' }, '/v1/chat/completions', { custom_id: '' }),
      call({ ...CHAT, stream: true }),
      call(CHAT, '/v1/chat/completions', { custom_id: 'twice' }),
      call(CHAT, '/v1/chat/completions', { custom_id: 'twice' }),
      call({ ...CHAT, n: 0 }),
    );
    expect(found.models[0]?.lines).toBe(3);
    expect(found).toMatchObject({ lines: 12, unpriced_lines: 9, problem_count: 11 });
    expect(found.problems.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 7, 8, 8, 9, 11, 12]);
    expect(found.problems.find(({ line }) => line === 11)?.problem).toBe('custom_id: "twice" comes twice');
  });

  it('refuses a file without a call', () => {
    expect(answer({}, '')).toMatchObject({ param: 'file' });
  });
});
