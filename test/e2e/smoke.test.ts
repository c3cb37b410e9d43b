import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

it('a call is held and forwarded, and its event equals the invoice', async () => {
  const { teamId, key } = await stack.team({ grantUsd: '18.00' });
  const response = await stack.post(key, '/chat/completions', {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'hello' }],
  });
  expect(response.status).toBe(200);
  const cost = response.headers.get('x-tollgate-cost-usd');

  const events = await stack.admin<{ data: { cost_usd: string; provenance: string }[] }>(
    'GET',
    `/events?team_id=${teamId}`,
  );
  expect(events.data).toHaveLength(1);
  expect(events.data[0]).toMatchObject({ cost_usd: cost, provenance: 'reported' });
  const balance = await stack.admin<{ settled_usd: string; held_usd: string }>(
    'GET',
    `/teams/${teamId}/balance`,
  );
  expect(balance).toMatchObject({ granted_usd: '18.00', settled_usd: cost, held_usd: '0.00' });
});
