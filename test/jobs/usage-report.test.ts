/** The reader against an upstream that answers whatever a test wants, over real HTTP. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createDayReport } from '../../src/jobs/day-report.ts';
import { createUsageReport, type ReportName } from '../../src/jobs/usage-report.ts';
import { startSimulator } from '../../src/simulator/simulator.ts';

const SPAN = { firstMinute: 1_000, lastMinute: 1_002 };
const USED = {
  object: 'organization.usage.completions.result',
  input_tokens: 100,
  output_tokens: 7,
  num_model_requests: 1,
};

let server: Server;
let answers: object[];
let asked: { url: URL; headers: Record<string, unknown> }[];
beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push({ url: new URL(request.url!, 'http://upstream'), headers: request.headers });
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(answers.shift()));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => server.close());
beforeEach(() => {
  answers = [];
  asked = [];
});

function read(name: ReportName = 'completions') {
  const { port } = server.address() as AddressInfo;
  const report = createUsageReport({ adminKey: 'sk-admin-1', baseUrl: `http://127.0.0.1:${port}/v1` });
  return report(name, SPAN, new AbortController().signal);
}

const bucket = (minute: number, ...results: object[]) => ({
  object: 'bucket',
  start_time: minute * 60,
  end_time: minute * 60 + 60,
  results,
});
const page = (data: object[], next: string | null = null) => ({
  object: 'page',
  data,
  has_more: next !== null,
  next_page: next,
});

describe('the reader of the usage report', () => {
  it('asks for minutes by model, page after page, with the admin key alone', async () => {
    const named = { ...USED, model: 'gpt-4o-2024-08-06' };
    answers = [page([bucket(1_000), bucket(1_001, named, USED)], 'page_2'), page([bucket(1_002, named)])];
    const rows = await read();
    expect(rows.map(({ minute, model }) => [minute, model])).toEqual([
      [1_001, 'gpt-4o-2024-08-06'],
      [1_001, null],
      [1_002, 'gpt-4o-2024-08-06'],
    ]);
    const [first, second] = asked;
    expect(first!.url.pathname).toBe('/v1/organization/usage/completions');
    expect(Object.fromEntries(first!.url.searchParams)).toEqual({
      start_time: '60000',
      end_time: '60180',
      bucket_width: '1m',
      limit: '3',
      'group_by[]': 'model',
    });
    expect(first!.headers.authorization).toBe('Bearer sk-admin-1');
    expect(first!.headers).not.toHaveProperty('openai-organization');
    expect(second!.url.searchParams.get('page')).toBe('page_2');
  });

  it('counts unclassified input as the most of each kind', async () => {
    const told = {
      ...USED,
      input_cached_tokens: 30,
      input_cache_write_tokens: 20,
      input_uncached_tokens: 50,
    };
    const partly = { ...USED, input_cached_tokens: 30 };
    answers = [page([bucket(1_000, told), bucket(1_001, partly), bucket(1_002, USED)])];
    const kinds = (await read()).map(({ usage }) => [
      usage.uncached_input_tokens,
      usage.cached_input_tokens,
      usage.cache_write_tokens,
    ]);
    expect(kinds).toEqual([
      [50, 30, 20],
      [70, 30, 70],
      [100, 100, 100],
    ]);
  });

  it('reads embeddings, which have no output', async () => {
    const used = { object: 'organization.usage.embeddings.result', input_tokens: 5, num_model_requests: 1 };
    answers = [page([bucket(1_000, used), bucket(1_001), bucket(1_002)])];
    expect(await read('embeddings')).toMatchObject([{ usage: { input_tokens: 5, output_tokens: 0 } }]);
    expect(asked[0]!.url.pathname).toBe('/v1/organization/usage/embeddings');
  });

  it.each([
    ['minutes are left out', [page([bucket(1_000), bucket(1_002)])]],
    ['a minute comes twice', [page([bucket(1_000), bucket(1_000), bucket(1_001), bucket(1_002)])]],
    ['buckets are wider than a minute', [page([{ ...bucket(1_000), end_time: 1_003 * 60 }])]],
    ['pages go in a circle', [page([bucket(1_000)], 'page_1'), page([], 'page_1')]],
    [
      'results are of another kind',
      [page([bucket(1_000, { ...USED, object: 'organization.costs.result' })])],
    ],
    ['a count is none', [page([bucket(1_000, { ...USED, output_tokens: -1 })])]],
    ['a count is missing', [page([bucket(1_000, { ...USED, input_tokens: undefined })])]],
  ])('takes a report for no evidence when %s', async (_, pages) => {
    answers = pages;
    await expect(read()).rejects.toThrow('the report');
  });
});

it('the reader of a day finds a key of the gateway among more keys than the upstream lists on one page', async () => {
  const simulator = await startSimulator();
  onTestFinished(() => simulator.close());
  const keys = Array.from({ length: 102 }, (_, index) => `sk-${String(index).padStart(3, '0')}-of-an-app`);
  const body = JSON.stringify({ model: 'text-embedding-3-small', input: 'hi' });
  for (const key of keys) {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
    const response = await fetch(`${simulator.url}/embeddings`, { method: 'POST', headers, body });
    expect(response.status).toBe(200);
  }
  const { lines } = simulator.invoice();
  const readDay = createDayReport({ adminKey: 'sk-admin-1', baseUrl: simulator.url, keys: keys.slice(-1) });
  const day = Math.floor(Date.now() / 86_400_000) * 86_400_000;
  const { ownKeys } = await readDay(day, new AbortController().signal);
  expect([...(ownKeys ?? [])]).toEqual([lines.at(-1)!.api_key_id]);
});
