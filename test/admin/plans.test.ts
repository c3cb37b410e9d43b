import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Plan, Team } from '../../src/admin/contract.ts';
import { createTestAdmin, type TestAdmin } from './support.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin('2026-11-24T10:00:00Z');
});
afterAll(() => admin.close());

const MONTH = { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' };
const MONTHLY = { meter: 'cost_usd', amount: '50.00', window: MONTH };
const RATE = {
  meter: 'requests',
  amount: '600',
  window: { type: 'rolling', seconds: 60 },
  models: ['gpt-4o'],
};
const SOFT = { ...MONTHLY, amount: '40.00', enforcement: 'soft', warn_at: [90, 120] };
const stored = (limit: object) => ({
  models: null,
  enforcement: 'strict',
  max_hold: null,
  max_unknown: null,
  warn_at: null,
  ...limit,
});

let plans = 0;
const planOf = async (contents: object) => {
  const name = `plan ${++plans}`;
  return { name, plan: await admin.make('/plans', { name, ...contents }) };
};

describe('a plan', () => {
  test('is returned as it was created', async () => {
    const grants = [{ amount_usd: '5.00', months: 3 }];
    const limits = [MONTHLY, RATE, SOFT];
    const { name, plan } = await planOf({ grants, limits, models: ['gpt-4o-mini'] });
    Plan.parse(plan);
    expect(plan).toMatchObject({ name, grants, limits: limits.map(stored), models: ['gpt-4o-mini'] });
    expect(await admin.get(`/plans/${encodeURIComponent(name)}`)).toEqual(plan);
  });

  test('may be empty', async () => {
    const { plan } = await planOf({});
    expect(plan).toMatchObject({ grants: [], limits: [], models: null });
  });

  test('changes only in the given fields', async () => {
    const { name } = await planOf({ limits: [MONTHLY], models: ['gpt-4o'] });
    const path = `/plans/${encodeURIComponent(name)}`;
    const raised = await admin.ask('PATCH', path, { limits: [{ ...MONTHLY, amount: '60.00' }] });
    expect(raised.body).toMatchObject({
      limits: [stored({ ...MONTHLY, amount: '60.00' })],
      models: ['gpt-4o'],
    });
    const opened = await admin.ask('PATCH', path, { models: null });
    expect(opened.body).toMatchObject({ limits: raised.body.limits, models: null });
  });

  test('free-tier is built in: $18 for three months, no limits, all models', async () => {
    expect(await admin.get('/plans/free-tier')).toMatchObject({
      grants: [{ amount_usd: '18.00', months: 3 }],
      limits: [],
      models: null,
    });
  });

  test.each([
    [
      'that a limit of its own would be refused for',
      { ...MONTHLY, window: RATE.window },
      'limits[1].window.type',
    ],
    ['that names a subject', { ...MONTHLY, subject: { type: 'org' } }, 'limits[1].subject'],
    ['with half a request', { ...RATE, amount: '0.5' }, 'limits[1].amount'],
    [
      'with a time zone that is none',
      { ...MONTHLY, window: { ...MONTH, time_zone: 'Mars' } },
      'limits[1].window.time_zone',
    ],
  ])('may hold no limit %s', async (_, limit, param) => {
    const answer = await admin.ask('POST', '/plans', { name: 'bad', limits: [MONTHLY, limit] });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'invalid_request', param } } });
    expect((await admin.ask('GET', '/plans/bad')).status).toBe(404);
    const { name } = await planOf({});
    const path = `/plans/${encodeURIComponent(name)}`;
    expect((await admin.ask('PATCH', path, { limits: [MONTHLY, limit] })).status).toBe(400);
  });
});

describe('a team of a plan', () => {
  test('gets its limits as its own, and its models', async () => {
    const { name } = await planOf({ limits: [MONTHLY, RATE, SOFT], models: ['gpt-4o'] });
    const team = await admin.make('/teams', { name: 'of limits', plan: name });
    Team.parse(team);
    expect(team).toMatchObject({ plan: name, models: ['gpt-4o'], grants: [] });
    const { data } = await admin.get(`/limits?team_id=${team.id}`);
    const subject = { type: 'team', id: team.id };
    expect(data).toHaveLength(3);
    for (const limit of [MONTHLY, RATE, SOFT]) {
      expect(data).toContainEqual(expect.objectContaining({ ...stored(limit), subject, team_id: team.id }));
    }
    await admin.ask('DELETE', `/limits/${data[0]!.id}`);
    expect((await admin.get(`/limits?team_id=${team.id}`)).data).toHaveLength(2);
  });

  test('keeps its limits and grants when the plan changes or is deleted', async () => {
    const { name } = await planOf({ limits: [MONTHLY], models: ['gpt-4o'] });
    const team = await admin.make('/teams', { name: 'keeper', plan: name });
    const path = `/plans/${encodeURIComponent(name)}`;
    await admin.ask('PATCH', path, { limits: [], models: null });
    await admin.ask('DELETE', path);
    expect(await admin.get(`/teams/${team.id}`)).toEqual(team);
    expect((await admin.get(`/limits?team_id=${team.id}`)).data).toHaveLength(1);
  });

  test('may have other models than the plan, at once or later', async () => {
    const { name } = await planOf({ models: ['gpt-4o'] });
    const open = await admin.make('/teams', { name: 'open', plan: name, models: null });
    expect(open.models).toBeNull();
    const narrow = await admin.ask('PATCH', `/teams/${open.id}`, { models: ['gpt-4o-mini'] });
    expect(narrow.body).toMatchObject({ name: 'open', models: ['gpt-4o-mini'] });
    expect((await admin.ask('PATCH', `/teams/${open.id}`, { models: [] })).status).toBe(400);
  });
});
