/** Every operation of the admin API, for every role, within its scope and beyond. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { needOf, OPERATIONS_NEEDED } from '../../src/admin/permissions.ts';
import { asId } from '../../src/domain/ids.ts';
import { PERMISSIONS, ROLE_PERMISSIONS, ROLES, type Role, rolesWith } from '../../src/domain/roles.ts';
import { addApiErrors } from '../../src/store/api-errors.ts';
import { openTagValue } from '../../src/store/tag-values.ts';
import {
  ADMIN_KEY,
  counterOf,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from './support.ts';

interface Side {
  name: string;
  team: string;
  key: string;
  limit: string;
  grant: string;
  recipient: string;
  /** Ids that no response may show to who sees only the other side. */
  ids: string[];
  call: string;
  department: string;
}

let admin: TestAdmin;
let inside: Side;
let outside: Side;
let operations: [string, string][];
beforeAll(async () => {
  admin = await createTestAdmin();
  const instance = await createTestInstance(admin.database);
  const makeSide = async (name: string): Promise<Side> => {
    const { id: department } = await admin.make('/departments', { name });
    const fields = { name, plan: null, department_id: department };
    const { id: team } = await admin.make('/teams', fields);
    const { id: key } = await admin.make('/keys', { team_id: team, name });
    const { id: limit } = await admin.make('/limits', limitOf(team));
    const credit = await admin.make('/grants', { team_id: team, amount_usd: '10' });
    const { id: grant } = credit;
    const { id: recipient } = await admin.make('/recipients', recipientOf(team));
    const atMs = Date.now();
    const counter = counterOf('grant', credit, team, Date.parse(String(credit.starts_at)));
    const pools = [[{ counter, heldUsd: '1', settledUsd: '1' }]];
    const tags = { project: `of ${name}` };
    const call = await instance.call({
      teamId: team,
      keyId: key,
      atMs,
      costUsd: '1',
      pools,
      model: name,
      tags,
    });
    await instance.call({ teamId: team, keyId: key, atMs, costUsd: '1', outcome: 'unknown', model: name });
    await admin.make('/labels', { call_id: call, label: 'accepted' });
    const { sql } = admin.database;
    const codes = ['insufficient_quota', 'upstream_timeout'] as const;
    await addApiErrors(
      sql,
      codes.map((code) => ({ teamId: asId(team), atMs, code, calls: 1 })),
    );
    await sql`
      insert into jobs (team_id, id, key_id, kind, state, model, hold, terms, progress, held_usd, created_at, next_poll_at)
      values (${team}, ${call}, ${key}, 'batch', 'running', ${name}, '{}', '{}', '{}', 1, now(), now())`;
    await sql`
      insert into warnings (team_id, counter_id, threshold, amount, id, settled, raised_at)
      select team_id, id, 50, amount, gen_random_uuid(), settled, now() from counters where team_id = ${team} limit 1`;
    await sql`
      insert into notices (team_id, id, recipient_id, topic, kind, facts, raised_at)
      values (${team}, gen_random_uuid(), ${recipient}, 'x', 'projection', ${sql.json({
        ...{ kind: 'projection', team: name, remaining: '1', exhaustsAt: '2026-12-01T00:00:00Z', spent: '1' },
      })}, now())`;
    const ids = [team, key, limit, grant, recipient, call, department];
    return { name, team, key, limit, grant, recipient, call, department, ids };
  };
  await admin.make('/tags', { name: 'project' });
  inside = await makeSide('inside');
  outside = await makeSide('outside');
  for (const value of ['one', 'two', 'three'])
    expect(await openTagValue(admin.database.sql, asId(outside.team), 'project', value, 10)).toBe(true);
  expect(await openTagValue(admin.database.sql, asId(inside.team), 'project', 'one', 10)).toBe(true);
  const { paths } = (await admin.get('/openapi.json')) as unknown as { paths: Record<string, object> };
  operations = Object.entries(paths).flatMap(([path, methods]) =>
    path.startsWith('/admin/v1/')
      ? Object.keys(methods).map((method): [string, string] => [
          method.toUpperCase(),
          path.slice('/admin/v1'.length),
        ])
      : [],
  );
});
afterAll(() => admin.close());

const limitOf = (team: string) => ({
  subject: { type: 'team', id: team },
  meter: 'cost_usd',
  amount: '10',
  window: { type: 'lifetime' },
});

const recipientOf = (team: string) => ({
  subject: { type: 'team', id: team },
  kind: 'email',
  address: 'lead@example.com',
});

/** Bodies by which an operation touches a team, where its path does not name what it touches. */
const BODIES: Record<string, (side: Side) => object> = {
  'POST /grants': ({ team }) => ({ team_id: team, amount_usd: '1' }),
  'POST /keys': ({ team }) => ({ team_id: team, name: 'made' }),
  'POST /labels': ({ call }) => ({ call_id: call, label: 'edited' }),
  'POST /limits': ({ team }) => limitOf(team),
  'POST /limits/preview': ({ team }) => limitOf(team),
  'POST /objects': ({ team }) => ({ kind: 'conversation', id: `conv_${Math.random()}`, team_id: team }),
  'POST /recipients': ({ team }) => recipientOf(team),
  'POST /unknown/release': ({ team }) => ({
    filter: { team_id: team, model: 'none' },
    reason: 'none of this model',
  }),
};

/** What a list needs to show which teams are in it. */
const QUERIES: Record<string, string> = {
  '/usage': 'group_by=team',
  '/denials': 'group_by=team',
  '/errors': 'group_by=team',
  '/focus.csv': 'from=2020-01-01&to=2040-01-01',
  '/focus.parquet': 'from=2020-01-01&to=2040-01-01',
  '/teams/{id}/statement': 'month=2026-11',
  '/departments/{id}/statement': 'month=2026-11',
};
/** These show what belongs to no team. */
const OF_NO_TEAM = new Set([
  ...['/operations', '/archive', '/savings', '/tags', '/tags/{id}'],
  // There are none here (test/e2e/upstreams.test.ts).
  '/upstreams',
  // The path names which.
  '/departments/{id}/statement',
  // Nothing is kept of either (test/e2e/contents.test.ts).
  '/labels/export',
]);
/** Lists without a field that names a team. */
const UNNAMED = new Set(['/teams', '/departments', '/tags', '/tags/{id}']);

/** Returns something of a team, by the path that names it; what will be changed is made for it. */
async function itemOf(path: string, side: Side, isChanged: boolean): Promise<string> {
  const { team, call, key, limit, grant, recipient } = side;
  if (path.startsWith('/teams/')) return team;
  if (path === '/departments/{id}/statement') return side.department;
  if (path.startsWith('/tags/'))
    return isChanged ? `made-for-${Math.random().toString(36).slice(2)}` : 'project';
  const [, resource = ''] = path.split('/');
  const items: Record<string, [string, object]> = {
    keys: [key, { team_id: team, name: 'to be changed' }],
    limits: [limit, limitOf(team)],
    grants: [grant, { team_id: team, amount_usd: '1' }],
    recipients: [recipient, recipientOf(team)],
  };
  const [kept, body] = items[resource] ?? [call, null];
  return isChanged && body !== null ? (await admin.make(`/${resource}`, body)).id : kept;
}

async function tokenOf(role: Role, team: string | null): Promise<Json> {
  const scope = team === null ? { type: 'org' } : { type: 'team', id: team };
  return admin.make('/tokens', { name: role, roles: [{ role, scope }] });
}

async function askAs(token: Json, method: string, path: string, body?: unknown) {
  const response = await admin.app.request(`/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${token.token}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}

/** Sends an operation as it touches one side. Returns also whether it changed anything that admins set. */
async function walk(token: Json, method: string, path: string, side: Side, isAllowed: boolean) {
  const isChange = method !== 'GET';
  const id = path.includes('{') ? await itemOf(path, side, isChange && isAllowed) : '';
  const query = [
    QUERIES[path] ?? '',
    needOf(method, path).where === 'list' && !UNNAMED.has(path) ? `team_id=${side.team}` : '',
  ];
  const text = query.filter((part) => part !== '').join('&');
  const url = `${path.replace(/\{\w+\}/, id)}${text === '' ? '' : `?${text}`}`;
  const makeBody = BODIES[`${method} ${path}`] ?? (() => ({}));
  const isWatched = isChange && !isAllowed;
  const before = isWatched ? await admin.snapshot() : '';
  const answer = await askAs(
    token,
    method,
    url,
    method === 'GET' || method === 'DELETE' ? undefined : makeBody(side),
  );
  return { ...answer, changed: isWatched && (await admin.snapshot()) !== before };
}

describe('the table of permissions', () => {
  it('has every operation of the admin API, and no other', () => {
    expect(operations.map(([method, path]) => `${method} ${path}`).sort()).toEqual(
      [...OPERATIONS_NEEDED].sort(),
    );
  });

  it('closes what it does not have to all but owners of the whole organisation', () => {
    expect(needOf('post', '/nothing')).toEqual({ permission: 'owners', where: 'installation' });
    expect(rolesWith('owners')).toEqual(['owner']);
  });

  it('gives each permission to an owner, and none that is unused', () => {
    const used = new Set(
      OPERATIONS_NEEDED.map((name) => {
        const [method = '', path = ''] = name.split(' ');
        return needOf(method, path).permission;
      }),
    );
    expect(ROLE_PERMISSIONS.owner).toEqual(PERMISSIONS);
    expect([...PERMISSIONS].filter((name) => !used.has(name))).toEqual([]);
  });

  it('is walked with a body for each operation that touches a team by its body', () => {
    const unnamed = operations.filter(
      ([method, path]) => needOf(method, path).where === 'owner' && !path.includes('{'),
    );
    expect(unnamed.map((names) => names.join(' ')).sort()).toEqual(Object.keys(BODIES).sort());
  });
});

describe.each(ROLES)('the role %s', (role) => {
  it.each(['org', 'team'])(
    'of the scope %s does what its permissions say, and nothing else',
    async (scope) => {
      const token = await tokenOf(role, scope === 'org' ? null : inside.team);
      for (const [method, path] of operations) {
        const { permission, where } = needOf(method, path);
        const isHeld = ROLE_PERMISSIONS[role].includes(permission);
        for (const side of [inside, outside]) {
          const isInScope = scope === 'org' || (where !== 'installation' && side === inside);
          const isOfNobody = where === 'anywhere' || (UNNAMED.has(path) && method === 'GET');
          const isAllowed = isHeld && (isInScope || isOfNobody);
          const said = `${method} ${path} ${side === inside ? 'inside' : 'outside'}`;
          // To delete a team that the walk needs would end it: the team of another test is deleted there.
          if (isAllowed && method === 'DELETE' && path === '/teams/{id}') continue;
          const { status, text, changed } = await walk(token, method, path, side, isAllowed);
          if (isAllowed) {
            expect([401, 403], `${said}: ${text}`).not.toContain(status);
            if (method === 'GET' && where !== 'anywhere' && where !== 'installation')
              expect(status, `${said}: ${text}`).toBe(200);
            continue;
          }
          expect([403, 404], `${said}: ${status} ${text}`).toContain(status);
          expect(changed, said).toBe(false);
          if (status !== 403 || (isHeld && where === 'list')) continue;
          for (const name of rolesWith(permission)) expect(text, said).toContain(name.replace('_', ' '));
        }
      }
    },
  );

  it('of one team sees the values of tags of that team alone, and how many those are', async () => {
    const token = await tokenOf(role, inside.team);
    for (const path of ['/tags', '/tags/project']) {
      const { status, text } = await askAs(token, 'GET', path);
      expect([status, text], path).toEqual([200, expect.stringContaining('"open_values":1,')]);
    }
    for (const by of ['tag:project', 'team,tag:project', 'tag:project&top=1', 'team,tag:project&top=2']) {
      for (const interval of ['total', 'day', 'hour']) {
        const { text } = await askAs(token, 'GET', `/usage?group_by=${by}&interval=${interval}`);
        expect(text).toContain('of inside');
        expect(text).not.toContain('outside');
      }
    }
    for (const report of ['models/report', 'usage?interval=total&group_by=model']) {
      const { text } = await askAs(
        token,
        'GET',
        `/${report}${report.includes('?') ? '&' : '?'}tag=project%3Dof%20outside`,
      );
      expect(text).not.toContain('"model":"outside"');
    }
  });

  it('of one team lists nothing of another', async () => {
    const token = await tokenOf(role, inside.team);
    for (const [method, path] of operations) {
      const { permission, where } = needOf(method, path);
      if (where !== 'list' || OF_NO_TEAM.has(path) || !ROLE_PERMISSIONS[role].includes(permission)) continue;
      const query = QUERIES[path] ? `?${QUERIES[path]}` : '';
      const { status, text } = await askAs(token, method, path + query);
      expect(status, `${path}: ${text}`).toBe(200);
      for (const id of [...outside.ids, 'outside']) expect(text, path).not.toContain(id);
      expect(
        [...inside.ids, 'inside'].some((id) => text.includes(id)),
        path,
      ).toBe(true);
    }
  });
});

it('every list shows the admin key both teams, so that leaving one out means something', async () => {
  for (const [method, path] of operations) {
    if (needOf(method, path).where !== 'list' || OF_NO_TEAM.has(path)) continue;
    const headers = { authorization: `Bearer ${ADMIN_KEY}` };
    const url = `/admin/v1${path}${QUERIES[path] ? `?${QUERIES[path]}` : ''}`;
    const text = await (await admin.app.request(url, { headers })).text();
    for (const { ids, name } of [inside, outside]) {
      expect(
        [...ids, name].some((id) => text.includes(id)),
        `${path} ${name}`,
      ).toBe(true);
    }
  }
});

it('what a body names and is not there is said so, not that the route is missing', async () => {
  const nowhere = '00000000-0000-4000-8000-000000000000';
  const label = { call_id: nowhere, label: 'accepted' };
  const { status, body } = await admin.ask('POST', '/labels', label);
  expect(status).toBe(404);
  expect(body).toMatchObject({ error: { code: 'not_found', param: 'call_id' } });
  const scoped = await tokenOf('admin', inside.team);
  const limit = { ...limitOf(inside.team), subject: { type: 'key', id: nowhere } };
  for (const [path, named] of [
    ['/labels', label],
    ['/limits', limit],
  ] as const) {
    const answer = await askAs(scoped, 'POST', path, named);
    expect(answer, answer.text).toMatchObject({ status: 404, text: expect.not.stringContaining('POST') });
  }
});
