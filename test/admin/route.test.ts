import { OpenAPIHono } from '@hono/zod-openapi';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';
import { itemRoute } from '../../src/admin/route.ts';
import type { Caller } from '../../src/admin/scope.ts';

const [OWN, OTHER] = ['019abcde-0000-7000-8000-00000000000a', '019abcde-0000-7000-8000-00000000000b'];

function appOf(caller: Caller) {
  const app = new OpenAPIHono();
  app.use(async (context, next) => {
    context.set('caller', caller);
    await next();
  });
  const act = vi.fn(async (item: { teamId: string }) => ({ team_id: item.teamId }));
  const response = z.strictObject({ team_id: z.string() });
  const items = new Map([OWN, OTHER].map((teamId) => [teamId, { teamId }]));
  itemRoute(
    app,
    { method: 'delete', path: '/things/{id}', summary: 'Delete a thing', response },
    { load: async (id) => items.get(id) ?? null, teamOf: (item) => item.teamId },
    act,
  );
  const request = async (id: string) =>
    (await app.request(`/admin/v1/things/${id}`, { method: 'DELETE' })).status;
  return { act, request };
}

test('a route about an item does not act on what belongs to another team than the caller’s', async () => {
  const { act, request } = appOf({ team: OWN, actor: 'team session', sessionId: null });
  expect(await request(OTHER)).toBe(404);
  expect(act).not.toHaveBeenCalled();
  expect(await request(OWN)).toBe(200);
  expect(act).toHaveBeenCalledOnce();
});

test('a route about an item acts on every team’s for an admin, and on none that does not exist', async () => {
  const { act, request } = appOf({ team: null, actor: 'admin key', sessionId: null });
  expect(await request(OTHER)).toBe(200);
  expect(await request('019abcde-0000-7000-8000-00000000000c')).toBe(404);
  expect(act).toHaveBeenCalledOnce();
});
