/** Warnings of limits of every kind: soft ones, of models and end users, of the whole installation, and denials. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { usd } from '../../src/domain/money.ts';
import { SpentBudgets, warn } from '../../src/jobs/warn.ts';
import { openDatabase } from '../../src/store/database.ts';
import { openWarnings } from '../../src/store/hot/catalog.ts';
import {
  counterOf,
  createTestAdmin,
  createTestInstance,
  type Json,
  type TestAdmin,
} from '../admin/support.ts';

const NOW = '2026-11-24T10:00:00.000Z';
const NOW_MS = Date.parse(NOW);
const MONTH = { type: 'calendar', unit: 'month', time_zone: 'UTC' };
const OPTIONS = { thresholds: [50, 100], deliver: false };

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  instance = await createTestInstance(admin.database);
});
afterAll(() => admin.close());

const raise = async () =>
  ((await warn(admin.database, OPTIONS)) ?? [])
    .map(({ counterId, threshold }) => [counterId.split('@')[0], threshold])
    .sort();

let teams = 0;
async function team() {
  const { id: teamId } = await admin.make('/teams', { name: `kind ${++teams}`, plan: null, unlimited: true });
  const key = await admin.make('/keys', { team_id: teamId, name: 'app' });
  return { teamId, keyId: key.id };
}
const soft = (subject: object, amount: string, rest: object = {}) =>
  admin.make('/limits', { subject, meter: 'cost_usd', amount, window: MONTH, enforcement: 'soft', ...rest });
const spend = (of: { teamId: string; keyId: string }, costUsd: string, model = 'gpt-4o-mini') =>
  instance.call({ ...of, atMs: NOW_MS, costUsd, model });
const settledOf = async ({ id }: Json) => {
  const rows = await admin.database.sql`select settled::text from counters where source_id = ${id}`;
  return rows.map((row) => usd(row.settled));
};

it('a soft limit counts its whole window, also before the first run of the job', async () => {
  const research = await team();
  await spend(research, '3');
  const limit = await soft({ type: 'team', id: research.teamId }, '10');
  expect(await raise()).toEqual([]);
  expect(await settledOf(limit)).toEqual([usd('3')]);
  await spend(research, '2.5');
  expect(await settledOf(limit)).toEqual([usd('5.5')]);
  expect(await raise()).toEqual([[limit.id, 50]]);
  await spend(research, '7');
  expect(await raise()).toEqual([[limit.id, 100]]);
  const balance = await admin.get(`/teams/${research.teamId}/balance`);
  expect(balance.limits).toMatchObject([
    { id: limit.id, enforcement: 'soft', settled: '12.50', remaining: '0.00', over_limit_usd: '2.50' },
  ]);
});

it('a soft limit without calls gets no counter', async () => {
  const research = await team();
  const limit = await soft({ type: 'team', id: research.teamId }, '10');
  expect(await raise()).toEqual([]);
  expect(await settledOf(limit)).toEqual([]);
});

it('a soft limit of a key, and of some models, counts these alone', async () => {
  const research = await team();
  const other = await admin.make('/keys', { team_id: research.teamId, name: 'other' });
  const ofKey = await soft({ type: 'key', id: research.keyId }, '1');
  const ofModel = await soft({ type: 'team', id: research.teamId }, '1', { models: ['gpt-4o'] });
  await spend({ ...research, keyId: other.id }, '5');
  expect(await raise()).toEqual([]);
  await spend({ ...research, keyId: other.id }, '0.6', 'gpt-4o-2024-08-06');
  expect(await raise()).toEqual([[ofModel.id, 50]]);
  await spend(research, '0.6');
  expect(await raise()).toEqual([[ofKey.id, 50]]);
});

it('a soft limit of the whole installation warns every team', async () => {
  const limit = await soft({ type: 'org' }, '1000');
  const [one, two] = [await team(), await team()];
  await spend(one, '300');
  await spend(two, '300');
  expect(await raise()).toEqual([[limit.id, 50]]);
  const told = await openWarnings(admin.database.sql, [asId(one.teamId), ORGANIZATION_ID]);
  expect(told).toMatchObject([{ sourceId: limit.id, percent: 50 }]);
  await admin.ask('DELETE', `/limits/${limit.id}`);
});

it('a soft limit has a counter in each window that sees a call', async () => {
  const research = await team();
  const limit = await soft({ type: 'team', id: research.teamId }, '1', {
    window: { type: 'calendar', unit: 'day', time_zone: 'UTC' },
  });
  await spend(research, '0.6');
  expect(await raise()).toEqual([[limit.id, 50]]);
  const tomorrow = openDatabase(admin.database.connection, {
    settings: { 'tollgate.now': '2026-11-25T00:10:00Z' },
  });
  expect(await warn(tomorrow, OPTIONS)).toEqual([]);
  await instance.call({ ...research, atMs: Date.parse('2026-11-25T00:05:00Z'), costUsd: '0.7' });
  expect(await warn(tomorrow, OPTIONS)).toMatchObject([{ threshold: 50 }]);
  await tomorrow.close();
  expect(await settledOf(limit)).toHaveLength(2);
});

it('a budget that denies a call warns at 100 % when half of it is settled, once for all replicas', async () => {
  const research = await team();
  const grant = await admin.make('/grants', { team_id: research.teamId, amount_usd: '10' });
  const counter = counterOf('grant', grant, research.teamId, NOW_MS);
  const pay = (costUsd: string) =>
    instance.call({
      ...research,
      atMs: NOW_MS,
      costUsd,
      pools: [[{ counter, heldUsd: costUsd, settledUsd: costUsd }]],
    });
  const denyCall = async () => {
    const replicas = [new SpentBudgets(), new SpentBudgets()];
    for (const spent of replicas) for (let times = 0; times < 3; times++) spent.add(counter);
    const raised = await Promise.all(replicas.map((each) => each.raise(admin.database, OPTIONS)));
    return raised.flat().map(({ threshold }) => threshold);
  };
  await pay('4.9');
  expect(await denyCall()).toEqual([]);
  await pay('4.9');
  expect(await denyCall()).toEqual([100]);
  expect(await denyCall()).toEqual([]);
  const [row] = await admin.database.sql`
    select denied, settled::text from warnings where team_id = ${research.teamId} and threshold = 100`;
  expect([row!.denied, usd(row!.settled)]).toEqual([true, usd('9.8')]);
  await raise();
});

it('a rate limit raises no warning', async () => {
  const research = await team();
  const limit = await admin.make('/limits', {
    subject: { type: 'team', id: research.teamId },
    meter: 'requests',
    amount: '1',
    window: { type: 'rolling', seconds: 60 },
  });
  await admin.database.sql`
    insert into counters (team_id, id, source, source_id, subject_type, subject_id, meter, starts_at, rolling_ms, amount, settled)
    values (${research.teamId}, ${`${limit.id}@head`}, 'limit', ${limit.id}, 'team', ${research.teamId}, 'requests', ${NOW}, 60000, 1, 1)`;
  expect(await raise()).toEqual([]);
});

it('a warning is not a change in the audit log', async () => {
  const research = await team();
  await soft({ type: 'team', id: research.teamId }, '1');
  await spend(research, '1');
  const entries = async () => (await admin.get(`/audit?team_id=${research.teamId}`)).data.length;
  const before = await entries();
  expect(await raise()).toHaveLength(2);
  expect(await entries()).toBe(before);
});

it('a limit with thresholds of its own warns at these, or never', async () => {
  const research = await team();
  const early = await soft({ type: 'team', id: research.teamId }, '1', { warn_at: [10, 200] });
  const silent = await soft({ type: 'team', id: research.teamId }, '1', { warn_at: [] });
  await spend(research, '0.6');
  expect(await raise()).toEqual([[early.id, 10]]);
  await spend(research, '1.4');
  expect(await raise()).toEqual([[early.id, 200]]);
  const changed = await admin.ask('PATCH', `/limits/${silent.id}`, { warn_at: null });
  expect(changed.body).toMatchObject({ warn_at: null, amount: '1.00' });
  expect(await raise()).toEqual([
    [silent.id, 100],
    [silent.id, 50],
  ]);
});
