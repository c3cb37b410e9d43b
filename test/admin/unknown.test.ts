import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BulkRelease, Events, Release } from '../../src/admin/contract.ts';
import { releaseByPolicy } from '../../src/jobs/release.ts';
import { counterOf, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const NOW_MS = Date.parse(NOW);

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  instance = await createTestInstance(admin.database);
});
afterAll(() => admin.close());

/** A team with credit of $2 and $3 and a limit; a call of $4 holds all of the first grant and $2 of the other. */
async function makeUnknown(name: string) {
  const team = await admin.make('/teams', { name, plan: null });
  const key = await admin.make('/keys', { team_id: team.id, name: 'app' });
  const credit = (amount_usd: string, expires_at: string | null) =>
    admin.make('/grants', { team_id: team.id, amount_usd, expires_at });
  const grants = [await credit('2', '2027-01-01'), await credit('3', null)];
  const limit = await admin.make('/limits', {
    subject: { type: 'team', id: team.id },
    meter: 'cost_usd',
    amount: '10',
    window: { type: 'lifetime' },
  });
  const counters = grants.map((grant) => counterOf('grant', grant, team.id, NOW_MS));
  const eventId = await instance.call({
    teamId: team.id,
    keyId: key.id,
    atMs: NOW_MS,
    costUsd: '4',
    outcome: 'unknown',
    pools: [
      [
        { counter: counters[0]!, heldUsd: '2', settledUsd: '2' },
        { counter: counters[1]!, heldUsd: '2', settledUsd: '2' },
      ],
      [{ counter: counterOf('limit', limit, team.id, 0), heldUsd: '4', settledUsd: '4' }],
    ],
  });
  return { team, key, eventId };
}

const release = (eventId: string, body: unknown) => admin.ask('POST', `/unknown/${eventId}/release`, body);
const balanceOf = (team: Json) => admin.get(`/teams/${team.id}/balance`);
const settledOf = (rows: Json[]) => rows.map((row) => row.settled_usd ?? row.settled);

describe('the release of an unknown outcome', () => {
  test('returns what the call did not cost: to the last grant first, to each limit, in the sums', async () => {
    const { team, eventId } = await makeUnknown('partly');
    expect(await balanceOf(team)).toMatchObject({ settled_usd: '4.00', unknown_usd: '4.00' });
    const { status, body } = await release(eventId, { reason: 'the invoice says so', cost_usd: '0.75' });
    expect(status).toBe(200);
    Release.parse(body);
    expect(body).toMatchObject({
      event_id: eventId,
      team_id: team.id,
      delta_usd: '-3.25',
      reason: 'the invoice says so',
      actor: 'admin key',
      created_at: NOW,
    });
    const balance = await balanceOf(team);
    expect(balance).toMatchObject({ settled_usd: '0.75', remaining_usd: '4.25', unknown_usd: '0.00' });
    expect(settledOf(balance.grants)).toEqual(['0.75', '0.00']);
    expect(settledOf(balance.limits)).toEqual(['0.75']);
    const usage = await admin.get(`/usage?team_id=${team.id}&interval=total`);
    expect(usage.data).toMatchObject([{ calls: 1, unknown_calls: 0, cost_usd: '0.75', unknown_usd: '0.00' }]);
  });

  test('never changes the event itself, which then shows its cost after the correction', async () => {
    const { team, eventId } = await makeUnknown('immutable');
    const [before] = (await admin.get(`/events?team_id=${team.id}`)).data;
    await release(eventId, { reason: 'no trace of it upstream' });
    const [after] = (await admin.get(`/events?team_id=${team.id}`)).data;
    expect(after).toEqual({ ...before, adjusted_usd: '0.00' });
    expect(before).toMatchObject({ outcome: 'unknown', cost_usd: '4.00' });
    expect(before).not.toHaveProperty('adjusted_usd');
  });

  test('at more than was held charges the excess too', async () => {
    const { team, eventId } = await makeUnknown('dearer');
    expect((await release(eventId, { reason: 'billed', cost_usd: '4.5' })).body.delta_usd).toBe('0.50');
    const balance = await balanceOf(team);
    expect(settledOf(balance.grants)).toEqual(['2.00', '2.50']);
    expect(settledOf(balance.limits)).toEqual(['4.50']);
  });

  test('counts on a limit that was made after the call, whether a call needed it yet or not', async () => {
    const { team, eventId } = await makeUnknown('later limits');
    const make = () =>
      admin.make('/limits', {
        subject: { type: 'team', id: team.id },
        meter: 'cost_usd',
        amount: '100',
        window: { type: 'calendar', unit: 'day', time_zone: 'UTC' },
      });
    const [needed] = [await make(), await make()];
    const midnightMs = Date.parse('2026-11-24T00:00:00Z');
    await instance.hold(counterOf('limit', needed, team.id, midnightMs, midnightMs + 86_400_000), '1');
    expect(settledOf((await balanceOf(team)).limits)).toEqual(['4.00', '4.00', '4.00']);
    await release(eventId, { reason: 'a cheaper model answered', cost_usd: '1' });
    expect(settledOf((await balanceOf(team)).limits)).toEqual(['1.00', '1.00', '1.00']);
  });

  test('happens once, also with concurrent requests', async () => {
    const { team, eventId } = await makeUnknown('once');
    const answers = await Promise.all([1, 2, 3, 4].map(() => release(eventId, { reason: 'evidence' })));
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409, 409, 409]);
    expect(await balanceOf(team)).toMatchObject({ settled_usd: '0.00', remaining_usd: '5.00' });
  });

  test('removes it from the list of unknown calls, which has all teams, oldest first', async () => {
    const { team, key, eventId } = await makeUnknown('listed');
    const later = {
      teamId: team.id,
      keyId: key.id,
      costUsd: '0.5',
      atMs: NOW_MS + 1,
      outcome: 'unknown' as const,
    };
    const second = await instance.call(later);
    await instance.call({ ...later, outcome: 'settled' });
    const idsOf = async (query: string) => (await admin.get(`/unknown?${query}`)).data.map(({ id }) => id);
    const own = `team_id=${team.id}`;
    expect(await idsOf(own)).toEqual([eventId, second]);
    expect(Events.parse(await admin.get(`/unknown?${own}`)).data[0]).toMatchObject({ outcome: 'unknown' });
    const all = await idsOf('limit=1000');
    expect(all.indexOf(second)).toBe(all.length - 1);
    const page = await admin.get(`/unknown?${own}&limit=1`);
    expect(page.data.map(({ id }) => id)).toEqual([eventId]);
    expect(await idsOf(`${own}&after=${page.next}`)).toEqual([second]);
    await release(eventId, { reason: 'no trace of it upstream' });
    expect(await idsOf(own)).toEqual([second]);
    expect((await admin.get(`/events?${own}`)).data).toHaveLength(3);
  });

  test('ends in an error for a call whose outcome is known', async () => {
    const { team, key } = await makeUnknown('known');
    const call = { teamId: team.id, keyId: key.id, atMs: NOW_MS, costUsd: '0.5' };
    const eventId = await instance.call(call);
    expect(await release(eventId, { reason: 'x' })).toMatchObject({
      status: 409,
      body: { error: { code: 'conflict', message: expect.stringContaining('settled') } },
    });
  });
});

describe('the correction of another outcome', () => {
  /** A team with a limit of $10, and a call that held $4 of it. */
  async function makeCall(name: string, call: object, costUsd: string) {
    const team = await admin.make('/teams', { name, plan: null });
    const key = await admin.make('/keys', { team_id: team.id, name: 'app' });
    const limit = await admin.make('/limits', {
      subject: { type: 'team', id: team.id },
      meter: 'cost_usd',
      amount: '10',
      window: { type: 'lifetime' },
    });
    const counter = counterOf('limit', limit, team.id, 0);
    const pools = [[{ counter, heldUsd: '4', settledUsd: costUsd }]];
    const ids = { teamId: team.id, keyId: key.id, atMs: NOW_MS };
    return { team, eventId: await instance.call({ ...ids, costUsd, pools, ...call }) };
  }

  test.each([
    ['an estimated one is lowered', { outcome: 'settled', provenance: 'estimated' }, '4', '0.25', '-3.75'],
    ['a void one is charged after all', { outcome: 'voided' }, '0', '1.5', '1.50'],
  ] as const)('%s', async (name, call, charged, cost_usd, delta_usd) => {
    const { team, eventId } = await makeCall(name, call, charged);
    const later = await admin.make('/limits', {
      subject: { type: 'team', id: team.id },
      meter: 'cost_usd',
      amount: '100',
      window: { type: 'calendar', unit: 'day', time_zone: 'UTC' },
    });
    expect(later.id).toEqual(expect.any(String));
    const { status, body } = await release(eventId, { reason: 'the invoice says so', cost_usd });
    expect([status, body.delta_usd]).toEqual([200, delta_usd]);
    const cost = Number(cost_usd).toFixed(2);
    expect(settledOf((await balanceOf(team)).limits)).toEqual([cost, cost]);
    const usage = await admin.get(`/usage?team_id=${team.id}&interval=total`);
    expect(usage.data).toMatchObject([{ calls: 1, unknown_calls: 0, cost_usd: cost, unknown_usd: '0.00' }]);
    expect((await release(eventId, { reason: 'again' })).status).toBe(409);
  });

  test('409: the upstream reported its usage', async () => {
    const { eventId } = await makeCall('reported', { outcome: 'settled' }, '4');
    expect((await release(eventId, { reason: 'no' })).status).toBe(409);
  });
});

describe('the release of many', () => {
  const releaseAll = (filter: object) => admin.ask('POST', '/unknown/release', { filter, reason: 'outage' });

  test('gives back every charge that the filter names, in counters and sums, and no other', async () => {
    const { team, key } = await makeUnknown('many');
    const { team: other } = await makeUnknown('of another team');
    const call = (changes: object) =>
      instance.call({
        teamId: team.id,
        keyId: key.id,
        atMs: NOW_MS,
        costUsd: '0.5',
        outcome: 'unknown',
        ...changes,
      });
    await call({ model: 'gpt-5' });
    await call({ atMs: NOW_MS + 60_000 });
    await call({ atMs: NOW_MS + 3_600_000, reason: 'crash' });
    const settled = await call({ outcome: 'settled' });

    const some = await releaseAll({ team_id: team.id, model: 'gpt-5' });
    expect(some).toMatchObject({
      status: 200,
      body: { released_calls: 1, released_usd: '0.50', more: false },
    });
    const to = new Date(NOW_MS + 60_001).toISOString();
    BulkRelease.parse((await releaseAll({ team_id: team.id, from: NOW, to })).body);
    const left = (await admin.get(`/unknown?team_id=${team.id}`)).data;
    expect(left).toMatchObject([{ reason: 'crash' }]);
    expect((await releaseAll({ team_id: team.id, reason: 'crash' })).body.released_calls).toBe(1);
    expect((await releaseAll({ team_id: team.id })).body.released_calls).toBe(0);

    const balance = await balanceOf(team);
    expect(balance).toMatchObject({ unknown_usd: '0.00' });
    expect(settledOf(balance.grants)).toEqual(['0.00', '0.00']);
    expect(settledOf(balance.limits)).toEqual(['0.50']);
    const usage = await admin.get(`/usage?team_id=${team.id}&interval=total`);
    const [sum] = [usage.data.reduce((total, row) => total + Number(row.cost_usd), 0)];
    expect(sum).toBe(0.5);
    expect((await admin.get(`/events/${settled}`)).adjustments).toEqual([]);
    expect(await balanceOf(other)).toMatchObject({ unknown_usd: '4.00' });
    const audit = await admin.get(`/audit?resource=event&team_id=${team.id}`);
    const calls = audit.data.map(({ action, after }) => [
      action,
      (after as Json).reason,
      (after as Json).calls,
    ]);
    expect(calls.sort()).toEqual([
      ['release', 'outage', 1],
      ['release', 'outage', 1],
      ['release', 'outage', 2],
    ]);
  });

  test('takes thousands of calls in batches', async () => {
    const { team, key } = await makeUnknown('thousands');
    for (let made = 0; made < 1_200; made++) {
      const ids = { teamId: team.id, keyId: key.id, atMs: NOW_MS + made };
      await instance.call({ ...ids, costUsd: '0.01', outcome: 'unknown' });
    }
    expect((await releaseAll({ team_id: team.id })).body).toEqual({
      released_calls: 1_201,
      released_usd: '16.00',
      more: false,
    });
    expect(await balanceOf(team)).toMatchObject({ unknown_usd: '0.00', settled_usd: '0.00' });
  }, 120_000);

  test.each([
    ['an unknown field', { filter: { teams: [] }, reason: 'x' }],
    ['no reason', { filter: {} }],
    ['a reason that no event has', { filter: { reason: 'weather' }, reason: 'x' }],
  ])('400: %s', async (_, body) => {
    expect((await admin.ask('POST', '/unknown/release', body)).status).toBe(400);
  });
});

describe('the policy that releases', () => {
  test('takes the reasons that it names, after their hours', async () => {
    const { team, key } = await makeUnknown('policy');
    const hoursAgo = (hours: number, reason: string) =>
      instance.call({
        teamId: team.id,
        keyId: key.id,
        atMs: NOW_MS - hours * 3_600_000,
        costUsd: '1',
        outcome: 'unknown',
        reason,
      });
    const due = await hoursAgo(25, 'upstream_error');
    await hoursAgo(23, 'upstream_error');
    await hoursAgo(25, 'crash');
    const released = await releaseByPolicy(admin.database, new Map([['upstream_error', 24]]), NOW_MS);
    expect(released).toMatchObject([{ because: 'upstream_error', calls: 1 }]);
    const whole = await admin.get(`/events/${due}`);
    expect(whole.adjustments).toMatchObject([
      { actor: 'release', reason: 'no evidence in 24 hours (upstream_error)' },
    ]);
  });
});
