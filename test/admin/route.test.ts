import { OpenAPIHono } from '@hono/zod-openapi';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { route } from '../../src/admin/route.ts';
import { Authority, EVERYTHING } from '../../src/domain/roles.ts';

const [OWN, OTHER] = ['019abcde-0000-7000-8000-00000000000a', '019abcde-0000-7000-8000-00000000000b'];
const MISSING = '019abcde-0000-7000-8000-00000000000c';

function appOf(authority: Authority, path: string, hasOwner = true) {
  const app = new OpenAPIHono();
  app.use(async (context, next) => {
    context.set('caller', { authority, actor: 'a test', sessionId: null, personId: null, isToken: false });
    await next();
  });
  const items = new Set([OWN, OTHER]);
  const owner = vi.fn(async (id: string) => (items.has(id) ? id : null));
  const act = vi.fn(async ({ id }: { id: string }) => (items.has(id) ? { team_id: id } : null));
  const response = z.strictObject({ team_id: z.string() });
  const definition = { method: 'delete', path, summary: 'Delete a thing', response } as const;
  route(app, { ...definition, ...(hasOwner ? { ownerOfItem: owner } : {}) }, act);
  const request = async (id: string) =>
    (await app.request(`/admin/v1${path.replace('{id}', id)}`, { method: 'DELETE' })).status;
  return { act, owner, request };
}

const leadOf = (team: string) => new Authority([{ role: 'team_lead', teams: new Set([team]) }]);

test('a route acts on nothing that belongs to a team out of reach', async () => {
  const { act, request } = appOf(leadOf(OWN), '/keys/{id}');
  expect(await request(OTHER)).toBe(403);
  expect(await request(MISSING)).toBe(404);
  expect(act).not.toHaveBeenCalled();
  expect(await request(OWN)).toBe(200);
  expect(act).toHaveBeenCalledOnce();
});

test('a route acts on what belongs to any team for who reaches all', async () => {
  const { act, request } = appOf(EVERYTHING, '/keys/{id}');
  expect(await request(OTHER)).toBe(200);
  expect(await request(MISSING)).toBe(404);
  expect(act).toHaveBeenCalledTimes(2);
});

test('nothing is loaded for who lacks the permission altogether', async () => {
  const { act, owner, request } = appOf(leadOf(OWN), '/grants/{id}');
  expect(await request(OWN)).toBe(403);
  expect(owner).not.toHaveBeenCalled();
  expect(act).not.toHaveBeenCalled();
});

test('a route that forgets to say whose things are is closed to who reaches some teams alone', async () => {
  const { act, request } = appOf(leadOf(OWN), '/keys/{id}', false);
  expect(await request(OWN)).toBe(404);
  expect(act).not.toHaveBeenCalled();
});

test('a route that is not in the table of permissions is for owners of everything', async () => {
  const admin = new Authority([{ role: 'admin', teams: 'all' }]);
  expect(await appOf(admin, '/things/{id}').request(OWN)).toBe(403);
  expect(await appOf(EVERYTHING, '/things/{id}').request(OWN)).toBe(200);
});
