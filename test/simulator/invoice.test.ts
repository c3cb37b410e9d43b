import { expect, it } from 'vitest';
import { Invoice, NO_USAGE } from '../../src/simulator/invoice.ts';
import { bill, findModel, findRates, type Tier, type Usage } from '../../src/simulator/prices.ts';
import { HELLO, order, useSimulator } from './client.ts';

const bench = useSimulator();

function costOf(
  name: string,
  tier: Tier,
  [input, cached, written, output]: [number, number, number, number],
  keeps12h = false,
) {
  const { model } = findModel(name)!;
  const usage: Usage = {
    input_tokens: input,
    cached_input_tokens: cached,
    cache_write_tokens: written,
    output_tokens: output,
    reasoning_tokens: 0,
  };
  return bill(usage, findRates(model, tier, input)!, keeps12h, model.feePerCallPicoUsd);
}

it('bills what the published prices say, worked out by hand', () => {
  // 1,000 x $0.15 + 500 x $0.60, per million.
  expect(costOf('gpt-4o-mini', 'default', [1000, 0, 0, 500])).toBe(450_000_000n);
  // 600 x $0.15 + 400 cached x $0.075 + 10 x $0.60.
  expect(costOf('gpt-4o-mini-2024-07-18', 'default', [1000, 400, 0, 10])).toBe(126_000_000n);
  // 100 x $10 + 200 cached x $1 + 700 written x $12.50 + 50 x $50.
  expect(costOf('gpt-6-astra', 'default', [1000, 200, 700, 50])).toBe(12_450_000_000n);
  expect(costOf('gpt-6-astra', 'priority', [1000, 200, 700, 50])).toBe(24_900_000_000n);
  expect(costOf('gpt-6-astra', 'flex', [1000, 200, 700, 50])).toBe(6_225_000_000n);
  // Cached input without a price of its own costs as input: 100 x $30 + 1 x $60.
  expect(costOf('gpt-4', 'default', [100, 100, 0, 1])).toBe(3_060_000_000n);
  // The smallest price there is: $0.005 per million cached tokens of gpt-5-nano.
  expect(costOf('gpt-5-nano', 'default', [1, 1, 0, 0])).toBe(5_000n);
  // $0.0200 per 1,000 tokens, as in September 2022.
  expect(costOf('davinci', 'default', [900, 0, 0, 100])).toBe(20_000_000_000n);
  // A fine-tuned model has prices of its own: 10 x $0.30 + 10 x $1.20.
  expect(costOf('ft:gpt-4o-mini-2024-07-18:acme::x1', 'default', [10, 0, 0, 10])).toBe(15_000_000n);
  // Writes kept for 12 hours: 10 x $5 instead of 10 x $2.50.
  expect(costOf('gpt-6.2-sol', 'default', [10, 0, 10, 0], true)).toBe(50_000_000n);
  // The search model adds $0.01 a call.
  expect(costOf('gpt-5-search-api', 'default', [0, 0, 0, 0])).toBe(10_000_000_000n);
});

it('bills the whole request at long-context prices above 272,000 input tokens, and not at them', () => {
  expect(costOf('gpt-5.4', 'default', [272_000, 0, 0, 100])).toBe(681_500_000_000n);
  expect(costOf('gpt-5.4', 'default', [272_001, 0, 0, 100])).toBe(1_362_255_000_000n);
  const { model } = findModel('gpt-5.4')!;
  expect(findRates(model, 'priority', 272_001)).toBeNull();
  expect(findRates(model, 'priority', 272_000)).not.toBeNull();
  // Models with one band only have no threshold.
  expect(costOf('gpt-4.1', 'default', [300_000, 0, 0, 0])).toBe(600_000_000_000n);
});

it('writes one line for each request, with the usage that the answer reports, and sums them', async () => {
  const before = bench.simulator.invoice();
  const id = { 'x-client-request-id': 'event-1' };
  const answer = await bench.sdk7.chat.completions.create({ ...HELLO, model: 'gpt-5-mini' }, { headers: id });
  await bench.post('/chat/completions', { ...HELLO, n: 0 });
  await bench.post('/nothing', {});
  await bench.sdk7.models.list();
  const after = bench.simulator.invoice();
  const [billed, ...refused] = after.lines.slice(before.lines.length);
  const { usage } = answer;
  expect(billed).toMatchObject({
    line: before.line_count + 1,
    client_request_id: 'event-1',
    operation: 'chat.completions',
    model: 'gpt-5-mini-2025-08-07',
    service_tier: 'default',
    status: 200,
    fault: null,
    completed: true,
    usage: {
      input_tokens: usage?.prompt_tokens,
      cached_input_tokens: usage?.prompt_tokens_details?.cached_tokens,
      cache_write_tokens: 0,
      output_tokens: usage?.completion_tokens,
      reasoning_tokens: usage?.completion_tokens_details?.reasoning_tokens,
    },
  });
  expect(refused.map(({ operation, status, cost_pico_usd }) => [operation, status, cost_pico_usd])).toEqual([
    ['chat.completions', 400, '0'],
    [null, 404, '0'],
    ['models.list', 200, '0'],
  ]);
  expect(after.billed_lines).toBe(before.billed_lines + 1);
  expect(BigInt(after.total_pico_usd) - BigInt(before.total_pico_usd)).toBe(BigInt(billed!.cost_pico_usd));
});

it('bills an abandoned stream in full, before its first byte, and notes that it was not completed', async () => {
  const stream = await bench.sdk7.chat.completions.create(
    { ...HELLO, stream: true },
    order('output=1000,chunks=1000,chunk_ms=5'),
  );
  for await (const _ of stream) break;
  expect(bench.lastLine()).toMatchObject({ usage: { output_tokens: 1000 }, completed: false });
});

it('serves the invoice over HTTP, in pages', async () => {
  const root = bench.simulator.url.slice(0, -'/v1'.length);
  const invoice = await (await fetch(`${root}/invoice`)).json();
  expect(invoice).toEqual(bench.simulator.invoice());
  const page = await (await fetch(`${root}/invoice?after=2&limit=2`)).json();
  expect(page).toMatchObject({
    lines: [{ line: 3 }, { line: 4 }],
    total_pico_usd: bench.simulator.invoice().total_pico_usd,
  });
  const { lines, ...summary } = bench.simulator.invoice();
  expect(await (await fetch(`${root}/invoice/total`)).json()).toEqual(summary);
  expect(lines).toHaveLength(summary.line_count);
});

it('keeps a bounded number of lines, the newest, and the total of all', () => {
  const invoice = new Invoice(100);
  const entry = {
    request_id: 'r',
    client_request_id: null,
    api_key_id: null,
    operation: null,
    model: null,
    service_tier: null,
    status: 200,
    usage: NO_USAGE,
    fault: null,
  };
  for (let index = 0; index < 1000; index++) invoice.add(entry, 7n);
  const lines = invoice.lines();
  expect(lines.length).toBeLessThanOrEqual(110);
  expect(lines.at(-1)?.line).toBe(1000);
  expect(invoice.lines(998).map(({ line }) => line)).toEqual([999, 1000]);
  expect(invoice.summary()).toMatchObject({
    line_count: 1000,
    dropped_lines: 1000 - lines.length,
    total_pico_usd: '7000',
  });
});
