/** Members of a team: limits that count all keys of a member together, strict like all others. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { ADMIN_KEY, type Stack, startStack } from './stack.ts';

let stack: Stack;
beforeAll(async () => {
  stack = await startStack({ env: { TOLLGATE_QUEUE_TIMEOUT_MS: '0' } });
});
afterAll(() => stack.stop());

/** At most $0.0006; costs about 0.00054 at 900 tokens. */
const CALL = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }], max_tokens: 1000 };
const output = { 'x-simulator': 'output=900' };
const call = (key: string, headers = {}) =>
  stack.post(key, '/chat/completions', CALL, { ...output, ...headers });
const codeOf = async (response: Response) =>
  ((await response.json()) as { error?: { code: string } }).error?.code ?? response.status;

const SLOW = { timeout: 120_000 };

interface MadeKey {
  id: string;
  key: string;
  member: string | null;
  tags: object;
}
const keyOf = (teamId: string, member: string | null, more = {}) =>
  stack.admin<MadeKey>('POST', '/keys', { team_id: teamId, name: member ?? 'nobody', member, ...more });
const limitOn = (subject: object, amount: string) =>
  stack.admin<{ id: string; subject: object }>('POST', '/limits', {
    ...{ subject, meter: 'cost_usd', amount, window: { type: 'lifetime' } },
  });
const exhaust = (...keys: string[]) =>
  Promise.all(
    keys.map(async (key) => {
      while ((await codeOf(await call(key))) !== 'insufficient_quota') await delay(10);
    }),
  );
async function spentBy(member: string): Promise<bigint> {
  await stack.settled();
  const query = `/events?limit=1000&tag=${encodeURIComponent(`member=${member}`)}`;
  const { data } = await stack.admin<{ data: { cost_usd: string }[] }>('GET', query);
  return data.reduce((sum, { cost_usd }) => sum + usd(cost_usd), 0n);
}

it(
  'each member has an amount of its own over all its keys, and a key of nobody is not counted',
  SLOW,
  async () => {
    const { teamId, key: nobodys } = await stack.team({ unlimited: true });
    const [one, two, bobs] = await Promise.all(['ada', 'ada', 'bob'].map((member) => keyOf(teamId, member)));
    const { id, subject } = await limitOn({ type: 'member', team_id: teamId }, '0.003');
    expect(subject).toEqual({ type: 'member', id: null, team_id: teamId });
    await exhaust(one!.key, two!.key);
    const spent = await spentBy('ada');
    expect(spent).toBeLessThanOrEqual(usd('0.003'));
    expect(spent).toBeGreaterThan(usd('0.0018'));
    for (const key of [bobs!.key, nobodys]) expect((await call(key)).status).toBe(200);
    const denied = await call(two!.key);
    expect(await denied.json()).toMatchObject({ error: { code: 'insufficient_quota', limit_id: id } });
    const usage = await stack.admin<{ data: { tag_value: string | null }[] }>(
      'GET',
      `/usage?group_by=tag:member&team_id=${teamId}`,
    );
    expect(usage.data.map(({ tag_value }) => tag_value)).toEqual(expect.arrayContaining(['ada', 'bob']));
  },
);

it('a member that is named counts the keys of all its teams together', SLOW, async () => {
  const [first, second] = [await stack.team({ unlimited: true }), await stack.team({ unlimited: true })];
  const keys = [await keyOf(first.teamId, 'eve'), await keyOf(second.teamId, 'eve')];
  await limitOn({ type: 'member', id: 'eve' }, '0.003');
  await exhaust(...keys.map(({ key }) => key));
  expect(await spentBy('eve')).toBeLessThanOrEqual(usd('0.003'));
});

it('to whom a key belongs is said by an administrator alone', async () => {
  const { teamId, key } = await stack.team({ unlimited: true });
  const response = await call(key, { 'x-tollgate-tags': 'member=ada' });
  expect(await codeOf(response)).toBe('invalid_tag');
  const post = (path: string, body: object) =>
    fetch(`${stack.app.url}/admin/v1${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  expect((await post('/tags', { name: 'member' })).status).toBe(400);
  expect((await post('/keys', { team_id: teamId, name: 'k', tags: { member: 'ada' } })).status).toBe(400);
});

it('a key keeps its member when its tags change, and its tags when its member does', async () => {
  const { teamId } = await stack.team({ unlimited: true });
  const { id } = await keyOf(teamId, 'ada', { tags: { project: 'alpha' } });
  const change = (body: object) => stack.admin<MadeKey>('PATCH', `/keys/${id}`, body);
  expect(await change({ tags: { project: 'beta' } })).toMatchObject({
    member: 'ada',
    tags: { project: 'beta' },
  });
  expect(await change({ member: 'bob' })).toMatchObject({ member: 'bob', tags: { project: 'beta' } });
  expect(await change({ name: 'other' })).toMatchObject({ member: 'bob', tags: { project: 'beta' } });
  expect(await change({ member: null, tags: null })).toMatchObject({ member: null, tags: {} });
});
