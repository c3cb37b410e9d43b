import { afterAll, beforeAll, expect, test } from 'vitest';
import { LimitPreview } from '../../src/admin/contract.ts';
import { createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

const NOW = '2026-11-24T11:00:00.000Z';
const month = { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' };
const day = { ...month, unit: 'day' };

let admin: TestAdmin;
let team: Json;
let keys: Json[];
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  const instance = await createTestInstance(admin.database);
  team = await admin.make('/teams', { name: 'research', plan: null });
  const other = await admin.make('/teams', { name: 'other', plan: null });
  keys = await Promise.all(
    [team, team, other].map(({ id }) => admin.make('/keys', { team_id: id, name: 'app' })),
  );
  const calls: [number, string, string, string, string][] = [
    [0, '2026-11-02T12:00:00Z', '5', 'gpt-4o', 'ann'],
    [0, '2026-11-23T22:59:59Z', '1', 'gpt-4o', 'ann'],
    [0, '2026-11-23T23:00:00Z', '2', 'gpt-4o-2024-08-06', 'ann'],
    [1, '2026-11-24T08:00:00Z', '3', 'gpt-4o-mini', 'bob'],
    [0, '2026-11-24T09:00:00Z', '4', 'gpt-4o', 'bob'],
    [2, '2026-11-24T10:00:00Z', '10', 'gpt-4o', 'ann'],
  ];
  for (const [key, at, costUsd, model, endUser] of calls) {
    const of = { teamId: key === 2 ? other.id : team.id, keyId: keys[key]!.id };
    await instance.call({ ...of, atMs: Date.parse(at), costUsd, model, endUser });
  }
});
afterAll(() => admin.close());

async function preview(changes: Record<string, unknown>) {
  const subject = { type: 'team', id: team.id };
  const rule = { subject, meter: 'cost_usd', amount: '10', window: month, ...changes };
  const { status, body } = await admin.ask('POST', '/limits/preview', rule);
  expect(status, JSON.stringify(body)).toBe(200);
  return LimitPreview.parse(body);
}

test('the preview shows what the limit would count now, and which calls of today it would have denied', async () => {
  expect(await preview({})).toEqual({
    window_starts_at: '2026-10-31T23:00:00.000Z',
    resets_at: '2026-11-30T23:00:00.000Z',
    used: '15.00',
    amount: '10.00',
    remaining: '0.00',
    calls_today: 3,
    denied_calls_today: 2,
    first_denied_at: '2026-11-24T08:00:00.000Z',
  });
});

test.each<[string, () => Record<string, unknown>, string, number, number]>([
  ['its day', () => ({ window: day }), '9.00', 3, 0],
  ['its meter', () => ({ window: day, meter: 'requests', amount: '2' }), '3', 3, 1],
  ['its models', () => ({ window: day, models: ['gpt-4o'], amount: '3' }), '6.00', 2, 1],
  ['its key', () => ({ subject: { type: 'key', id: keys[1]!.id }, amount: '2' }), '3.00', 1, 1],
  ['the organization', () => ({ subject: { type: 'org' }, window: day, amount: '9' }), '19.00', 4, 1],
  ['one end user', () => ({ subject: { type: 'user', id: 'bob' }, window: day, amount: '6' }), '7.00', 2, 1],
  [
    'each end user of a team',
    () => ({ subject: { type: 'user', team_id: team.id }, window: day, amount: '2' }),
    '7.00',
    3,
    2,
  ],
  ['a rolling hour', () => ({ meter: 'requests', window: { type: 'rolling', seconds: 3600 } }), '0', 2, 0],
  ['slots', () => ({ meter: 'concurrency', window: { type: 'lifetime' }, amount: '1' }), '0', 2, 0],
])('the preview counts %s', async (_, changes, used, calls, refused) => {
  expect(await preview(changes())).toMatchObject({ used, calls_today: calls, denied_calls_today: refused });
});

test('the preview creates nothing, and an invalid limit ends in an error', async () => {
  const before = await admin.snapshot();
  await preview({});
  expect(await admin.snapshot()).toBe(before);
  const noSuch = { type: 'team', id: '019abcde-0000-7000-8000-000000000000' };
  for (const [changes, status, param] of [
    [{ subject: noSuch }, 404, 'subject.id'],
    [{ subject: { ...noSuch, type: 'key' } }, 404, 'subject.id'],
    [{ window: { type: 'rolling', seconds: 60 } }, 400, 'window.type'],
    [{ meter: 'tokens', amount: '1.5' }, 400, 'amount'],
    [{ subject: { type: 'user', id: null }, carry_over: { max_percent: 50 } }, 400, 'carry_over'],
    [{ amount: 5 }, 400, 'amount'],
  ] as const) {
    const rule = { subject: { type: 'team', id: team.id }, meter: 'cost_usd', amount: '1', window: day };
    expect(await admin.ask('POST', '/limits/preview', { ...rule, ...changes })).toMatchObject({
      status,
      body: { error: { param } },
    });
  }
});
