/** The console's session: who gets one, what it may do, and when it ends. */
import { createHmac, hkdfSync } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Config, readConfig } from '../../src/config.ts';
import { startApp } from '../../src/main/start.ts';
import { createLog } from '../../src/telemetry/log.ts';
import { temporaryFolder } from '../support/folder.ts';
import { postKey, type Signed, signIn } from './sessions.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';
import { send } from './wire.ts';

let stack: Stack;
let origin: string;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_TRUSTED_PROXIES: '127.0.0.0/8' } });
  origin = stack.app.url;
});
afterAll(() => stack.stop());

describe('signing in', () => {
  it('with the admin key sets a cookie that scripts cannot read and other sites cannot send', async () => {
    const admin = await signIn(origin, ADMIN_KEY);
    expect(admin.session).toMatchObject({ role: 'admin', team: null, key: null });
    expect(admin.setCookie).toMatch(/; Max-Age=43[12]\d\d; Path=\/; HttpOnly; SameSite=Strict$/);
    expect(await admin.ask('GET', '/console/session')).toMatchObject({ status: 200, body: admin.session });
    expect(await admin.ask('GET', '/admin/v1/teams')).toMatchObject({ status: 200 });
    expect(admin.cookie).not.toContain(ADMIN_KEY);
  });

  it('with a virtual key opens a session of its team', async () => {
    const { teamId, key, keyId } = await stack.team();
    const team = await signIn(origin, ` ${key}\n`);
    expect(team.session).toMatchObject({
      role: 'team',
      team: { id: teamId },
      key: { id: keyId, name: 'test' },
    });
  });

  it('over https sets a secure cookie', async () => {
    const { setCookie } = await signIn(origin, ADMIN_KEY, ['x-forwarded-proto', 'https']);
    expect(setCookie).toContain('; Secure');
  });

  it('responds 400 to what may be a form of another site', async () => {
    for (const type of [[], ['content-type', 'text/plain']]) {
      const answer = await postKey(origin, ADMIN_KEY, type);
      expect(answer.status).toBe(400);
      expect(answer.headers).not.toHaveProperty('set-cookie');
    }
  });

  it('responds 401 to a key that is unknown, expired or revoked', async () => {
    const { teamId, keyId, key } = await stack.team();
    await stack.admin('DELETE', `/keys/${keyId}`);
    const { key: expired } = await stack.admin<{ key: string }>('POST', '/keys', {
      team_id: teamId,
      name: 'expired',
      expires_at: '2020-01-01',
    });
    for (const wrong of ['tg-nobody', key, expired, `${ADMIN_KEY}x`]) {
      const answer = await postKey(origin, wrong);
      expect(answer.status).toBe(401);
      expect(answer.headers).not.toHaveProperty('set-cookie');
    }
  });

  it('responds 429 to wrong keys after ten of them, and says when to come again; right keys still sign in', async () => {
    const from = (address: string, key: string) =>
      postKey(origin, key, ['content-type', 'application/json', 'x-forwarded-for', address]);
    const { key } = await stack.team();
    for (let tried = 0; tried < 10; tried++) expect((await from('198.51.100.1', 'wrong')).status).toBe(401);
    const refused = await from('1.2.3.4, 198.51.100.1', 'wrong');
    expect(refused.status).toBe(429);
    expect(JSON.parse(refused.body.toString())).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(Number(refused.headers['retry-after-ms'])).toBeGreaterThan(50_000);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(50);
    for (const right of [ADMIN_KEY, key]) expect((await from('198.51.100.1', right)).status).toBe(200);
  });

  it('counts wrong keys by the client behind a trusted proxy: another one behind it is not locked out', async () => {
    const from = (address: string) =>
      postKey(origin, 'wrong', ['content-type', 'application/json', 'x-forwarded-for', address]);
    for (let tried = 0; tried < 200; tried++) await from('198.51.100.2');
    expect((await from('198.51.100.2')).status).toBe(429);
    expect((await from('198.51.100.3')).status).toBe(401);
  });
});

describe('a session', () => {
  let admin: Signed;
  let stranger: { teamId: string; keyId: string };
  let member: Signed;
  let own: { teamId: string; keyId: string; key: string };
  beforeAll(async () => {
    admin = await signIn(origin, ADMIN_KEY);
    stranger = await stack.team({ grantUsd: '3', limitUsd: '2' });
    own = await stack.team({ grantUsd: '1' });
    member = await signIn(origin, own.key);
    for (const { teamId } of [own, stranger]) {
      const { key } = await stack.admin<{ key: string }>('POST', '/keys', {
        team_id: teamId,
        name: 'caller',
      });
      await stack.post(key, '/chat/completions', {
        model: 'gpt-4o-mini',
        messages: [{ role: 'user', content: 'hello' }],
      });
    }
  });

  it('cannot change anything without its own CSRF token (403)', async () => {
    const body = { name: 'by a session' };
    const other = await signIn(origin, ADMIN_KEY);
    for (const csrf of [null, '', 'x', other.session.csrf]) {
      const answer = await admin.ask('POST', '/admin/v1/teams', { body, csrf });
      expect(answer).toMatchObject({ status: 403, body: { error: { code: 'csrf_failed' } } });
    }
    expect(await admin.ask('POST', '/admin/v1/teams', { body })).toMatchObject({ status: 201 });
    const { data } = (await admin.ask('GET', '/admin/v1/audit?resource=team&limit=1')).body;
    expect(data).toMatchObject([
      { actor: expect.stringMatching(/^admin session [0-9a-f]{8}$/), after: body },
    ]);
  });

  it('needs an unchanged cookie, and no valid cookie makes up for a wrong key (401)', async () => {
    const [name, token] = admin.cookie.split('=') as [string, string];
    const [claims, signature] = token.split('.') as [string, string];
    const forged = Buffer.from('{"name":"0","keyHash":null,"expiresAtMs":9e15}').toString('base64url');
    for (const text of ['', 'x', '.', claims, `${forged}.${signature}`, `${claims}.${signature}.x`]) {
      const headers = ['cookie', `${name}=${text}`];
      const answer = await send(origin, { method: 'GET', path: '/admin/v1/teams', headers });
      expect(answer.status, text).toBe(401);
    }
    const headers = ['authorization', 'Bearer wrong'];
    expect(await admin.ask('GET', '/admin/v1/teams', { headers })).toMatchObject({ status: 401 });
  });

  it('of a team reads its own team, with team_id filled in', async () => {
    const paths = ['/keys', '/grants', '/limits', '/usage', '/events', '/unknown', '/jobs', '/warnings'];
    for (const path of paths) {
      const { status, body } = await member.ask('GET', `/admin/v1${path}`);
      expect(status, path).toBe(200);
      for (const row of body.data) expect(row.team_id ?? own.teamId, path).toBe(own.teamId);
    }
    expect((await member.ask('GET', '/admin/v1/events')).body.data).toHaveLength(1);
    expect((await member.ask('GET', '/admin/v1/usage?group_by=team')).body.data).toMatchObject([
      { team_id: own.teamId, calls: 1 },
    ]);
    for (const path of [`/teams/${own.teamId}`, `/teams/${own.teamId}/balance`, `/keys/${own.keyId}`]) {
      expect((await member.ask('GET', `/admin/v1${path}`)).status, path).toBe(200);
    }
  });

  it('of a team can neither read another team nor change anything, on every route', async () => {
    const list = async (path: string) => (await stack.admin<{ data: { id: string }[] }>('GET', path)).data;
    const of = `?team_id=${stranger.teamId}`;
    const ids = [stranger.teamId, stranger.keyId, own.teamId, own.keyId];
    for (const path of [`/grants${of}`, `/limits${of}`, `/events${of}`, '/prices?limit=1']) {
      ids.push(...(await list(path)).map(({ id }) => id));
    }
    ids.push('free-tier');
    const before = await stack.database.sql`select version from catalog_version`;
    const { paths } = (await admin.ask('GET', '/admin/v1/openapi.json')).body;
    for (const [path, methods] of Object.entries(paths)) {
      if (!path.startsWith('/admin/v1/')) continue;
      for (const method of Object.keys(methods)) {
        for (const id of path.includes('{') ? ids : [null]) {
          const asked = method.toUpperCase();
          const named = id === null ? path + of : path.replace(/\{\w+\}/, id);
          // Refused for its department, not for the month that it lacks.
          const url = path.endsWith('/departments/{id}/statement') ? `${named}?month=2026-11` : named;
          const body = asked === 'POST' || asked === 'PATCH' ? { body: {} } : {};
          const { status } = await member.ask(asked, url, body);
          if (asked === 'GET' && (id === own.teamId || id === own.keyId)) continue;
          expect([403, 404], `${asked} ${url}: ${status}`).toContain(status);
        }
      }
    }
    expect(await stack.database.sql`select version from catalog_version`).toEqual(before);
  });

  it('of a team ends within a second of its key’s revocation, while other sessions of the team go on', async () => {
    const made = await stack.admin<{ id: string; key: string }>('POST', '/keys', {
      team_id: own.teamId,
      name: 'short',
    });
    const short = await signIn(origin, made.key);
    expect((await short.ask('GET', '/admin/v1/keys')).status).toBe(200);
    await stack.admin('DELETE', `/keys/${made.id}`);
    const sinceMs = performance.now();
    while ((await short.ask('GET', '/admin/v1/keys')).status === 200) {
      expect(performance.now() - sinceMs).toBeLessThan(10_000);
      await setTimeout(10);
    }
    expect(await short.ask('GET', '/console/session')).toMatchObject({ status: 204 });
    expect((await member.ask('GET', '/admin/v1/keys')).status).toBe(200);
  });

  it('ends everywhere with the sign-out, which removes the cookie (204)', async () => {
    const leaving = await signIn(origin, ADMIN_KEY);
    const config = readConfig({
      PORT: '0',
      TOLLGATE_DATA_DIR: await temporaryFolder(),
      TOLLGATE_ADMIN_KEY: ADMIN_KEY,
    }) as Config;
    const log = createLog({ level: 'silent', logCalls: false, secrets: [] });
    const other = await startApp({ config, log, version: 'test', connection: stack.database.connection });
    try {
      const copied = { method: 'GET', path: '/admin/v1/teams', headers: ['cookie', leaving.cookie] };
      for (const url of [origin, other.url]) expect((await send(url, copied)).status).toBe(200);
      const headers = ['cookie', leaving.cookie];
      const answer = await send(origin, { method: 'DELETE', path: '/console/session', headers });
      expect(answer.status).toBe(204);
      expect(answer.headers['set-cookie']).toMatch(
        /^tollgate_session=; Max-Age=0; Path=\/; HttpOnly; SameSite=Strict/,
      );
      for (const url of [origin, other.url]) expect((await send(url, copied)).status).toBe(401);
      expect((await admin.ask('GET', '/admin/v1/teams')).status).toBe(200);
      // Again, without a session, or with a text that is no cookie of ours: nothing to do.
      for (const cookie of [leaving.cookie, 'tollgate_session=x', '']) {
        const again = await send(origin, {
          method: 'DELETE',
          path: '/console/session',
          headers: ['cookie', cookie],
        });
        expect(again.status).toBe(204);
      }
    } finally {
      await other.stop();
    }
  });

  it('is listed for admins, who end it on every replica; teams can do neither', async () => {
    const doomed = await signIn(origin, own.key, [
      'user-agent',
      'Browser/1',
      'x-forwarded-for',
      '198.51.100.9',
    ]);
    const { data } = (await admin.ask('GET', '/admin/v1/sessions')).body;
    const [shown] = data;
    expect(shown).toMatchObject({
      role: 'team',
      team_id: own.teamId,
      key_id: own.keyId,
      address: '198.51.100.9',
      user_agent: 'Browser/1',
      current: false,
    });
    expect(data.filter(({ current }) => current)).toMatchObject([{ role: 'admin', team_id: null }]);
    const path = `/admin/v1/sessions/${shown!.id}`;
    expect((await member.ask('GET', '/admin/v1/sessions')).status).toBe(403);
    expect((await member.ask('DELETE', path)).status).toBe(403);
    expect((await doomed.ask('GET', '/admin/v1/keys')).status).toBe(200);
    expect(await admin.ask('DELETE', path)).toMatchObject({ status: 200, body: { id: shown!.id } });
    expect((await doomed.ask('GET', '/admin/v1/keys')).status).toBe(401);
    expect((await admin.ask('DELETE', path)).status).toBe(404);
    const { data: left } = (await admin.ask('GET', '/admin/v1/sessions')).body;
    expect(left.map(({ id }) => id)).not.toContain(shown!.id);
  });

  it('of a release before the rows is over', async () => {
    const claims = { name: '01234567', keyHash: null, expiresAtMs: Date.now() + 60_000 };
    const body = Buffer.from(JSON.stringify(claims)).toString('base64url');
    const secret = Buffer.from(hkdfSync('sha256', ADMIN_KEY, '', 'tollgate console session', 32));
    const signature = createHmac('sha256', secret).update(`session ${body}`).digest('base64url');
    const headers = ['cookie', `tollgate_session=${body}.${signature}`];
    expect((await send(origin, { method: 'GET', path: '/admin/v1/teams', headers })).status).toBe(401);
  });

  it('ends when its key has opened a hundred others', async () => {
    const crowd = await stack.team();
    const first = await signIn(origin, crowd.key);
    for (let opened = 1; opened < 100; opened++) await signIn(origin, crowd.key);
    expect((await first.ask('GET', '/admin/v1/keys')).status).toBe(200);
    await signIn(origin, crowd.key);
    expect((await first.ask('GET', '/admin/v1/keys')).status).toBe(401);
    expect((await admin.ask('GET', '/admin/v1/teams')).status).toBe(200);
  });
});

describe('the audit log', () => {
  let stack: Stack;
  let origin: string;
  beforeAll(async () => {
    stack = await startStack({ env: { TOLLGATE_TRUSTED_PROXIES: '127.0.0.0/8' } });
    origin = stack.app.url;
  });
  afterAll(() => stack.stop());
  const audit = (query: string) =>
    stack.admin<{ data: { actor: string; action: string; after: Record<string, unknown> }[] }>(
      'GET',
      `/audit?${query}&limit=1000`,
    );

  it('says who signed in and out, who ended a session, whose key was wrong, and who took calls out', async () => {
    const { teamId, key, keyId } = await stack.team();
    const admin = await signIn(origin, ADMIN_KEY);
    const member = await signIn(origin, key, ['user-agent', 'Browser/2', 'x-forwarded-for', '203.0.113.5']);
    const ofTeam = async () =>
      (await audit(`team_id=${teamId}`)).data.filter(({ action }) => action !== 'create');
    const [signedIn] = await ofTeam();
    const actor = expect.stringMatching(/^team session [0-9a-f]{8}$/);
    expect(signedIn).toMatchObject({
      actor,
      action: 'sign_in',
      resource: 'session',
      before: null,
      after: { address: '203.0.113.5', user_agent: 'Browser/2', key_id: keyId },
    });
    const csv = {
      method: 'GET',
      path: '/admin/v1/events.csv?outcome=unknown',
      headers: ['cookie', member.cookie],
    };
    expect((await send(origin, csv)).status).toBe(200);
    await member.ask('DELETE', '/console/session');
    await expect.poll(async () => (await ofTeam()).length).toBe(3);
    const [signedOut, exported] = await ofTeam();
    expect(signedOut).toMatchObject({ actor: signedIn!.actor, action: 'sign_out' });
    expect(exported).toMatchObject({
      actor: signedIn!.actor,
      action: 'export',
      resource: 'event',
      after: { filter: { outcome: 'unknown', team_id: teamId } },
    });
    const { data } = (await admin.ask('GET', '/admin/v1/sessions')).body;
    const own = data.find(({ current }) => current)!;
    await stack.admin('DELETE', `/sessions/${own.id}`);
    const [revoked] = (await audit(`resource=session&resource_id=${own.id}`)).data;
    expect(revoked).toMatchObject({ actor: 'admin key', action: 'revoke' });

    const from = ['x-forwarded-for', '203.0.113.6'];
    await send(origin, {
      method: 'GET',
      path: '/admin/v1/teams',
      headers: ['authorization', 'Bearer x', ...from],
    });
    await postKey(origin, 'wrong', ['content-type', 'application/json', ...from]);
    for (const resource of ['admin_key', 'session']) {
      const wrong = { actor: 'address 203.0.113.6', action: 'fail', after: null };
      await expect.poll(async () => (await audit(`resource=${resource}`)).data[0]).toMatchObject(wrong);
    }
    expect(JSON.stringify(await audit(''))).not.toContain(key);
  });

  it('does not grow with a flood: the first of an hour are kept, the rest is counted when the hour or the process ends', async () => {
    const rows = () => stack.database.sql<{ action: string; after: { count?: number } | null }[]>`
      select action, "after" from audit_log where action in ('fail', 'export') order by at`;
    const headers = (authorization: string) => ({ headers: { authorization: `Bearer ${authorization}` } });
    for (let tried = 0; tried < 500; tried++) {
      await (await fetch(`${stack.app.url}/admin/v1/teams`, headers('wrong'))).arrayBuffer();
    }
    for (let tried = 0; tried < 40; tried++) {
      await (await fetch(`${stack.app.url}/admin/v1/events.csv`, headers(ADMIN_KEY))).arrayBuffer();
    }
    await stack.app.stop();
    const after = await rows();
    // Of each kind thirty, those of the test before among them, and one that counts the rest; a session, an export of a team.
    expect(after).toHaveLength(64);
    const counted = after.filter(({ after }) => after?.count !== undefined);
    expect(counted).toMatchObject([
      { action: 'fail', after: { count: 471, first_at: expect.any(String), last_at: expect.any(String) } },
      { action: 'export', after: { count: 10 } },
    ]);
  });
});
