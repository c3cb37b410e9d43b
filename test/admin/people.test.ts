/** People and service tokens: who may make whom, what ends with them, and what nobody gets by asking. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { sessionStore } from '../../src/store/sessions.ts';
import { createTestAdmin, type Json, signIn, type TestAdmin } from './support.ts';

const ORG = { type: 'org' };
const SENDER = { remoteAddress: '192.0.2.1', rawHeaders: [] };

let admin: TestAdmin;
let own: Json;
let other: Json;
beforeAll(async () => {
  admin = await createTestAdmin();
  own = await admin.make('/teams', { name: 'own' });
  other = await admin.make('/teams', { name: 'other' });
});
afterAll(() => admin.close());

let made = 0;
/** A person with these roles, in a session of theirs. */
async function person(...roles: { role: string; scope: object }[]) {
  const row = await admin.make('/people', { user_name: `person-${++made}@example.com`, roles });
  const { sessions } = signIn(admin.database);
  const found = { id: asId<never>(row.id), userName: String(row.user_name), displayName: '', held: [] };
  const { token, session } = await sessions.openFor(found, SENDER);
  const ask = async (method: string, path: string, body?: unknown, csrf = session.csrf) => {
    const response = await admin.app.request(`/admin/v1${path}`, {
      method,
      headers: { cookie: `tollgate_session=${token}`, 'x-tollgate-csrf': csrf },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Json };
  };
  return { id: row.id, userName: String(row.user_name), sessionId: session.id, ask };
}

async function askAs(token: unknown, method: string, path: string, body?: unknown) {
  const response = await admin.app.request(`/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Json };
}

const lastEntry = async (query: string) => (await admin.get(`/audit?${query}&limit=1`)).data[0];

it('an admin of one team cannot give it what another team has; one of the organisation can', async () => {
  const roles = [{ role: 'admin', scope: { type: 'team', id: own.id } }];
  const { token } = await admin.make('/tokens', { name: 'of-own', roles });
  const give = (id: string, team_id: unknown) => ({ kind: 'file', id, team_id });
  expect((await askAs(token, 'POST', '/objects', give('file-own', own.id))).status).toBe(201);
  await admin.make('/objects', give('file-other', other.id));
  const refused = await askAs(token, 'POST', '/objects', give('file-other', own.id));
  expect([refused.status, refused.body.error]).toMatchObject([403, { code: 'not_allowed', param: 'id' }]);
  await admin.make('/objects', give('file-other', own.id));
});

describe('a person', () => {
  it('has the fields of a SCIM user, a lower-case name that is given once, and no role by itself', async () => {
    const fields = {
      user_name: 'Ada@Example.com',
      display_name: 'Ada',
      email: 'Ada@Example.com',
      external_id: 'e-1',
    };
    const ada = await admin.make('/people', fields);
    expect(ada).toMatchObject({
      user_name: 'ada@example.com',
      email: 'ada@example.com',
      active: true,
      roles: [],
    });
    for (const taken of [{ user_name: 'ADA@example.com' }, { user_name: 'x', external_id: 'e-1' }]) {
      expect(await admin.ask('POST', '/people', taken)).toMatchObject({ status: 409 });
    }
    expect(await admin.get(`/people/${ada.id}`)).toEqual(ada);
    expect((await admin.get('/people')).data.map(({ id }) => id)).toContain(ada.id);
    const gone = await admin.ask('DELETE', `/people/${ada.id}`);
    expect(gone.body).toMatchObject({ active: false, deleted_at: expect.any(String) });
    expect((await admin.get('/people')).data.map(({ id }) => id)).not.toContain(ada.id);
    expect((await admin.get('/people?include_deleted=true')).data.map(({ id }) => id)).toContain(ada.id);
    expect(await admin.ask('PATCH', `/people/${ada.id}`, { active: false })).toMatchObject({ status: 409 });
  });

  it('cannot have a role of a team that does not exist', async () => {
    const scope = { type: 'team', id: '00000000-0000-4000-8000-000000000001' };
    const answer = await admin.ask('POST', '/people', {
      user_name: 'nobody',
      roles: [{ role: 'viewer', scope }],
    });
    expect(answer).toMatchObject({ status: 404, body: { error: { param: 'roles[0].scope.id' } } });
  });

  it('is named in the audit log, where a change of theirs says who', async () => {
    const lead = await person({ role: 'team_lead', scope: { type: 'team', id: own.id } });
    const key = await lead.ask('POST', '/keys', { team_id: own.id, name: 'by the lead' });
    expect(key.status).toBe(201);
    expect(await lastEntry(`resource=key&resource_id=${key.body.id}`)).toMatchObject({
      actor: `person ${lead.userName}`,
      action: 'create',
    });
    expect(await lastEntry(`resource=person&resource_id=${lead.id}`)).toMatchObject({
      actor: 'admin key',
      action: 'create',
    });
  });

  it('changes nothing without the CSRF token of their session', async () => {
    const boss = await person({ role: 'admin', scope: ORG });
    for (const csrf of ['', 'x'])
      expect(await boss.ask('POST', '/teams', { name: 'forged' }, csrf)).toMatchObject({ status: 403 });
    expect((await admin.get('/teams')).data.map(({ name }) => name)).not.toContain('forged');
  });

  it('who is made inactive loses every session and every token at once', async () => {
    const boss = await person({ role: 'admin', scope: ORG });
    const token = (await boss.ask('POST', '/tokens', { name: 'ci', roles: [{ role: 'viewer', scope: ORG }] }))
      .body;
    expect((await askAs(token.token, 'GET', '/teams')).status).toBe(200);
    await admin.ask('PATCH', `/people/${boss.id}`, { active: false });
    expect((await boss.ask('GET', '/teams')).status).toBe(401);
    expect((await askAs(token.token, 'GET', '/teams')).status).toBe(401);
    await admin.ask('PATCH', `/people/${boss.id}`, { active: true });
    expect((await boss.ask('GET', '/teams')).status).toBe(401);
    expect((await askAs(token.token, 'GET', '/teams')).status).toBe(401);
    expect(await admin.get(`/tokens/${token.id}`)).toMatchObject({ revoked_at: expect.any(String) });
  });

  it('who was deleted comes back as the same person, with the roles that are given then alone', async () => {
    const clerk = await person({ role: 'finance', scope: ORG });
    await admin.ask('DELETE', `/people/${clerk.id}`);
    const again = await admin.ask('POST', '/people', { user_name: clerk.userName });
    expect(again).toMatchObject({ status: 409, body: { error: { param: 'user_name' } } });
    expect(await admin.ask('PATCH', `/people/${clerk.id}`, { email: 'x@example.com' })).toMatchObject({
      status: 409,
    });
    const back = await admin.ask('PATCH', `/people/${clerk.id}`, { active: true });
    expect(back.body).toMatchObject({ id: clerk.id, active: true, deleted_at: null, roles: [], groups: [] });
    expect((await clerk.ask('GET', '/teams')).status).toBe(401);
    await admin.ask('DELETE', `/people/${clerk.id}`);
    const roles = [{ role: 'viewer', scope: ORG }];
    const given = await admin.ask('PATCH', `/people/${clerk.id}`, { active: true, roles });
    expect(given.body).toMatchObject({ active: true, roles });
  });

  it('an admin brings back no owner', async () => {
    const boss = await person({ role: 'owner', scope: ORG });
    const clerk = await person({ role: 'admin', scope: ORG });
    await admin.ask('DELETE', `/people/${boss.id}`);
    expect((await clerk.ask('PATCH', `/people/${boss.id}`, { active: true })).status).toBe(403);
  });

  it('loses a role at once, in the session that is open', async () => {
    const clerk = await person({ role: 'finance', scope: ORG });
    expect((await clerk.ask('POST', '/plans', { name: `plan-${made}` })).status).toBe(201);
    await admin.ask('PATCH', `/people/${clerk.id}`, { roles: [{ role: 'viewer', scope: ORG }] });
    expect((await clerk.ask('POST', '/plans', { name: `plan-${made}-2` })).status).toBe(403);
    expect((await clerk.ask('GET', '/teams')).status).toBe(200);
  });

  it('without a role sees nothing', async () => {
    const newcomer = await person();
    for (const path of ['/teams', '/usage', '/people', '/audit', '/plans', '/sessions'])
      expect((await newcomer.ask('GET', path)).status, path).toBe(403);
  });

  it('lists and ends their own sessions alone; an admin everyone’s', async () => {
    const viewer = await person({ role: 'viewer', scope: ORG });
    const boss = await person({ role: 'admin', scope: ORG });
    const seen = (await viewer.ask('GET', '/sessions')).body.data;
    expect(seen).toMatchObject([{ person_id: viewer.id, role: 'person', current: true }]);
    expect((await viewer.ask('DELETE', `/sessions/${boss.sessionId}`)).status).toBe(404);
    expect((await boss.ask('GET', '/sessions')).body.data.length).toBeGreaterThan(1);
    expect((await boss.ask('DELETE', `/sessions/${viewer.sessionId}`)).status).toBe(200);
    expect((await viewer.ask('GET', '/teams')).status).toBe(401);
  });
});

describe('nobody gets more than they have:', () => {
  it('finance gives itself no role, nor anyone else', async () => {
    const clerk = await person({ role: 'finance', scope: ORG });
    const roles = [{ role: 'owner', scope: ORG }];
    for (const [method, path, body] of [
      ['PATCH', `/people/${clerk.id}`, { roles }],
      ['POST', '/people', { user_name: 'accomplice', roles }],
      ['POST', '/tokens', { name: 'back door', roles }],
    ] as const) {
      const answer = await clerk.ask(method, path, body);
      expect(answer.status).toBe(403);
      expect(JSON.stringify(answer.body)).toContain('owner, admin');
    }
    expect(await admin.get(`/people/${clerk.id}`)).toMatchObject({ roles: [{ role: 'finance' }] });
  });

  it('an admin makes no owner, and changes, removes or speaks for none', async () => {
    const boss = await person({ role: 'admin', scope: ORG });
    const owner = await person({ role: 'owner', scope: ORG });
    const roles = [{ role: 'owner', scope: ORG }];
    const { id: token } = (await owner.ask('POST', '/tokens', { name: 'root', roles })).body;
    for (const [method, path, body] of [
      ['PATCH', `/people/${boss.id}`, { roles }],
      ['PATCH', `/people/${boss.id}`, { roles: [{ role: 'owner', scope: { type: 'team', id: own.id } }] }],
      ['POST', '/people', { user_name: 'another-owner', roles }],
      ['PATCH', `/people/${owner.id}`, { active: false }],
      ['PATCH', `/people/${owner.id}`, { email: 'mine@example.com' }],
      ['DELETE', `/people/${owner.id}`, undefined],
      ['POST', '/tokens', { name: 'root', roles }],
      ['PATCH', `/tokens/${token}`, { name: 'mine' }],
      ['DELETE', `/tokens/${token}`, undefined],
    ] as const) {
      const answer = await boss.ask(method, path, body);
      expect(answer, `${method} ${path}`).toMatchObject({
        status: 403,
        body: { error: { code: 'not_allowed' } },
      });
    }
    expect((await owner.ask('DELETE', `/tokens/${token}`)).status).toBe(200);
    await admin.ask('DELETE', `/people/${owner.id}`);
  });

  it('an admin maps no group to an owner, and takes none away', async () => {
    const boss = await person({ role: 'admin', scope: ORG });
    const roles = [{ role: 'owner', scope: ORG }];
    await admin.make('/role-mappings', { name: 'owners', roles });
    const of = '/role-mappings/owners';
    for (const [method, path, body] of [
      ['POST', '/role-mappings', { name: 'mine', roles }],
      ['PATCH', of, { roles: [] }],
      ['DELETE', of, undefined],
    ] as const) {
      expect((await boss.ask(method, path, body)).status, `${method} ${path}`).toBe(403);
    }
    expect(
      await boss.ask('POST', '/role-mappings', { name: 'staff', roles: [{ role: 'viewer', scope: ORG }] }),
    ).toMatchObject({ status: 201 });
    expect(await admin.get(of)).toMatchObject({ name: 'owners', roles });
    expect(await lastEntry('resource=role_mapping')).toMatchObject({
      actor: `person ${boss.userName}`,
      resource_id: 'staff',
    });
    expect((await admin.ask('DELETE', of)).status).toBe(200);
  });

  it('a role of one team, even owner, manages no people', async () => {
    const little = await person({ role: 'owner', scope: { type: 'team', id: own.id } });
    expect((await little.ask('GET', '/people')).status).toBe(403);
    expect((await little.ask('POST', '/people', { user_name: 'friend' })).status).toBe(403);
    expect((await little.ask('POST', '/keys', { team_id: own.id, name: 'k' })).status).toBe(201);
    expect((await little.ask('POST', '/keys', { team_id: other.id, name: 'k' })).status).toBe(403);
  });

  it('an admin of a department reaches the teams below it as of now, and moves none', async () => {
    const top = await admin.make('/departments', { name: 'top' });
    const below = await admin.make('/departments', { name: 'below', parent_id: top.id });
    const inIt = await admin.make('/teams', { name: 'in it', department_id: below.id });
    const head = await person({ role: 'admin', scope: { type: 'department', id: top.id } });
    const seen = async () => (await head.ask('GET', '/teams')).body.data.map(({ id }) => id);
    expect(await seen()).toEqual([inIt.id]);
    expect((await head.ask('GET', '/departments')).body.data.map(({ id }) => id)).toEqual([top.id, below.id]);
    expect((await head.ask('PATCH', `/teams/${inIt.id}`, { name: 'renamed' })).status).toBe(200);
    for (const [team, department] of [
      [inIt.id, null],
      [other.id, below.id],
      [other.id, top.id],
    ]) {
      const answer = await head.ask('PATCH', `/teams/${team}`, { department_id: department });
      expect(answer).toMatchObject({ status: 403, body: { error: { code: 'not_allowed' } } });
    }
    const limit = {
      subject: { type: 'department', id: top.id },
      meter: 'cost_usd',
      amount: '1',
      window: { type: 'lifetime' },
    };
    expect((await head.ask('POST', '/limits', limit)).status).toBe(403);
    expect((await head.ask('POST', '/departments', { name: 'mine' })).status).toBe(403);
    await admin.ask('PATCH', `/teams/${other.id}`, { department_id: below.id });
    expect(await seen()).toEqual([other.id, inIt.id]);
    await admin.ask('PATCH', `/teams/${other.id}`, { department_id: null });
    expect(await seen()).toEqual([inIt.id]);
  });

  it('the last owner stays, also when two remove each other at once; the admin key may remove it', async () => {
    const [one, two] = [
      await person({ role: 'owner', scope: ORG }),
      await person({ role: 'owner', scope: ORG }),
    ];
    const answers = await Promise.all([
      one.ask('PATCH', `/people/${two.id}`, { roles: [] }),
      two.ask('DELETE', `/people/${one.id}`),
    ]);
    // The second finds itself without the role, without a session, or alone.
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    const rows = (await admin.get('/people')).data.filter(
      ({ active, roles }) => active && JSON.stringify(roles).includes('owner'),
    );
    const left = rows.filter(({ id }) => id === one.id || id === two.id);
    expect(left).toHaveLength(1);
    const last = left[0]?.id === one.id ? one : two;
    for (const change of [{ active: false }, { roles: [] }]) {
      expect(await last.ask('PATCH', `/people/${last.id}`, change)).toMatchObject({ status: 409 });
    }
    expect(await last.ask('DELETE', `/people/${last.id}`)).toMatchObject({ status: 409 });
    expect((await admin.ask('DELETE', `/people/${last.id}`)).status).toBe(200);
  });
});

describe('a service token', () => {
  it('is shown once, kept as a hash, expires, and says when it was last used', async () => {
    const token = await admin.make('/tokens', { name: 'ci', roles: [{ role: 'viewer', scope: ORG }] });
    expect(token.token).toMatch(/^tgs-[A-Za-z0-9_-]{49}$/);
    expect(Date.parse(String(token.expires_at)) - Date.now()).toBeLessThan(91 * 86_400_000);
    expect(JSON.stringify(await admin.get('/tokens'))).not.toContain(token.token);
    const stored = await admin.database.sql`select t::text as row from tokens t`;
    expect(JSON.stringify(stored)).not.toContain(token.token);
    expect(await admin.get(`/tokens/${token.id}`)).toMatchObject({ last_used_at: null });
    expect((await askAs(token.token, 'GET', '/teams')).status).toBe(200);
    expect(await admin.get(`/tokens/${token.id}`)).toMatchObject({ last_used_at: expect.any(String) });
    // A use is no change.
    expect(await lastEntry(`resource=token&resource_id=${token.id}`)).toMatchObject({ action: 'create' });
    expect(JSON.stringify(await admin.get('/audit'))).not.toContain(String(token.token));
  });

  it('is named in the audit log', async () => {
    const token = await admin.make('/tokens', { name: 'deploy', roles: [{ role: 'admin', scope: ORG }] });
    const team = (await askAs(token.token, 'POST', '/teams', { name: 'by a token' })).body;
    expect(await lastEntry(`resource=team&resource_id=${team.id}`)).toMatchObject({
      actor: `token deploy (${token.prefix}…)`,
    });
  });

  it('works no longer once it is revoked or expired (401), and cannot be used as anything else', async () => {
    const token = await admin.make('/tokens', { name: 'short', roles: [{ role: 'owner', scope: ORG }] });
    await admin.database.sql`update tokens set expires_at = now() where id = ${token.id}`;
    expect((await askAs(token.token, 'GET', '/teams')).status).toBe(401);
    const revoked = await admin.make('/tokens', { name: 'revoked', roles: [{ role: 'owner', scope: ORG }] });
    await admin.ask('DELETE', `/tokens/${revoked.id}`);
    expect((await askAs(revoked.token, 'GET', '/teams')).status).toBe(401);
    for (const text of ['tgs-', `${token.token}x`, String(token.token).slice(0, -1), 'tgs-'.padEnd(53, 'a')])
      expect((await askAs(text, 'GET', '/teams')).status).toBe(401);
  });

  it('lives at most 366 days', async () => {
    const roles = [{ role: 'viewer', scope: ORG }];
    for (const expires_at of ['2020-01-01', new Date(Date.now() + 367 * 86_400_000).toISOString()]) {
      const answer = await admin.ask('POST', '/tokens', { name: 'for ever', roles, expires_at });
      expect(answer).toMatchObject({ status: 400, body: { error: { param: 'expires_at' } } });
    }
  });

  it('is never worth more than the person who made it', async () => {
    const boss = await person({ role: 'admin', scope: ORG });
    const { token } = (
      await boss.ask('POST', '/tokens', { name: 'mine', roles: [{ role: 'admin', scope: ORG }] })
    ).body;
    expect((await askAs(token, 'POST', '/teams', { name: `team-${made}` })).status).toBe(201);
    await admin.ask('PATCH', `/people/${boss.id}`, {
      roles: [{ role: 'team_lead', scope: { type: 'team', id: own.id } }],
    });
    expect((await askAs(token, 'POST', '/teams', { name: `team-${made}-2` })).status).toBe(403);
    expect((await askAs(token, 'GET', `/teams/${other.id}`)).status).toBe(404);
    expect((await askAs(token, 'POST', '/keys', { team_id: own.id, name: 'k' })).status).toBe(201);
    await admin.ask('DELETE', `/people/${boss.id}`);
    expect((await askAs(token, 'GET', '/teams')).status).toBe(401);
  });

  it('makes no other token, so none outlives it', async () => {
    const { token } = await admin.make('/tokens', { name: 'parent', roles: [{ role: 'owner', scope: ORG }] });
    const child = { name: 'child', roles: [{ role: 'viewer', scope: ORG }] };
    expect(await askAs(token, 'POST', '/tokens', child)).toMatchObject({ status: 403 });
  });
});

it('a session of a person is no session of an admin, whatever its cookie is taken for', async () => {
  const viewer = await person({ role: 'viewer', scope: ORG });
  const { holder } = sessionStore(admin.database);
  expect(await holder(viewer.sessionId)).toMatchObject({ person: { id: viewer.id } });
  await admin.database.sql`update sessions set person_id = null where id = ${viewer.sessionId}`;
  expect((await viewer.ask('GET', '/teams')).status).toBe(401);
});
