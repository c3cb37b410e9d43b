import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Balance, Events, Usage } from '../../src/admin/contract.ts';
import type { CounterSpec } from '../../src/domain/counter.ts';
import { counterOf, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const NOW_MS = Date.parse(NOW);
/** Midnight in Berlin: 23:00 UTC of the day before. */
const BERLIN_DAY_MS = Date.parse('2026-11-23T23:00:00Z');
const NEXT_BERLIN_DAY_MS = Date.parse('2026-11-24T23:00:00Z');
const DAY = { type: 'calendar', unit: 'day', time_zone: 'Europe/Berlin' };

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  instance = await createTestInstance(admin.database);
});
afterAll(() => admin.close());

async function makeTeam(name: string, plan: string | null): Promise<{ team: Json; key: Json }> {
  const team = await admin.make('/teams', { name, plan });
  return { team, key: await admin.make('/keys', { team_id: team.id, name: 'app' }) };
}
const makeLimit = (type: string, id: string, window: unknown, amount = '10') =>
  admin.make('/limits', { subject: { type, id }, meter: 'cost_usd', amount, window });
const part = (counter: CounterSpec, usd: string) => ({ counter, heldUsd: usd, settledUsd: usd });

describe('a balance', () => {
  test('of a prepaid team sums its grants: what is settled, what calls hold and what remains', async () => {
    const { team, key } = await makeTeam('prepaid', 'free-tier');
    const call = { teamId: team.id, keyId: key.id, atMs: NOW_MS };
    const counter = counterOf('grant', team.grants[0]!, team.id, NOW_MS);
    await instance.call({ ...call, costUsd: '1.000000000001', pools: [[part(counter, '1.000000000001')]] });
    await instance.call({
      ...call,
      costUsd: '0.5',
      outcome: 'unknown',
      pools: [[part(counter, '0.5')]],
    });
    await instance.hold(counter, '2.25');
    const expired = { team_id: team.id, amount_usd: '5', starts_at: '2026-01-01', expires_at: '2026-02-01' };
    await admin.make('/grants', expired);
    const deleted = await admin.make('/grants', { team_id: team.id, amount_usd: '100' });
    await admin.ask('DELETE', `/grants/${deleted.id}`);
    const balance = await admin.get(`/teams/${team.id}/balance`);
    Balance.parse(balance);
    expect(balance).toMatchObject({
      granted_usd: '23.00',
      settled_usd: '1.500000000001',
      held_usd: '2.25',
      remaining_usd: '16.499999999999',
      unknown_usd: '0.50',
      limits: [],
    });
    expect(balance.grants.map((grant) => grant.remaining_usd)).toEqual(['0.00', '16.499999999999']);
  });

  test('shows each limit in its current window, also before any call needed it', async () => {
    const { team, key } = await makeTeam('limited', null);
    const day = await makeLimit('team', team.id, DAY);
    const life = await makeLimit('team', team.id, { type: 'lifetime' });
    const counter = counterOf('limit', day, team.id, BERLIN_DAY_MS, NEXT_BERLIN_DAY_MS);
    await instance.call({
      teamId: team.id,
      keyId: key.id,
      atMs: NOW_MS,
      costUsd: '4',
      pools: [[part(counter, '4')]],
    });
    await instance.call({ teamId: team.id, keyId: key.id, atMs: BERLIN_DAY_MS - 1, costUsd: '3' });
    await instance.hold(counter, '1');
    const balance = await admin.get(`/teams/${team.id}/balance`);
    expect(balance).toMatchObject({
      granted_usd: '0.00',
      settled_usd: '7.00',
      remaining_usd: null,
      held_usd: '1.00',
    });
    const [ofDay, ofLife] = [day, life].map(({ id }) => balance.limits.find((limit) => limit.id === id));
    expect([ofDay, ofLife]).toMatchObject([
      {
        id: day.id,
        amount: '10.00',
        settled: '4.00',
        held: '1.00',
        remaining: '6.00',
        over_limit_usd: '0.00',
        window: DAY,
        window_starts_at: '2026-11-23T23:00:00.000Z',
        resets_at: '2026-11-24T23:00:00.000Z',
      },
      { id: life.id, settled: '7.00', held: '0.00', window_starts_at: null, resets_at: null },
    ]);
  });

  test('shows the excess over a lowered limit, and a key’s limit counts that key alone', async () => {
    const { team, key } = await makeTeam('lowered', null);
    const other = await admin.make('/keys', { team_id: team.id, name: 'other' });
    const limit = await makeLimit('key', key.id, { type: 'lifetime' });
    for (const [keyId, costUsd] of [
      [key.id, '3'],
      [other.id, '50'],
    ] as const) {
      await instance.call({ teamId: team.id, keyId, atMs: NOW_MS, costUsd });
    }
    await admin.ask('PATCH', `/limits/${limit.id}`, { amount: '2' });
    const balance = await admin.get(`/teams/${team.id}/balance`);
    expect(balance.limits).toMatchObject([{ settled: '3.00', remaining: '0.00', over_limit_usd: '1.00' }]);
  });

  test('counts no holds of an instance that is no longer alive', async () => {
    const { team } = await makeTeam('crashed', 'free-tier');
    const dead = await createTestInstance(admin.database);
    await dead.hold(counterOf('grant', team.grants[0]!, team.id, NOW_MS), '2');
    const held = async () => (await admin.get(`/teams/${team.id}/balance`)).held_usd;
    expect(await held()).toBe('2.00');
    await admin.database.sql`update instances set status = 'stopped' where id = ${dead.instanceId}`;
    expect(await held()).toBe('0.00');
  });
});

describe('usage', () => {
  let team: Json;
  let keys: Json[];
  beforeAll(async () => {
    ({ team } = await makeTeam('usage', null));
    const names = ['one', 'two'];
    keys = await Promise.all(names.map((name) => admin.make('/keys', { team_id: team.id, name })));
    const calls: [string, number, string, string][] = [
      ['2026-11-23T22:59:59.999Z', 0, 'gpt-4o-mini', '1'],
      ['2026-11-23T23:00:00.000Z', 0, 'gpt-4o-mini', '2'],
      ['2026-11-24T01:10:00.000Z', 1, 'gpt-4o', '4'],
    ];
    for (const [at, key, model, costUsd] of calls) {
      const keyId = keys[key]!.id;
      await instance.call({ teamId: team.id, keyId, atMs: Date.parse(at), model, costUsd });
    }
  });
  const usage = async (query: string) => {
    const answer = await admin.get(`/usage?team_id=${team.id}&${query}`);
    Usage.parse(answer);
    return answer.data;
  };

  test('is summed by days of the query’s time zone', async () => {
    const berlin = await usage('interval=day&time_zone=Europe/Berlin');
    expect(berlin).toMatchObject([
      { starts_at: '2026-11-22T23:00:00.000Z', calls: 1, cost_usd: '1.00' },
      { starts_at: '2026-11-23T23:00:00.000Z', calls: 2, cost_usd: '6.00' },
    ]);
    const utc = await usage('interval=day');
    expect(utc.map((row) => row.cost_usd)).toEqual(['3.00', '4.00']);
  });

  test('is summed by every dimension and interval to the same total', async () => {
    const total = await usage('interval=total');
    expect(total).toEqual([
      {
        starts_at: null,
        calls: 3,
        voided_calls: 0,
        unknown_calls: 0,
        input_tokens: 30,
        cached_input_tokens: 12,
        cache_write_tokens: 0,
        output_tokens: 15,
        reasoning_tokens: 6,
        quantities: {},
        cost_usd: '7.00',
        unknown_usd: '0.00',
      },
    ]);
    const byModelAndKey = await usage('interval=total&group_by=model,key');
    expect(byModelAndKey.map((row) => [row.key_id, row.model, row.cost_usd])).toEqual(
      expect.arrayContaining([
        [keys[0]!.id, 'gpt-4o-mini', '3.00'],
        [keys[1]!.id, 'gpt-4o', '4.00'],
      ]),
    );
    for (const interval of ['15m', 'hour', 'day', 'week', 'month']) {
      const rows = await usage(`interval=${interval}&group_by=team,operation`);
      expect(rows.reduce((sum, row) => sum + Number(row.cost_usd), 0)).toBe(7);
      expect(rows[0]).toMatchObject({ team_id: team.id, operation: 'chat.completions' });
    }
  });

  test('shows the groups that cost most in the whole range, and the others as one row of each interval', async () => {
    const days = await usage('interval=day&time_zone=Europe/Berlin&group_by=key,model&top=1');
    expect(days).toMatchObject([
      { starts_at: '2026-11-22T23:00:00.000Z', other: true, calls: 1, cost_usd: '1.00' },
      {
        starts_at: '2026-11-23T23:00:00.000Z',
        key_id: keys[1]!.id,
        key_name: 'two',
        model: 'gpt-4o',
        calls: 1,
      },
      { starts_at: '2026-11-23T23:00:00.000Z', other: true, calls: 1, cost_usd: '2.00', input_tokens: 10 },
    ]);
    for (const row of days) expect(row.other === true, JSON.stringify(row)).toBe(row.key_id === undefined);
    expect(await usage('interval=total&group_by=model&top=2')).toEqual(
      await usage('interval=total&group_by=model'),
    );
    const tagged = await usage('interval=total&group_by=team,tag:project&top=1');
    expect(tagged).toMatchObject([
      { team_id: team.id, tag_name: 'project', tag_value: null, cost_usd: '7.00' },
    ]);
  });

  test('is widened to whole quarters of an hour, which the response names', async () => {
    const query = 'interval=total&from=2026-11-23T23:14:00Z&to=2026-11-24T01:01:00Z';
    const answer = await admin.get(`/usage?team_id=${team.id}&${query}`);
    expect(answer).toMatchObject({ from: '2026-11-23T23:00:00.000Z', to: '2026-11-24T01:15:00.000Z' });
    expect(answer.data).toMatchObject([{ calls: 2, cost_usd: '6.00' }]);
    expect(await usage('interval=total&to=2026-11-23T22:00:00Z')).toEqual([]);
  });
});

describe('events', () => {
  test('are listed oldest first, each once, of one team or of all', async () => {
    const { team, key } = await makeTeam('events', null);
    const other = await makeTeam('other events', null);
    const ids: string[] = [];
    for (const atMs of [NOW_MS - 5, NOW_MS - 90 * 86_400_000, NOW_MS - 5, NOW_MS - 4]) {
      ids.push(await instance.call({ teamId: team.id, keyId: key.id, atMs, costUsd: '0.01' }));
      await instance.call({ teamId: other.team.id, keyId: other.key.id, atMs, costUsd: '0.01' });
    }
    const walk = async (filter: string) => {
      const seen: Json[] = [];
      for (let after = ''; ; ) {
        const page = await admin.get(`/events?limit=3${filter}${after}`);
        Events.parse(page);
        seen.push(...page.data);
        if (page.next === null) return seen;
        after = `&after=${page.next}`;
      }
    };
    const own = await walk(`&team_id=${team.id}`);
    expect(own.map((event) => event.id)).toEqual(ids.toSorted());
    expect(own[0]).toMatchObject({
      team_id: team.id,
      key_id: key.id,
      model: 'gpt-4o-mini',
      cost_usd: '0.01',
    });
    expect(own[0]).toMatchObject({ created_at: new Date(NOW_MS - 90 * 86_400_000).toISOString() });
    const all = (await walk('')).map((event) => event.id);
    expect(all).toEqual(all.toSorted());
    expect(new Set(all).size).toBe(all.length);
    expect(all).toEqual(expect.arrayContaining(ids));
  });
});

test('every report flushes the ledger first', async () => {
  const { team } = await makeTeam('fresh', null);
  for (const path of [`/teams/${team.id}/balance`, '/usage', '/events']) {
    const before = admin.settledCount();
    await admin.get(path);
    expect(admin.settledCount()).toBe(before + 1);
  }
});
