import { readFileSync } from 'node:fs';
import { OpenAPIHono } from '@hono/zod-openapi';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAdmin } from '../../src/admin/admin.ts';
import { PERMISSIONS, ROLE_PERMISSIONS, ROLES } from '../../src/domain/roles.ts';
import { differences, tableRows } from '../tidy/text.ts';
import { ADMIN_KEY, createTestAdmin, type Json, signIn, type TestAdmin } from './support.ts';

let admin: TestAdmin;
let key: Json;
beforeAll(async () => {
  admin = await createTestAdmin();
  const team = await admin.make('/teams', { name: 'research' });
  key = await admin.make('/keys', { team_id: team.id, name: 'app' });
});
afterAll(() => admin.close());

test('every path responds 401 without the admin key, also one that does not exist', async () => {
  const { database } = admin;
  const app = createAdmin({ database, ...signIn(database), defaultPlan: null, settleNow: async () => {} });
  for (const authorization of [
    '',
    ADMIN_KEY,
    `Basic ${ADMIN_KEY}`,
    `Bearer ${ADMIN_KEY}x`,
    'Bearer ',
    `Bearer ${key.key}`,
  ]) {
    for (const path of ['/teams', '/openapi.json', '/nothing']) {
      const response = await app.request(`/admin/v1${path}`, { headers: { authorization } });
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
    }
  }
});

test('a body above a mebibyte ends in an error', async () => {
  const answer = await admin.ask('POST', '/teams', { name: 'x'.repeat(1_048_577) });
  expect(answer).toMatchObject({ status: 413, body: { error: { code: 'request_too_large' } } });
});

test('an internal error is in the log, and its detail is not in the response', async () => {
  const told: unknown[] = [];
  const app = createAdmin({
    database: admin.database,
    ...signIn(admin.database),
    defaultPlan: null,
    settleNow: () => Promise.reject(new Error('a secret detail')),
    onError: (error) => told.push(error),
  });
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  const response = await app.request('/admin/v1/events', { headers });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain('secret');
  expect(told).toHaveLength(1);
});

test('openapi.json describes every route with the schemas that check it', async () => {
  const document = await admin.get('/openapi.json');
  expect(document.openapi).toBe('3.1.0');
  const paths = document.paths as Record<string, Record<string, unknown>>;
  const resources = [
    'teams',
    'keys',
    'limits',
    'grants',
    'plans',
    'prices',
    'tags',
    'people',
    'tokens',
    'departments',
    'role-mappings',
    'recipients',
    'secrets',
  ];
  const expected = resources.flatMap((resource) => [`/admin/v1/${resource}`, `/admin/v1/${resource}/{id}`]);
  const others = [
    'teams/{id}/balance',
    'teams/{id}/statement',
    'departments/{id}/statement',
    'keys/{id}/rotate',
    'limits/preview',
    'limits/{id}/raises',
    'limits/{id}/reset',
    'secrets/rotate',
    'overview',
    'usage',
    'denials',
    'errors',
    'events',
    'jobs',
    'reconciliation',
    'reconciliation/postings',
    'events/{id}',
    'events/{id}/content',
    'events.csv',
    'focus.csv',
    'focus.parquet',
    'archive',
    'unknown',
    'unknown/release',
    'unknown/{event_id}/release',
    'audit',
    'sessions',
    'sessions/{id}',
    'warnings',
    'notices',
    'operations',
    'upstream',
    'upstreams',
    'objects',
    'labels',
    'labels/report',
    'labels/export',
    'savings',
    'models/report',
    'estimates',
    'store',
    'store/accept',
  ];
  expected.push(...others.map((path) => `/admin/v1/${path}`));
  expected.push(
    '/console/session',
    '/v1/tollgate/balance',
    '/v1/tollgate/usage',
    '/v1/tollgate/calls',
    '/v1/tollgate/calls/{id}',
    '/v1/tollgate/labels',
  );
  expect(Object.keys(paths).sort()).toEqual(expected.sort());
  for (const resource of resources) {
    expect(Object.keys(paths[`/admin/v1/${resource}`]!).sort()).toEqual(['get', 'post']);
    expect(Object.keys(paths[`/admin/v1/${resource}/{id}`]!).sort()).toEqual(['delete', 'get', 'patch']);
  }
  expect(JSON.stringify(paths['/admin/v1/usage'])).toContain('group_by');
  const { schemas } = document.components as { schemas: Record<string, { required?: string[] }> };
  expect(schemas.NewLimit?.required).toEqual(['subject', 'meter', 'amount', 'window']);
});

test('docs/ADMIN.md lists every route, its methods and whether a team may use it, and no other', async () => {
  const { paths } = (await admin.get('/openapi.json')) as unknown as {
    paths: Record<string, Record<string, { description?: string }>>;
  };
  const inCode = Object.entries(paths).map(([path, methods]) => {
    const isOfTeam = Object.values(methods).some(({ description }) => description?.includes('virtual key'));
    return [path, Object.keys(methods).sort().join(' '), isOfTeam ? 'yes' : ''].join(' | ');
  });
  const page = readFileSync(new URL('../../docs/ADMIN.md', import.meta.url), 'utf8');
  const onPage = tableRows(page).filter(([path]) => path!.startsWith('/'));
  expect(
    differences(
      inCode,
      onPage.map((cells) => cells.slice(0, 3).join(' | ')),
    ),
  ).toEqual([]);
});

test('docs/ADMIN.md says which role has which permission, as the code does', () => {
  const inCode = PERMISSIONS.map((permission) => [
    permission,
    ...ROLES.map((role) => (ROLE_PERMISSIONS[role].includes(permission) ? 'yes' : '')),
  ]);
  const page = readFileSync(new URL('../../docs/ADMIN.md', import.meta.url), 'utf8');
  const names = new Set<string>(PERMISSIONS);
  const onPage = tableRows(page).filter(([name = '']) => names.has(name.replaceAll('`', '')));
  const written = onPage.map((cells) =>
    cells
      .slice(0, 1 + ROLES.length)
      .join(' | ')
      .replaceAll('`', ''),
  );
  expect(
    differences(
      inCode.map((cells) => cells.join(' | ')),
      written,
    ),
  ).toEqual([]);
});

test('an app that serves more than the admin API keeps its other paths', async () => {
  const { database } = admin;
  const outer = new OpenAPIHono();
  outer.route(
    '/',
    createAdmin({ database, ...signIn(database), defaultPlan: null, settleNow: async () => {} }),
  );
  outer.get('/healthz', (context) => context.text('alive'));
  expect(await (await outer.request('/healthz')).text()).toBe('alive');
  expect((await outer.request('/admin/v1')).status).toBe(401);
});
