/** Plans bind: the limits and models that a new team got from one decide about its calls. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_DEFAULT_PLAN: 'starter' } });
});
afterAll(() => stack.stop());

const call = (key: string, model = 'gpt-4o-mini') =>
  stack.post(key, '/chat/completions', {
    model,
    max_tokens: 50,
    messages: [{ role: 'user', content: 'hello' }],
  });

async function keyOf(teamId: string, models?: string[]): Promise<string> {
  const made = await stack.admin<{ key: string }>('POST', '/keys', { team_id: teamId, name: 'app', models });
  return made.key;
}

it('a missing default plan does not stop the start; a new team must then name its plan', async () => {
  await expect(stack.admin('POST', '/teams', { name: 'too early' })).rejects.toThrow('no plan named starter');
  await expect(stack.admin('POST', '/teams', { name: 'named', plan: 'free-tier' })).resolves.toMatchObject({
    plan: 'free-tier',
  });
});

it('a team of the default plan is bound by its limits and models, and its keys by their own as well', async () => {
  await stack.admin('POST', '/plans', {
    name: 'starter',
    limits: [
      { meter: 'cost_usd', amount: '1.00', window: { type: 'lifetime' } },
      { meter: 'requests', amount: '2', window: { type: 'lifetime' }, models: ['gpt-4.1-nano'] },
    ],
    models: ['gpt-4o-mini', 'gpt-4.1-nano'],
  });
  const team = await stack.admin<{ id: string }>('POST', '/teams', { name: 'newcomers' });
  const key = await keyOf(team.id);
  expect((await call(key)).status).toBe(200);
  expect((await call(key, 'gpt-4o-mini-2024-07-18')).status).toBe(200);
  const forbidden = await call(key, 'gpt-4o');
  expect(forbidden.status).toBe(403);
  expect(((await forbidden.json()) as { error: object }).error).toMatchObject({ code: 'model_not_allowed' });

  const statuses = [];
  for (let calls = 0; calls < 3; calls++) statuses.push((await call(key, 'gpt-4.1-nano')).status);
  expect(statuses).toEqual([200, 200, 429]);

  const narrow = await keyOf(team.id, ['gpt-4o', 'gpt-4.1-nano']);
  expect([(await call(narrow)).status, (await call(narrow, 'gpt-4o')).status]).toEqual([403, 403]);
});

it("a change of the team's models binds within a second", async () => {
  const team = await stack.admin<{ id: string }>('POST', '/teams', { name: 'changing', plan: 'starter' });
  const key = await keyOf(team.id);
  const soon = (model: string, status: number) =>
    expect.poll(async () => (await call(key, model)).status, { timeout: 30_000, interval: 20 }).toBe(status);
  expect((await call(key, 'gpt-4o')).status).toBe(403);
  await stack.admin('PATCH', `/teams/${team.id}`, { models: null });
  await soon('gpt-4o', 200);
  await stack.admin('PATCH', `/teams/${team.id}`, { models: ['gpt-4o'] });
  await soon('gpt-4o-mini', 403);
});
