import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Audit } from '../../src/admin/contract.ts';
import { createTeam } from '../../src/store/teams.ts';
import { type Answer, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

const NOW = '2026-11-24T10:00:00.000Z';

let admin: TestAdmin;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
});
afterAll(() => admin.close());

async function audit(query: string): Promise<Json[]> {
  const page = await admin.get(`/audit?${query}`);
  Audit.parse(page);
  return page.data;
}

const limitOf = (team: Json) => ({
  subject: { type: 'team', id: team.id },
  meter: 'cost_usd',
  amount: '10',
  window: { type: 'lifetime' },
});
const chat1 = { model: 'chat-1', input_usd: '1', output_usd: '2', source: 'a contract' };

/** Resource, body that creates it, its change, and the fields before and after. */
const resources: [
  string,
  (team: Json) => unknown,
  unknown,
  Record<string, unknown>,
  Record<string, unknown>,
][] = [
  ['team', () => ({ name: 'audited' }), { name: 'renamed' }, { name: 'audited' }, { name: 'renamed' }],
  [
    'key',
    (team) => ({ team_id: team.id, name: 'a' }),
    { models: ['m'] },
    { models: null },
    { models: ['m'] },
  ],
  [
    'limit',
    limitOf,
    { amount: '7.5', max_hold: '0.25' },
    { amount: '10.00', max_hold: null },
    { amount: '7.50', max_hold: '0.25' },
  ],
  [
    'grant',
    (team) => ({ team_id: team.id, amount_usd: '1' }),
    { amount_usd: '2', expires_at: '2027-01-01' },
    { amount_usd: '1.00', expires_at: null },
    { amount_usd: '2.00', expires_at: '2027-01-01T00:00:00.000Z' },
  ],
  [
    'plan',
    () => ({ name: 'big', grants: [] }),
    { grants: [{ amount_usd: '5', months: null }] },
    { grants: [] },
    { grants: [{ amount_usd: '5', months: null }] },
  ],
  ['price', () => chat1, { source: 'another' }, { source: 'a contract' }, { source: 'another' }],
];

describe('every change is kept with who, what, before and after:', () => {
  test.each(resources)('%s', async (resource, makeBody, change, was, is) => {
    const team = await admin.make('/teams', { name: `team of the ${resource}`, plan: null });
    const made = await admin.make(`/${resource}s`, makeBody(team));
    const id = String(made.id ?? made.name);
    expect((await admin.ask('PATCH', `/${resource}s/${id}`, change)).status).toBe(200);
    expect((await admin.ask('DELETE', `/${resource}s/${id}`)).status).toBe(200);
    // Deleting again, or changing what is gone, is no change.
    await admin.ask('DELETE', `/${resource}s/${id}`);
    await admin.ask('PATCH', `/${resource}s/${id}`, change);
    const teamId = resource === 'team' ? id : (made.team_id ?? null);
    const of = { actor: 'admin key', resource, resource_id: id, team_id: teamId };
    const entries = await audit(`resource=${resource}&resource_id=${id}`);
    const actions = ['create', 'change', resource === 'key' ? 'revoke' : 'delete'];
    expect(entries.map((entry) => entry.action).sort()).toEqual(actions.toSorted());
    const [created, changed, deleted] = actions.map((action) => entries.find((one) => one.action === action));
    expect(created).toMatchObject({ ...of, at: NOW, before: null, after: was });
    expect(changed).toMatchObject({ ...of, before: was, after: is });
    expect(deleted).toMatchObject({ ...of, before: is });
    if (resource === 'plan') expect(deleted!.after).toBeNull();
    else expect(deleted!.after).toMatchObject({ [resource === 'key' ? 'revoked_at' : 'deleted_at']: NOW });
  });
});

test('the log has the keys deleted with a team, the grants created by a plan, and the bound of a price', async () => {
  const team = await admin.make('/teams', { name: 'with all', plan: 'free-tier' });
  await admin.make('/keys', { team_id: team.id, name: 'one' });
  await admin.make('/keys', { team_id: team.id, name: 'two' });
  await admin.ask('DELETE', `/teams/${team.id}`);
  const entries = (await audit(`team_id=${team.id}`)).map((entry) => `${entry.action} ${entry.resource}`);
  expect(entries.sort()).toEqual([
    'create grant',
    'create key',
    'create key',
    'create team',
    'delete team',
    'revoke key',
    'revoke key',
  ]);
  await admin.make('/prices', { ...chat1, model: 'chat-2', max_output_tokens: 1000 });
  expect(await audit('resource=model&resource_id=chat-2')).toMatchObject([
    { action: 'create', after: { max_output_tokens: 1000 } },
  ]);
});

test('the log has the release of an unknown outcome with its evidence', async () => {
  const team = await admin.make('/teams', { name: 'unknown', plan: null });
  const key = await admin.make('/keys', { team_id: team.id, name: 'app' });
  const instance = await createTestInstance(admin.database);
  const call = { teamId: team.id, keyId: key.id, atMs: Date.parse(NOW), costUsd: '1.5' };
  const id = await instance.call({ ...call, outcome: 'unknown' });
  await admin.make(`/unknown/${id}/release`, { reason: 'not in their logs', cost_usd: '0.25' });
  expect(await audit(`resource_id=${id}`)).toMatchObject([
    {
      actor: 'admin key',
      action: 'release',
      resource: 'event',
      team_id: team.id,
      before: { cost_usd: '1.50' },
      after: { cost_usd: '0.25', reason: 'not in their logs' },
    },
  ]);
});

test('a change that no request asked for has the actor tollgate', async () => {
  expect(await audit('resource=plan&resource_id=free-tier')).toMatchObject([
    { actor: 'tollgate', action: 'create' },
  ]);
});

test('a change of the admin API whose actor was lost fails, and is not made', async () => {
  const database = { ...admin.database, actorRequired: true };
  const team = {
    name: 'without an actor',
    plan: null,
    departmentId: null,
    unlimited: false,
    models: undefined,
  };
  await expect(createTeam(database, team)).rejects.toThrow(/actor/);
  expect(await admin.database.sql`select from teams where name = ${team.name}`).toHaveLength(0);
});

test('the log has neither a key nor its hash', async () => {
  const team = await admin.make('/teams', { name: 'secrets', plan: null });
  const { key } = await admin.make('/keys', { team_id: team.id, name: 'app' });
  const [row] = await admin.database.sql`select hash from keys where team_id = ${team.id}`;
  const text = JSON.stringify(await admin.database.sql`select * from audit_log`);
  expect(text).toContain('"prefix"');
  for (const secret of [key, row!.hash, 'hash']) expect(text).not.toContain(secret);
});

test('a change that ended in an error is not in the log, and one made in the database has the database user as its actor', async () => {
  const team = await admin.make('/teams', { name: 'taken', plan: null });
  const other = await admin.make('/teams', { name: 'other', plan: null });
  const refused: Answer = await admin.ask('PATCH', `/teams/${other.id}`, { name: 'taken' });
  expect(refused.status).toBe(409);
  expect(await audit(`resource_id=${other.id}`)).toHaveLength(1);
  await admin.database.sql`update teams set unlimited = true where id = ${team.id}`;
  const entries = await audit(`resource_id=${team.id}`);
  expect(entries.find((entry) => entry.action === 'change')).toMatchObject({ actor: 'database postgres' });
});

test('the log is read newest first, page by page, each entry once', async () => {
  const { sql } = admin.database;
  await sql`insert into audit_log (id, at, actor, action, resource, resource_id)
    select gen_random_uuid(), '2026-01-01'::timestamptz + (n / 3) * interval '1 ms', 'x', 'change', 'model', 'paged'
    from generate_series(0, 9) n`;
  const seen: Json[] = [];
  for (let after = ''; ; ) {
    const page = await admin.get(`/audit?resource_id=paged&limit=3${after}`);
    seen.push(...page.data);
    if (page.next === null) break;
    after = `&after=${page.next}`;
  }
  expect(new Set(seen.map((entry) => entry.id)).size).toBe(10);
  const moments = seen.map((entry) => String(entry.at));
  expect(moments).toEqual(moments.toSorted().reverse());
});
