/** Budgets of departments bind their teams' calls at every level; a call stays charged where it was admitted. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { readEvents, sumOf } from './books.ts';
import { type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_QUEUE_TIMEOUT_MS: '0' } });
});
afterAll(() => stack.stop());

const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 };
const call = (key: string, headers: Record<string, string> = {}) =>
  stack.post(key, '/chat/completions', CALL, headers);

interface Made {
  id: string;
}

const department = (name: string, parentId: string | null = null) =>
  stack.admin<Made>('POST', '/departments', { name, parent_id: parentId });
const limitOn = (id: string, amount: string, more = {}) =>
  stack.admin<Made>('POST', '/limits', {
    ...{ subject: { type: 'department', id }, meter: 'cost_usd', amount, window: { type: 'lifetime' } },
    ...more,
  });

/** A team in a department, with a key; it has no other budget. */
async function teamIn(departmentId: string | null): Promise<{ teamId: string; key: string }> {
  const { teamId, key } = await stack.team();
  await stack.admin('PATCH', `/teams/${teamId}`, { department_id: departmentId });
  return { teamId, key };
}

async function settledOf(limitId: string): Promise<bigint> {
  await stack.settled();
  const { data } = await stack.admin<{ data: { id: string; state: { settled: string; held: string } }[] }>(
    'GET',
    '/limits?state=true&limit=1000',
  );
  const state = data.find(({ id }) => id === limitId)?.state;
  return usd(state?.settled ?? '-1');
}

const spentBy = async (...teamIds: string[]) => {
  await stack.settled();
  const events = await Promise.all(teamIds.map((id) => readEvents(stack, id)));
  return sumOf(events.flat());
};

it('the tightest of all levels decides, and not one cent is over at any of them', async () => {
  const company = await department('company');
  const division = await department('division', company.id);
  const unit = await department('unit', division.id);
  const [atTop, atMiddle, atLow] = [
    await limitOn(company.id, '0.004'),
    await limitOn(division.id, '0.003'),
    await limitOn(unit.id, '0.0015'),
  ];
  const teams = await Promise.all([unit.id, unit.id, division.id, company.id].map(teamIn));
  const load = async (key: string) => {
    const statuses = new Set<number>();
    for (let left = 40; left > 0; left--) {
      const response = await call(key, { 'x-simulator': 'output=900' });
      statuses.add(response.status);
      await response.text();
      if (response.status !== 200) break;
    }
    return statuses;
  };
  for (const { key } of teams) expect(await load(key)).toContain(429);
  await Promise.all(teams.flatMap(({ key }) => [load(key), load(key)]));
  const spent = await Promise.all(teams.map(({ teamId }) => spentBy(teamId)));
  const sum = (from: number, to: number) => spent.slice(from, to).reduce((all, each) => all + each, 0n);
  for (const [limit, most, its] of [
    [atLow, '0.0015', sum(0, 2)],
    [atMiddle, '0.003', sum(0, 3)],
    [atTop, '0.004', sum(0, 4)],
  ] as const) {
    expect(await settledOf(limit.id)).toBe(its);
    expect(its).toBeLessThanOrEqual(usd(most));
    expect(its).toBeGreaterThan(0n);
  }
  expect(sum(2, 3)).toBeGreaterThan(0n);
  expect(sum(3, 4)).toBeGreaterThan(0n);
});

it('a denial names the limit of the department', async () => {
  const small = await department('small');
  const limit = await limitOn(small.id, '0.000001');
  const { key } = await teamIn(small.id);
  const response = await call(key);
  expect(response.status).toBe(429);
  expect(await response.json()).toMatchObject({ error: { code: 'insufficient_quota', limit_id: limit.id } });
});

it('a team that moves is bound where it is within a second; calls in flight stay charged where they were admitted', async () => {
  const [from, to] = [await department('from'), await department('to')];
  const [left, right] = [await limitOn(from.id, '1'), await limitOn(to.id, '1')];
  const { teamId, key } = await teamIn(from.id);
  const lines = () => stack.simulator.invoice().line_count;
  const before = lines();
  const slow = call(key, { 'x-simulator': 'first_byte_ms=3000,output=700' });
  await expect.poll(lines, { timeout: 30_000, interval: 5 }).toBeGreaterThan(before);
  await stack.admin('PATCH', `/teams/${teamId}`, { department_id: to.id });
  const moved = async () => {
    expect((await call(key, { 'x-simulator': 'output=5' })).status).toBe(200);
    return settledOf(right.id);
  };
  await expect.poll(moved, { timeout: 30_000, interval: 20 }).toBeGreaterThan(0n);
  expect((await slow).status).toBe(200);
  const there = (await settledOf(left.id)) + (await settledOf(right.id));
  expect(await settledOf(left.id)).toBeGreaterThan(usd('0.0004'));
  expect(there).toBe(await spentBy(teamId));
  // A limit that is made now counts in its window what was admitted there, and no more.
  const later = await limitOn(to.id, '2', { meter: 'cost_usd' });
  expect(await settledOf(later.id)).toBe(await settledOf(right.id));
  expect((await call(key)).status).toBe(200);
  expect(await settledOf(later.id)).toBe(await settledOf(right.id));
});

it('a department that moves takes its teams to the budgets above it', async () => {
  const [old, poor] = [await department('old parent'), await department('poor parent')];
  const child = await department('child', old.id);
  await limitOn(old.id, '1');
  await limitOn(poor.id, '0.000001');
  const { key } = await teamIn(child.id);
  expect((await call(key)).status).toBe(200);
  await stack.admin('PATCH', `/departments/${child.id}`, { parent_id: poor.id });
  const status = async () => (await call(key)).status;
  await expect.poll(status, { timeout: 30_000, interval: 20 }).toBe(429);
  await stack.admin('PATCH', `/departments/${child.id}`, { parent_id: null });
  // Nothing funds the team there.
  await expect.poll(status, { timeout: 30_000, interval: 20 }).toBe(429);
  await stack.admin('PATCH', `/departments/${child.id}`, { parent_id: old.id });
  await expect.poll(status, { timeout: 30_000, interval: 20 }).toBe(200);
});

it('soft limits, rates and calls at once of a department count all its teams', async () => {
  const group = await department('group');
  const soft = await limitOn(group.id, '0.000001', { enforcement: 'soft' });
  await limitOn(group.id, '3', { meter: 'requests', window: { type: 'rolling', seconds: 3600 } });
  const [one, two] = [await teamIn(group.id), await teamIn(group.id)];
  // Nothing waits here, and a call may come just as the window's next bucket begins: what was lent of the last one is on its way back.
  const statusOf = (key: string) => async () => (await call(key)).status;
  for (const { key } of [one, two, one]) await expect.poll(statusOf(key), { timeout: 30_000 }).toBe(200);
  const denied = await call(two.key);
  expect(denied.status).toBe(429);
  expect(await denied.json()).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
  expect(await settledOf(soft.id)).toBe(await spentBy(one.teamId, two.teamId));
});
