/** Grants: prepaid credit is spent earliest expiry first and ends when it expires, but not for calls under way. */
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { readBalance, readEvents, sumOf } from './books.ts';
import { inParallel } from './callers.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.stop());

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 500 };
const call = (key: string, headers = {}, body = {}) =>
  stack.post(key, '/chat/completions', { ...CALL, ...body }, headers);

async function grant(teamId: string, amountUsd: string, lastsMs: number) {
  const made = await stack.admin<{ id: string; expires_at: string }>('POST', '/grants', {
    team_id: teamId,
    amount_usd: amountUsd,
    expires_at: new Date(Date.now() + lastsMs).toISOString(),
  });
  return { id: made.id, expiresAtMs: Date.parse(made.expires_at) };
}

/** What was spent of the team's grants, by id. */
async function spent(teamId: string): Promise<Record<string, string>> {
  const { grants } = await readBalance(stack, teamId);
  return Object.fromEntries(grants.map(({ id, settled_usd }) => [id, settled_usd]));
}

it('the grant that expires first pays first, and one call may cross to the next grant', async () => {
  const { teamId, key } = await stack.team();
  // Made in the other order: neither their age nor their size decides.
  const late = await grant(teamId, '0.10', 7_200_000);
  const early = await grant(teamId, '0.0001', 3_600_000);
  await setTimeout(50);
  const fixed = { 'x-simulator': 'output=100,mode=worst' };
  // A hundred tokens cost $0.00006 and the input a little: the second call pays with both.
  expect((await call(key, fixed)).status).toBe(200);
  const first = sumOf(await readEvents(stack, teamId));
  expect(await spent(teamId)).toEqual({ [early.id]: formatUsd(first), [late.id]: '0.00' });
  expect((await call(key, fixed)).status).toBe(200);
  const both = sumOf(await readEvents(stack, teamId));
  expect(both).toBeGreaterThan(usd('0.0001'));
  expect(await spent(teamId)).toEqual({
    [early.id]: '0.0001',
    [late.id]: formatUsd(both - usd('0.0001')),
  });
});

it('a later grant pays nothing while an earlier one can pay, whatever calls hold', async () => {
  const { teamId, key } = await stack.team();
  const late = await grant(teamId, '1.00', 7_200_000);
  const early = await grant(teamId, '0.01', 3_600_000);
  await inParallel(Array.from({ length: 60 }), 4, () => call(key));
  const total = sumOf(await readEvents(stack, teamId));
  expect(total).toBeLessThan(usd('0.01'));
  expect(await spent(teamId)).toEqual({ [early.id]: formatUsd(total), [late.id]: '0.00' });
});

it('an expired grant pays only for calls held before its expiry', async () => {
  const { teamId, key } = await stack.team();
  const before = stack.simulator.invoice().line_count;
  const { id, expiresAtMs } = await grant(teamId, '1.00', 4000);
  const slow = call(key, { 'x-simulator': 'first_byte_ms=7000' });
  await expect.poll(() => stack.simulator.invoice().line_count, { interval: 5 }).toBeGreaterThan(before);
  await setTimeout(Math.max(0, expiresAtMs - Date.now()) + 50);

  const refused = await call(key);
  expect(refused.status).toBe(429);
  expect(((await refused.json()) as { error: object }).error).toMatchObject({ code: 'insufficient_quota' });
  expect((await slow).status).toBe(200);
  const [event, ...others] = await readEvents(stack, teamId);
  expect(others).toEqual([]);
  expect(event).toMatchObject({ provenance: 'reported', outcome: 'settled' });
  expect(await spent(teamId)).toEqual({ [id]: event!.cost_usd });
  expect(await readBalance(stack, teamId)).toMatchObject({ remaining_usd: '0.00', held_usd: '0.00' });
});

it('a grant pays from its start on, and the next one pays when it expires', async () => {
  // A busy machine may answer the first call after the start: then it says nothing, and another grant begins later.
  for (let aheadMs = 4000; ; aheadMs *= 4) {
    const { teamId, key } = await stack.team();
    const startsAtMs = Date.now() + aheadMs;
    await stack.admin('POST', '/grants', {
      team_id: teamId,
      amount_usd: '1.00',
      starts_at: new Date(startsAtMs).toISOString(),
    });
    const early = await call(key);
    if (Date.now() >= startsAtMs) continue;
    expect(early.status).toBe(429);
    await setTimeout(Math.max(0, startsAtMs - Date.now()) + 100);
    expect((await call(key)).status).toBe(200);
    return;
  }
});
