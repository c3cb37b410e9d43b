import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { flush } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { eventOf } from '../support/events.ts';
import { ADMIN_KEY, createTestAdmin, type Json, type TestAdmin } from './support.ts';

let admin: TestAdmin;
let teamId: string;
const keyId = randomUUID();
const instanceId = randomUUID();

interface Entry {
  kind: string;
  bound: string;
  saving_usd: string | null;
  calls: number | null;
  query: string | null;
  share: number | null;
  models: { model: string; instead: string | null; saving_usd: string }[];
}

beforeAll(async () => {
  admin = await createTestAdmin();
  const { database } = admin;
  for (const [model, input, output] of [
    ['big-1', '2', '10'],
    ['big-1-mini', '0.5', '2.5'],
  ] as const) {
    await admin.make('/prices', {
      model,
      input_usd: input,
      cached_input_usd: String(Number(input) / 10),
      output_usd: output,
      effective_from: '2026-01-01',
      source: 'test',
    });
  }
  teamId = (await admin.make('/teams', { name: 'savers', plan: null, unlimited: true })).id;
  await registerInstance(database.sql, instanceId);
  const stageUs = { estimate: 12, forward: 3_400, first_byte: 1_700 };
  const call = (usage: object, facts: object, cost: string, minutesAgo: number) =>
    eventOf({
      stageUs,
      ...{ id: uuidV7(Date.now() - minutesAgo * 60_000), instanceId, teamId, keyId },
      ...{ cost: usd(cost), held: usd(cost), allocations: [] },
      facts: { model: 'big-1', ...facts },
      outcome: { usage: { cache_write_tokens: 0, reasoning_tokens: 0, ...usage } as never },
    });
  const events = [
    // Nothing from the cache, not streamed, for project alpha.
    call(
      { input_tokens: 10_000, cached_input_tokens: 0, output_tokens: 1_000 },
      { tags: ['project=alpha'] },
      '0.03',
      3,
    ),
    // Half from the cache, and cut at the limit that was written in.
    call(
      { input_tokens: 10_000, cached_input_tokens: 5_000, output_tokens: 500 },
      { stream: true, outputLimit: 500 },
      '0.016',
      2,
    ),
  ];
  await flush(database.sql, { instanceId, events, reports: [] });
  await admin.make('/labels', { call_id: events[0]!.id, label: 'accepted' });
  await admin.make('/labels', { call_id: events[1]!.id, label: 'rejected', reason: 'cut' });
});
afterAll(() => admin.close());

const entries = async (query = '') => {
  const { data } = await admin.get(`/savings${query}`);
  return new Map((data as unknown as Entry[]).map((entry) => [entry.kind, entry]));
};

test('each saving has its dollars, by the prices of the same tokens', async () => {
  const found = await entries();
  expect([...found.keys()]).toEqual([
    'cached_input',
    'cache_misses',
    'repeats',
    'cheaper_model',
    'batch',
    'written_in_limits',
  ]);
  // 15,000 fresh tokens at $2 − $0.20 a million.
  expect(found.get('cached_input')).toMatchObject({ saving_usd: '0.027', share: 0.25, bound: 'at_most' });
  expect(found.get('cache_misses')).toMatchObject({ saving_usd: '0.018', calls: 1 });
  expect(found.get('repeats')).toMatchObject({ saving_usd: null, bound: 'unknown' });
  // $0.046 in all, at a quarter.
  expect(found.get('cheaper_model')?.models).toEqual([
    { model: 'big-1', instead: 'big-1-mini', calls: 2, spent_usd: '0.046', saving_usd: '0.0345' },
  ]);
  expect(found.get('batch')).toMatchObject({ saving_usd: '0.00' });
  expect(found.get('written_in_limits')).toMatchObject({ saving_usd: '0.016', calls: 1 });
});

test('the request of a saving shows the calls that it sums up', async () => {
  for (const { kind, query, calls } of (await entries()).values()) {
    if (query === null || calls === 0 || !query.includes('/events?')) continue;
    expect(query).toContain(`saving=${kind}`);
    const { data } = await admin.get(query.replace('GET /admin/v1', ''));
    expect([kind, data.length]).toEqual([kind, calls]);
  }
  const { data } = await admin.get('/events?saving=batch');
  expect(data).toMatchObject([{ stream: false, cost_usd: '0.03' }]);
});

test('another team, and another time, have savings of their own', async () => {
  const other = (await admin.make('/teams', { name: 'others', plan: null, unlimited: true })).id;
  expect((await entries(`?team_id=${other}`)).get('cached_input')).toMatchObject({
    saving_usd: '0.00',
    share: null,
  });
  expect((await entries('?from=2020-01-01&to=2020-02-01')).get('cheaper_model')?.models).toEqual([]);
  expect(await admin.ask('GET', '/savings?from=2026-02-01&to=2026-01-01')).toMatchObject({ status: 400 });
});

test('the report on models has price, cost, labels and their cost, for all calls and for a tag', async () => {
  const { data } = await admin.get(`/models/report?team_id=${teamId}`);
  expect(data).toEqual([
    expect.objectContaining({
      ...{ model: 'big-1', calls: 2, cost_usd: '0.046', cost_per_call_usd: '0.023' },
      ...{ input_usd_per_million: '2.00', output_usd_per_million: '10.00' },
      ...{ labelled_calls: 2, accepted: 1, rejected: 1, cost_per_accepted_usd: '0.046' },
      ...{ accepted_share: 0.5, accepted_share_before: null },
      // The first byte is a part of its stage.
      ...{ latency_median_ms: 3.412, latency_p95_ms: 3.412, first_byte_ms: 1.7 },
    }),
  ]);
  const [row] = data as Json[];
  expect(row?.output_tokens_per_second).toBeGreaterThan(0);
  const tagged = await admin.get(`/models/report?tag=project%3Dalpha`);
  expect(tagged.data).toEqual([
    expect.objectContaining({
      model: 'big-1',
      calls: 1,
      cost_usd: '0.03',
      accepted_share: 1,
      labelled_calls: 1,
      // It was not streamed.
      first_byte_ms: null,
    }),
  ]);
});

test('the report on models reaches as far back as anyone asks', async () => {
  const { data } = await admin.get(`/models/report?team_id=${teamId}&from=2000-01-01&to=9998-01-01`);
  expect(data).toEqual([expect.objectContaining({ model: 'big-1', calls: 2, accepted_share_before: null })]);
});

test('finance gets the tags of calls in the column Tags, and the charges add up', async () => {
  const day = (offset: number) => new Date(Date.now() + offset * 86_400_000).toISOString().slice(0, 10);
  const response = await admin.app.request(
    `/admin/v1/focus.csv?from=${day(-1)}&to=${day(1)}&team_id=${teamId}`,
    {
      headers: { authorization: `Bearer ${ADMIN_KEY}` },
    },
  );
  const [head = '', ...lines] = (await response.text()).trim().split('\r\n');
  expect(head.split(',')).toContain('Tags');
  expect(lines.filter((line) => line.includes('"{""project"":""alpha""}"'))).toHaveLength(1);
  expect(lines).toHaveLength(2);
});
