import OpenAI from 'openai';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HELLO, useSimulator } from './client.ts';

const bench = useSimulator({ adminKey: 'sk-admin-right' });
const DAY_S = 86_400;
/** Long ago, so that what the other tests call is on no day of these. */
const DAY = Date.UTC(2026, 2, 2) / 1000;

let organization: OpenAI.Admin.Organization;
beforeAll(() => {
  organization = new OpenAI({ adminAPIKey: 'sk-admin-right', baseURL: bench.simulator.url, maxRetries: 0 })
    .admin.organization;
});
beforeEach(() => bench.simulator.setProfile({ usageLagMs: 0, costsLagMs: 0, costDecimals: 12 }));

const root = () => bench.simulator.url.replace('/v1', '');

async function plant(body: object): Promise<number> {
  const response = await fetch(`${root()}/plant`, { method: 'POST', body: JSON.stringify(body) });
  return response.status;
}

async function costs(
  day = DAY,
  groups: OpenAI.Admin.Organization.UsageCostsParams['group_by'] = ['line_item'],
) {
  const page = await organization.usage.costs({
    start_time: day,
    end_time: day + DAY_S,
    bucket_width: '1d',
    group_by: groups,
  });
  return page.data.flatMap(
    ({ results }) => results as OpenAI.Admin.Organization.UsageCostsResponse.Data.OrganizationCostsResult[],
  );
}

const moment = (seconds: number) => new Date(seconds * 1000).toISOString();
const usage = { input_tokens: 1_000, cached_input_tokens: 400, output_tokens: 200 };
const call = (at: number, more: object = {}) =>
  plant({ kind: 'call', at: moment(at), api_key: 'sk-one-of-ours', model: 'gpt-4o-mini', usage, ...more });

describe('the costs', () => {
  it('add up by line item to the invoice, with what each item counts', async () => {
    expect(await call(DAY)).toBe(200);
    expect(await call(DAY + DAY_S - 1, { service_tier: 'batch' })).toBe(200);
    expect(await call(DAY + DAY_S)).toBe(200);
    const rows = await costs();
    expect(rows.map((row) => [row.line_item, row.amount?.value, row.quantity, row.quantity_unit])).toEqual([
      ['gpt-4o-mini-2024-07-18, input', 0.00009, 600, 'tokens'],
      ['gpt-4o-mini-2024-07-18, cached input', 0.00003, 400, 'tokens'],
      ['gpt-4o-mini-2024-07-18, output', 0.00012, 200, 'tokens'],
      ['batch | gpt-4o-mini-2024-07-18, input', 0.000045, 600, 'tokens'],
      ['batch | gpt-4o-mini-2024-07-18, cached input', 0.00003, 400, 'tokens'],
      ['batch | gpt-4o-mini-2024-07-18, output', 0.00006, 200, 'tokens'],
    ]);
    const [first] = await costs(DAY, []);
    expect(first).toMatchObject({ object: 'organization.costs.result', line_item: null, quantity: null });
    const lines = bench.simulator.invoice().lines.filter(({ at }) => at < moment(DAY + DAY_S));
    const billed = lines.reduce((sum, line) => sum + BigInt(line.cost_pico_usd), 0n);
    expect(first?.amount).toEqual({ value: Number(billed) / 1e12, currency: 'usd' });
  });

  it('have pages of days, with none left out', async () => {
    const days: number[] = [];
    for await (const bucket of pages()) days.push(bucket);
    expect(days).toEqual([0, 1, 2, 3, 4].map((day) => DAY + day * DAY_S));
  });

  async function* pages() {
    let page: string | undefined;
    do {
      const answer: OpenAI.Admin.Organization.UsageCostsResponse = await organization.usage.costs({
        start_time: DAY,
        end_time: DAY + 5 * DAY_S,
        limit: 2,
        ...(page === undefined ? {} : { page }),
      });
      for (const { start_time: start } of answer.data) yield start;
      page = answer.next_page ?? undefined;
    } while (page !== undefined);
  }

  it('show planted prices, dollars and rounding', async () => {
    const day = DAY + 10 * DAY_S;
    await call(day);
    await call(day + DAY_S);
    const item = 'gpt-4o-mini-2024-07-18, output';
    await plant({ kind: 'price', line_item: item, usd_per_1m: '1.2', from: moment(day + DAY_S) });
    await plant({ kind: 'dollars', at: moment(day), line_item: item, usd: '1' });
    const output = async (at: number) =>
      (await costs(at)).find((row) => row.line_item === item)?.amount?.value;
    expect(await output(day)).toBe(1.00012);
    expect(await output(day + DAY_S)).toBe(0.00024);
    bench.simulator.setProfile({ costDecimals: 4 });
    expect(await output(day)).toBe(1.0001);
  });

  it('and the usage come late where they are told to', async () => {
    const at = Math.floor(Date.now() / 1000) - 60;
    const today = Math.floor(at / DAY_S) * DAY_S;
    await call(at, { model: 'gpt-4o' });
    const ofModel = (rows: { line_item?: string | null }[]) =>
      rows.filter((row) => row.line_item?.startsWith('gpt-4o-2024'));
    expect(ofModel(await costs(today))).toHaveLength(3);
    bench.simulator.setProfile({ costsLagMs: 3_600_000 });
    expect(ofModel(await costs(today))).toEqual([]);
  });

  it('refuse hours, other groups and keys that are no admin keys', async () => {
    const ask = async (query: string, key = 'sk-admin-right') => {
      const response = await fetch(`${bench.simulator.url}/organization/costs?${query}`, {
        headers: { authorization: `Bearer ${key}` },
      });
      return response.status;
    };
    const start = `start_time=${DAY}`;
    expect(await ask(`${start}&bucket_width=1h`)).toBe(400);
    expect(await ask(`${start}&group_by=model`)).toBe(400);
    expect(await ask(`${start}&limit=181`)).toBe(400);
    expect(await ask(start, 'sk-any')).toBe(403);
    expect(await ask(`${start}&limit=180`)).toBe(200);
    expect(await plant({ kind: 'nothing' })).toBe(400);
  });
});

describe('the other usage reports', () => {
  const at = Math.floor(Date.now() / 86_400_000) * DAY_S;
  const query = { start_time: at, end_time: at + 2 * DAY_S, bucket_width: '1d' } as const;
  const sums = (page: { data: { results: object[] }[] }) => page.data.flatMap(({ results }) => results);

  it('count characters, images, sessions and bytes', async () => {
    const post = (path: string, body: object) => bench.post(path, body);
    await post('/audio/speech', { model: 'tts-1', voice: 'alloy', input: 'hello, you' });
    await post('/images/generations', { model: 'dall-e-3', prompt: 'a cat', n: 1 });
    await post('/containers', { name: 'c' });
    await post('/moderations', { input: 'hi' });
    await fetch(`${root()}/storage-day`, { method: 'POST' });
    const { usage: reports } = organization;
    const group_by = ['api_key_id', 'model'] as ['api_key_id', 'model'];
    expect(sums(await reports.audioSpeeches({ ...query, group_by }))).toEqual([
      expect.objectContaining({
        object: 'organization.usage.audio_speeches.result',
        characters: 10,
        num_model_requests: 1,
        model: 'tts-1',
      }),
    ]);
    expect(sums(await reports.images({ ...query, group_by: ['source'] }))).toEqual([
      expect.objectContaining({ images: 1, source: 'image.generation', model: null }),
    ]);
    expect(sums(await reports.codeInterpreterSessions(query))).toEqual([
      expect.objectContaining({ num_sessions: 1, project_id: null }),
    ]);
    expect(sums(await reports.vectorStores(query))).toEqual([expect.objectContaining({ usage_bytes: 0 })]);
    expect(sums(await reports.moderations({ ...query, group_by }))).toHaveLength(1);
    expect(sums(await reports.audioTranscriptions(query))).toEqual([]);
  });

  it('tell batches apart, and names of keys as an administrator sees them', async () => {
    const day = DAY + 20 * DAY_S;
    await call(day);
    await call(day, { service_tier: 'batch' });
    const page = await organization.usage.completions({
      start_time: day,
      end_time: day + DAY_S,
      bucket_width: '1h',
      group_by: ['batch', 'api_key_id'],
    });
    const [plain, batch] = sums(page) as { batch: boolean; api_key_id: string }[];
    expect([plain?.batch, batch?.batch]).toEqual([false, true]);
    await bench.post('/chat/completions', HELLO);
    const keys: (string | undefined)[] = [];
    for await (const key of organization.projects.apiKeys.list('proj_simulated'))
      if (key.id === plain?.api_key_id) keys.push(key.redacted_value);
    expect(keys).toEqual(['sk-one...ours']);
  });
});
