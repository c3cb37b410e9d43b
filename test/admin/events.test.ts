import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Events, WholeEvent } from '../../src/admin/contract.ts';
import { SEARCHED_MAX } from '../../src/store/events.ts';
import {
  ADMIN_KEY,
  counterOf,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from './support.ts';

const NOW_MS = Date.parse('2026-11-24T10:00:00.000Z');

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
let team: Json;
let key: Json;
beforeAll(async () => {
  admin = await createTestAdmin(new Date(NOW_MS).toISOString());
  instance = await createTestInstance(admin.database);
  team = await admin.make('/teams', { name: 'research', plan: null });
  key = await admin.make('/keys', { team_id: team.id, name: 'notebooks' });
});
afterAll(() => admin.close());

/** Every event of a list, page by page. */
async function walk(query: string): Promise<Json[]> {
  const seen: Json[] = [];
  for (let after = ''; ; ) {
    const page = await admin.get(`/events?${query}${after}`);
    Events.parse(page);
    seen.push(...page.data);
    if (page.next === null) return seen;
    after = `&after=${page.next}`;
  }
}

async function csv(query: string): Promise<{ type: string | null; lines: string[] }> {
  const response = await admin.app.request(`/admin/v1/events.csv?${query}`, {
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  });
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return { type: response.headers.get('content-type'), lines: text.split('\r\n') };
}

describe('the list of calls', () => {
  let other: Json;
  const ids: string[] = [];
  beforeAll(async () => {
    other = await admin.make('/keys', { team_id: team.id, name: 'batch' });
    const calls = [
      { keyId: key.id, model: 'gpt-4o', outcome: 'settled', endUser: 'ann' },
      { keyId: key.id, model: 'gpt-4o-mini', outcome: 'voided', endUser: null },
      { keyId: other.id, model: 'gpt-4o', outcome: 'unknown', endUser: 'bob' },
      { keyId: other.id, model: 'gpt-4o', outcome: 'settled', endUser: 'ann', operation: 'responses' },
    ] as const;
    for (const [index, call] of calls.entries()) {
      ids.push(await instance.call({ teamId: team.id, atMs: NOW_MS + index * 1000, costUsd: '0', ...call }));
    }
  });

  test.each<[string, number[]]>([
    ['key_id=OTHER', [2, 3]],
    ['model=gpt-4o', [0, 2, 3]],
    ['model=gpt-4o&order=desc', [3, 2, 0]],
    ['operation=responses', [3]],
    ['outcome=unknown', [2]],
    ['provenance=reported&outcome=voided', [1]],
    ['end_user=ann', [0, 3]],
    ['end_user=ann&key_id=OTHER', [3]],
    ['from=2026-11-24T10:00:01Z&to=2026-11-24T10:00:03Z', [1, 2]],
    ['from=2026-11-24T10:00:01Z&order=desc', [3, 2, 1]],
    ['model=gpt', []],
  ])('can be filtered by %s', async (query, found) => {
    const asked = `limit=1&team_id=${team.id}&${query.replace('OTHER', other.id)}`;
    expect((await walk(asked)).map((event) => event.id)).toEqual(found.map((index) => ids[index]));
    expect((await csv(asked.replace('limit=1&', ''))).lines).toHaveLength(found.length + 2);
  });

  test('has the names of team and key', async () => {
    const [event] = await walk(`team_id=${team.id}&key_id=${other.id}`);
    expect(event).toMatchObject({ team_name: 'research', key_name: 'batch', end_user: 'bob' });
  });

  test('shows those without a label to people who check, of operations that give them something to check', async () => {
    const { id: teamId } = await admin.make('/teams', { name: 'checked', plan: null });
    const call = (operation: string, second: number) =>
      instance.call({
        ...{ teamId, keyId: key.id, model: 'gpt-4o', outcome: 'settled', costUsd: '0', operation },
        atMs: NOW_MS + second * 1000,
      });
    const [vector, chat, speech, compaction] = [
      await call('embeddings', 1),
      await call('chat.completions', 2),
      await call('audio.speech', 3),
      await call('responses.compact', 4),
    ];
    const idsOf = async (labelled: string) =>
      (await walk(`team_id=${teamId}&labelled=${labelled}`)).map(({ id }) => id);
    expect(await idsOf('wanted')).toEqual([chat, speech]);
    await admin.make('/labels', { call_id: chat, label: 'accepted' });
    expect(await idsOf('wanted')).toEqual([speech]);
    expect(await idsOf('true')).toEqual([chat]);
    expect(await idsOf('false')).toEqual([vector, speech, compaction]);
  });

  test('finds rare calls: a page searches a bounded number of calls, and the next page continues', async () => {
    const { sql } = admin.database;
    const many = await admin.make('/teams', { name: 'many', plan: null });
    await sql`insert into usage_events select e.* from generate_series(1, ${SEARCHED_MAX + 15_000}) n,
      lateral json_populate_record(null::usage_events, json_build_object(
        'team_id', ${many.id}::text, 'id', gen_random_uuid(), 'created_at', '2026-11-20'::timestamptz + n * interval '1 ms',
        'key_id', ${key.id}::text, 'instance_id', gen_random_uuid(), 'operation', 'embeddings',
        'model', case when n % 15000 = 0 then 'rare' else 'usual' end, 'stream', false, 'outcome', 'settled',
        'provenance', 'reported', 'input_tokens', 1, 'cached_input_tokens', 0, 'cache_write_tokens', 0, 'output_tokens', 0,
        'reasoning_tokens', 0, 'cost_usd', 0, 'hold_usd', 0, 'allocations', '[]'::json, 'stage_us', '{}'::json)) e`;
    const query = `team_id=${many.id}&model=rare&limit=5`;
    const first = await admin.get(`/events?${query}`);
    expect([first.data.length, first.next !== null]).toEqual([1, true]);
    expect(await walk(query)).toHaveLength(2);
    expect(await walk(`${query}&order=desc`)).toHaveLength(2);
    expect((await csv(`team_id=${many.id}&model=rare`)).lines).toHaveLength(4);
    expect(await walk(`team_id=${many.id}&model=none`)).toEqual([]);
  });

  test.each(['order=down', 'outcome=lost', 'from=yesterday', 'key_id=x', 'colour=red'])(
    'responds 400 to %s',
    async (query) => {
      for (const path of ['/events', '/events.csv']) {
        const { status, body } = await admin.ask('GET', `${path}?${query}`);
        expect([status, (body.error as { param: string }).param]).toEqual([400, query.split('=')[0]]);
      }
    },
  );
});

describe('one call', () => {
  test('shows its charge to each budget and its corrections', async () => {
    const prepaid = await admin.make('/teams', { name: 'prepaid' });
    const own = await admin.make('/keys', { team_id: prepaid.id, name: 'app' });
    const limit = await admin.make('/limits', {
      subject: { type: 'team', id: prepaid.id },
      meter: 'cost_usd',
      amount: '5',
      window: { type: 'lifetime' },
    });
    const held = { heldUsd: '0.50', settledUsd: '0.50' };
    const grant = prepaid.grants[0]!;
    const id = await instance.call({
      teamId: prepaid.id,
      keyId: own.id,
      atMs: NOW_MS,
      costUsd: '0.50',
      outcome: 'unknown',
      pools: [
        [{ counter: counterOf('grant', grant, prepaid.id, NOW_MS), ...held }],
        [{ counter: counterOf('limit', limit, prepaid.id, 0), ...held }],
      ],
    });
    await admin.make(`/unknown/${id}/release`, { reason: 'a ticket', cost_usd: '0.2' });
    const shown = await admin.get(`/events/${id}`);
    WholeEvent.parse(shown);
    expect(shown).toMatchObject({
      id,
      team_name: 'prepaid',
      cost_usd: '0.50',
      adjusted_usd: '0.20',
      stage_us: { route: 3, forward: 1200 },
      allocations: [
        {
          counter_id: `${grant.id}@${NOW_MS}`,
          source: 'grant',
          grant_id: grant.id,
          held: '0.50',
          settled: '0.50',
        },
        { counter_id: `${limit.id}@0`, source: 'limit', limit_id: limit.id, held: '0.50', settled: '0.50' },
      ],
      adjustments: [{ delta_usd: '-0.30', reason: 'a ticket', actor: 'admin key' }],
    });
  });

  test('responds 404 when it does not exist', async () => {
    for (const id of ['019abcde-0000-7000-8000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'x']) {
      expect(await admin.ask('GET', `/events/${id}`)).toMatchObject({ status: 404 });
    }
  });
});

describe('the calls as CSV', () => {
  test('are quoted by RFC 4180, with a header of all columns', async () => {
    const { type, lines } = await csv(`team_id=${team.id}&limit`.replace('&limit', ''));
    expect(type).toBe('text/csv; charset=utf-8; header=present');
    expect(lines[0]).toMatch(/^created_at,id,team_id,team_name,key_id,key_name,operation,model,/);
    expect(lines.at(-1)).toBe('');
    expect(lines[1]).toMatch(
      /^2026-11-24T10:00:00\.000Z,[0-9a-f-]{36},[0-9a-f-]{36},research,[0-9a-f-]{36},notebooks,/,
    );
  });

  test.each([
    ['=1+1', "'=1+1"],
    ['\n=1+1', `"'\n=1+1"`],
    ['＝1+1', "'＝1+1"],
    ['\ufeff=1+1', "'\ufeff=1+1"],
    ['\u00a0\u200b=1+1', "'\u00a0\u200b=1+1"],
    ['＠SUM(1)', "'＠SUM(1)"],
    ['a\n=1+1', `"'a\n=1+1"`],
    ['|cmd', "'|cmd"],
    ['a;=1+1', '"a;=1+1"'],
    ['+1', "'+1"],
    ['-2+3', "'-2+3"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', `"'\t=1"`],
    ['=HYPERLINK("http://x","y")', `"'=HYPERLINK(""http://x"",""y"")"`],
    ['a,"b"', '"a,""b"""'],
    ['plain', 'plain'],
  ])('never contain a formula, whatever the names of models and users: %j', async (endUser, cell) => {
    const call = { teamId: team.id, keyId: key.id, atMs: NOW_MS + 60_000, costUsd: '0' };
    const id = await instance.call({ ...call, model: endUser, endUser });
    const { lines } = await csv(`team_id=${team.id}&from=2026-11-24T10:00:30Z`);
    const line = lines.find((each) => each.includes(id))!;
    expect(line).toContain(`,chat.completions,${cell},`);
    expect(line).toContain(`,false,${cell},settled,`);
  });
});
