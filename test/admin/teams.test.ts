import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Team, Teams } from '../../src/admin/contract.ts';
import { createTestAdmin, type TestAdmin } from './support.ts';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin('2026-11-29T10:20:30.456789Z');
});
afterAll(() => admin.close());

const noSuch = '019abcde-0000-7000-8000-000000000000';

describe('a new team', () => {
  test('gets $18 that expire three calendar months later, clamped to the end of a shorter month', async () => {
    const { status, body } = await admin.ask('POST', '/teams', { name: 'research' });
    expect(status).toBe(201);
    Team.parse(body);
    expect(body).toMatchObject({ name: 'research', plan: 'free-tier', unlimited: false, deleted_at: null });
    expect(body.grants).toEqual([
      {
        id: expect.any(String),
        amount_usd: '18.00',
        starts_at: '2026-11-29T10:20:30.456Z',
        expires_at: '2027-02-28T10:20:30.456Z',
      },
    ]);
  });

  test('without a plan gets no credit', async () => {
    const team = await admin.make('/teams', { name: 'no plan', plan: null, unlimited: true });
    expect(team).toMatchObject({ plan: null, unlimited: true, grants: [] });
  });

  test('of a plan gets the credit of the plan at that time', async () => {
    const grants = [
      { amount_usd: '5', months: 1 },
      { amount_usd: '2.5', months: null },
    ];
    await admin.make('/plans', { name: 'small', grants });
    const team = await admin.make('/teams', { name: 'of a plan', plan: 'small' });
    await admin.ask('PATCH', '/plans/small', { grants: [] });
    const shown = await admin.get(`/teams/${team.id}`);
    const credit = shown.grants.map(({ amount_usd, expires_at }) => [amount_usd, expires_at]);
    expect(credit.sort()).toEqual([
      ['2.50', null],
      ['5.00', '2026-12-29T10:20:30.456Z'],
    ]);
  });

  test('has a unique name, also among deleted teams and teams created at the same time', async () => {
    const twins = await Promise.all([1, 2, 3].map(() => admin.ask('POST', '/teams', { name: ' twin ' })));
    expect(twins.map((twin) => twin.status).sort()).toEqual([201, 409, 409]);
    const made = twins.find((twin) => twin.status === 201)!.body;
    expect(made.name).toBe('twin');
    await admin.ask('DELETE', `/teams/${made.id}`);
    const again = await admin.ask('POST', '/teams', { name: 'twin' });
    expect(again).toMatchObject({ status: 409, body: { error: { code: 'conflict', param: 'name' } } });
    const renamed = await admin.ask('PATCH', `/teams/${made.id}`, { name: 'research' });
    expect(renamed.status).toBe(409);
  });
});

test('a team is renamed, unless another has the name', async () => {
  const team = await admin.make('/teams', { name: 'before' });
  const renamed = await admin.ask('PATCH', `/teams/${team.id}`, { name: 'after' });
  expect(renamed).toMatchObject({ status: 200, body: { name: 'after' } });
  const taken = await admin.ask('PATCH', `/teams/${team.id}`, { name: 'research' });
  expect(taken).toMatchObject({ status: 409, body: { error: { param: 'name' } } });
});

test('deleting a team revokes its keys, keeps its history and may be repeated', async () => {
  const team = await admin.make('/teams', { name: 'leaving' });
  const key = await admin.make('/keys', { team_id: team.id, name: 'app' });
  const deleted = await admin.ask('DELETE', `/teams/${team.id}`);
  expect(deleted).toMatchObject({ status: 200, body: { deleted_at: '2026-11-29T10:20:30.456Z' } });
  expect(await admin.ask('DELETE', `/teams/${team.id}`)).toEqual(deleted);
  expect((await admin.get(`/keys/${key.id}`)).revoked_at).toBe('2026-11-29T10:20:30.456Z');
  expect(JSON.stringify(await admin.get('/teams?limit=1000'))).not.toContain(team.id);
  expect(JSON.stringify(await admin.get('/teams?limit=1000&include_deleted=true'))).toContain(team.id);
  for (const [path, body] of [
    ['/keys', { team_id: team.id, name: 'late' }],
    ['/grants', { team_id: team.id, amount_usd: '1' }],
  ] as const) {
    expect(await admin.ask('POST', path, body)).toMatchObject({ status: 409 });
  }
});

test('pages of the list have each team once, also teams created at the same time', async () => {
  const seen: string[] = [];
  let next: string | null = null;
  do {
    const page = await admin.get(`/teams?limit=2${next ? `&after=${next}` : ''}`);
    Teams.parse(page);
    seen.push(...page.data.map((team) => team.id));
    next = page.next;
  } while (next !== null);
  const all = (await admin.get('/teams?limit=1000')).data;
  expect(seen).toEqual(all.map((team) => team.id));
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen.length).toBeGreaterThan(3);
});

test('a team that does not exist is not found', async () => {
  for (const path of [`/teams/${noSuch}`, '/teams/x', `/teams/${noSuch}/balance`, '/team', '/plans/none']) {
    expect(await admin.ask('GET', path)).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found', type: 'invalid_request_error' } },
    });
  }
  expect((await admin.ask('PATCH', `/teams/${noSuch}`, { name: 'x' })).status).toBe(404);
  expect((await admin.ask('DELETE', `/teams/${noSuch}`)).status).toBe(404);
});
