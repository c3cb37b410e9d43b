import OpenAI from 'openai';
import { beforeAll, describe, expect, it } from 'vitest';
import { HELLO, order, useSimulator } from './client.ts';

const bench = useSimulator({ adminKey: 'sk-admin-right' });
const FIRST_MINUTE = Math.floor(Date.now() / 60_000) * 60;

let admin: OpenAI;
beforeAll(() => {
  admin = new OpenAI({ adminAPIKey: 'sk-admin-right', baseURL: bench.simulator.url, maxRetries: 0 });
});

type Result = OpenAI.Admin.Organization.UsageCompletionsResponse.Data.OrganizationUsageCompletionsResult;

/** Whatever was used since the tests began, as one sum a group: an hour of the clock may end meanwhile. */
async function report(groups: OpenAI.Admin.Organization.UsageCompletionsParams['group_by'] = []) {
  const page = await admin.admin.organization.usage.completions({
    start_time: FIRST_MINUTE,
    end_time: FIRST_MINUTE + 3600,
    bucket_width: '1h',
    group_by: groups,
  });
  const sums = new Map<string, Result>();
  for (const result of page.data.flatMap(({ results }) => results as Result[])) {
    const name = JSON.stringify([result.api_key_id, result.model]);
    const before = sums.get(name);
    sums.set(name, before === undefined ? result : added(before, result));
  }
  return [...sums.values()];
}

/** The sum of each amount of two results. */
function added(one: Result, other: Result): Result {
  const amounts = new Map<string, unknown>(Object.entries(other));
  const sumOf = ([name, value]: [string, unknown]) => [
    name,
    typeof value === 'number' ? value + Number(amounts.get(name)) : value,
  ];
  return Object.fromEntries(Object.entries(one).map(sumOf)) as Result;
}

describe('the usage report', () => {
  it('sums what was billed, in the names that answers bear, and nothing that was not', async () => {
    const answers = [
      await bench.sdk7.chat.completions.create(HELLO),
      await bench.sdk7.chat.completions.create({ ...HELLO, model: 'gpt-4o-mini-2024-07-18' }),
    ];
    await bench.post('/chat/completions', HELLO, order('fault=html_502,billed=false').headers);
    await bench.post('/chat/completions', { ...HELLO, n: 0 });
    await bench.post('/chat/completions', HELLO, order('fault=cut_before_headers').headers).catch(() => null);
    const lost = bench.lastLine();
    const usages = answers.map((answer) => answer.usage!);
    const sum = (pick: (usage: OpenAI.CompletionUsage) => number) =>
      usages.reduce((total, usage) => total + pick(usage), 0);
    expect(await report(['model'])).toEqual([
      expect.objectContaining({
        object: 'organization.usage.completions.result',
        model: 'gpt-4o-mini-2024-07-18',
        input_tokens: sum((usage) => usage.prompt_tokens) + lost.usage.input_tokens,
        input_cached_tokens:
          sum((usage) => usage.prompt_tokens_details!.cached_tokens!) + lost.usage.cached_input_tokens,
        output_tokens: sum((usage) => usage.completion_tokens) + lost.usage.output_tokens,
        num_model_requests: 3,
        api_key_id: null,
      }),
    ]);
  });

  it('tells keys apart when asked to', async () => {
    await bench.post('/chat/completions', HELLO, { authorization: 'Bearer sk-of-another-application' });
    const groups = await report(['api_key_id']);
    expect(groups.map((group) => [group.num_model_requests, group.model])).toEqual([
      [3, null],
      [1, null],
    ]);
    expect(new Set(groups.map((group) => group.api_key_id)).size).toBe(2);
  });

  it('keeps embeddings in a report of their own', async () => {
    const { usage } = await bench.sdk7.embeddings.create({ model: 'text-embedding-3-small', input: 'hello' });
    const page = await admin.admin.organization.usage.embeddings({
      start_time: FIRST_MINUTE,
      end_time: FIRST_MINUTE + 3600,
      bucket_width: '1h',
      group_by: ['model'],
    });
    expect(page.data.flatMap(({ results }) => results)).toEqual([
      expect.objectContaining({ model: 'text-embedding-3-small', input_tokens: usage.prompt_tokens }),
    ]);
    expect((await report(['model'])).map(({ model }) => model)).toEqual(['gpt-4o-mini-2024-07-18']);
  });

  it('has a bucket for every minute, page after page', async () => {
    const query = {
      start_time: FIRST_MINUTE,
      end_time: FIRST_MINUTE + 300,
      bucket_width: '1m',
      limit: 2,
    } as const;
    const first = await admin.admin.organization.usage.completions(query);
    const second = await admin.admin.organization.usage.completions({ ...query, page: first.next_page! });
    const third = await admin.admin.organization.usage.completions({ ...query, page: second.next_page! });
    const starts = [first, second, third].map(({ data }) => data.map((bucket) => bucket.start_time));
    const minute = (index: number) => FIRST_MINUTE + 60 * index;
    expect(starts).toEqual([[minute(0), minute(1)], [minute(2), minute(3)], [minute(4)]]);
    expect([first.has_more, second.has_more, third.has_more]).toEqual([true, true, false]);
    expect(third.next_page).toBeNull();
  });

  it('opens to an administrator only', async () => {
    const ask = (key: string) =>
      fetch(`${bench.simulator.url}/organization/usage/completions?start_time=${FIRST_MINUTE}`, {
        headers: { authorization: `Bearer ${key}` },
      }).then((response) => response.status);
    const keys = ['sk-test', 'sk-admin-wrong', 'sk-admin-right'];
    expect(await Promise.all(keys.map(ask))).toEqual([403, 401, 200]);
  });

  it.each([
    ['limit', 'limit=1441&bucket_width=1m'],
    ['group_by', 'group_by=colour'],
    ['bucket_width', 'bucket_width=1s'],
    ['start_time', 'start_time='],
    ['page', 'page=page_nonsense'],
  ])('refuses a wrong %s', async (param, wrong) => {
    const search = new URLSearchParams({ start_time: String(FIRST_MINUTE - 60) });
    for (const [name, value] of new URLSearchParams(wrong)) search.set(name, value);
    const response = await fetch(`${bench.simulator.url}/organization/usage/completions?${search}`, {
      headers: { authorization: 'Bearer sk-admin-right' },
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});
