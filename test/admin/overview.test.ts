import { afterAll, beforeAll, expect, test } from 'vitest';
import { Overview } from '../../src/admin/contract.ts';
import type { ErrorCode } from '../../src/domain/errors.ts';
import { asId, type TeamId } from '../../src/domain/ids.ts';
import { addApiErrors } from '../../src/store/api-errors.ts';
import { counterOf, createTestAdmin, createTestInstance, type Json, type TestAdmin } from './support.ts';

/** A Tuesday noon in Berlin; the month there began on the 31st, 23:00 UTC. */
const NOW = '2026-11-24T11:00:00.000Z';
const NOW_MS = Date.parse(NOW);

interface Seen extends Json {
  teams: (Json & { tightest: unknown })[];
}

let admin: TestAdmin;
let instance: Awaited<ReturnType<typeof createTestInstance>>;
let prepaid: Json;
let limited: Json;
let free: Json;
let keyOf: Map<Json, string>;
beforeAll(async () => {
  admin = await createTestAdmin(NOW);
  instance = await createTestInstance(admin.database);
  prepaid = await admin.make('/teams', { name: 'prepaid', plan: 'free-tier' });
  limited = await admin.make('/teams', { name: 'limited', plan: null });
  free = await admin.make('/teams', { name: 'free', plan: null, unlimited: true });
  keyOf = new Map();
  for (const team of [prepaid, limited, free]) {
    keyOf.set(team, (await admin.make('/keys', { team_id: team.id, name: 'app' })).id);
  }
  const spend = async (team: Json, at: string, costUsd: string, outcome: 'settled' | 'unknown' = 'settled') =>
    instance.call({ teamId: team.id, keyId: keyOf.get(team)!, atMs: Date.parse(at), costUsd, outcome });
  await spend(free, '2026-09-30T23:30:00+02:00', '100');
  await spend(free, '2026-10-05T12:00:00Z', '40');
  // The last quarter of October and the first of November, as Berlin has them.
  await spend(free, '2026-10-31T23:59:59+01:00', '2');
  await spend(free, '2026-11-01T00:00:00+01:00', '1');
  await spend(limited, '2026-11-10T12:00:00Z', '3');
  await spend(limited, '2026-11-23T12:00:00Z', '7');
  await spend(limited, '2026-11-24T00:30:00+01:00', '0.5', 'unknown');
});
afterAll(() => admin.close());

const limit = (subject: unknown, amount: string, window: unknown, meter = 'cost_usd') =>
  admin.make('/limits', { subject, meter, amount, window });
const month = { type: 'calendar', unit: 'month', time_zone: 'Europe/Berlin' };

async function overview(query: string): Promise<Seen> {
  const seen = await admin.get(`/overview?${query}`);
  Overview.parse(seen);
  return seen as Seen;
}

test('the overview sums this month, the last one and today in the query’s time zone', async () => {
  expect(await overview('time_zone=Europe/Berlin')).toMatchObject({
    month_to_date_usd: '11.50',
    previous_month_usd: '42.00',
    today_usd: '0.50',
    unknown_usd: '0.50',
    calls_today: 1,
  });
  expect(await overview('time_zone=UTC')).toMatchObject({
    month_to_date_usd: '10.50',
    previous_month_usd: '43.00',
    today_usd: '0.00',
    calls_today: 0,
  });
});

test('the overview equals the sums of usage in any time zone', async () => {
  for (const zone of ['Europe/Berlin', 'America/St_Johns', 'Asia/Kathmandu', 'UTC']) {
    const { data } = await admin.get(`/usage?interval=month&time_zone=${zone}`);
    const sums = data.map((row) => row.cost_usd);
    const seen = await overview(`time_zone=${zone}`);
    expect([seen.previous_month_usd, seen.month_to_date_usd], zone).toEqual(sums.slice(-2));
  }
});

test('the overview forecasts the month at the rate of the last seven days', async () => {
  // 7.50 in 7 days; of November in Berlin 6.5 days are left, to midnight of the 1st.
  const forecast = Number((await overview('time_zone=Europe/Berlin')).forecast_month_usd);
  expect(forecast).toBeCloseTo(11.5 + (7.5 / 7) * 6.5, 6);
});

test('the overview shows what each team has left, its tightest budget, and when it runs out', async () => {
  const cost = await limit({ type: 'team', id: limited.id }, '20', month);
  const tokens = await limit({ type: 'team', id: limited.id }, '50', month, 'tokens');
  await limit({ type: 'key', id: keyOf.get(limited)! }, '1', month);
  const { teams } = await overview('time_zone=Europe/Berlin');
  expect(teams.map((team) => team.name)).toEqual(['limited', 'free', 'prepaid']);
  const [ofLimited, ofFree, ofPrepaid] = teams;
  // 9.50 left at 7.50 a week: in 8.9 days, but the window begins anew before.
  expect(ofLimited).toMatchObject({ spent_month_usd: '10.50', remaining_usd: '9.50', exhausts_at: null });
  expect(ofLimited!.tightest).toEqual({
    source: 'limit',
    id: tokens.id,
    used_ratio: 0.9,
    resets_at: '2026-11-30T23:00:00.000Z',
  });
  expect(ofFree).toMatchObject({ remaining_usd: null, exhausts_at: null, tightest: null });
  // Nothing is spent, so its credit ends with its grant.
  expect(ofPrepaid).toMatchObject({
    remaining_usd: '18.00',
    exhausts_at: '2027-02-24T11:00:00.000Z',
    tightest: { source: 'grant', id: prepaid.grants[0]!.id, used_ratio: 0, resets_at: null },
  });
  await admin.ask('PATCH', `/limits/${cost.id}`, { amount: '12' });
  const [lowered] = (await overview(`team_id=${limited.id}`)).teams;
  const atMs = NOW_MS + (1.5 / 7.5) * 7 * 86_400_000;
  expect(lowered!.remaining_usd).toBe('1.50');
  expect(Math.abs(Date.parse(String(lowered!.exhausts_at)) - atMs)).toBeLessThan(1000);
});

test('the overview of one team shows its tightest budget, of several teams their credit', async () => {
  const grant = prepaid.grants[0]!;
  const half = { heldUsd: '9', settledUsd: '9' };
  await instance.call({
    teamId: prepaid.id,
    keyId: keyOf.get(prepaid)!,
    atMs: NOW_MS - 1,
    costUsd: '9',
    pools: [[{ counter: counterOf('grant', grant, prepaid.id, NOW_MS), ...half }]],
  });
  expect((await overview('')).remaining_usd).toBe('9.00');
  const own = await overview(`team_id=${prepaid.id}`);
  expect(own).toMatchObject({ remaining_usd: '9.00', month_to_date_usd: '9.00' });
  expect(own.teams.map((team) => team.name)).toEqual(['prepaid']);
  expect(own.teams[0]!.tightest).toMatchObject({ used_ratio: 0.5 });
  // 9 left at 9 a week.
  expect(Date.parse(String(own.exhausts_at)) - NOW_MS).toBeCloseTo(7 * 86_400_000, -3);
  const several = await overview(`team_ids=${free.id},${limited.id}`);
  expect(several.teams.map((team) => team.name).sort()).toEqual(['free', 'limited']);
  expect(several.remaining_usd).toBeNull();
});

test('the overview counts the denials and the errors of today apart', async () => {
  const counted = (code: ErrorCode, atMs: number, calls: number) => ({
    teamId: asId<TeamId>(free.id),
    atMs,
    calls,
    code,
  });
  await addApiErrors(admin.database.sql, [
    counted('unknown_price', NOW_MS, 2),
    counted('unknown_price', NOW_MS - 86_400_000, 5),
    counted('unknown_price', NOW_MS, 1),
    counted('insufficient_quota', NOW_MS, 7),
    counted('hold_too_large', NOW_MS, 1),
  ]);
  expect(await overview('')).toMatchObject({ denied_today: 8, errors_today: 3 });
});

test('the overview responds 400 to too many team ids, and to what is not an id', async () => {
  const many = Array.from({ length: 101 }, () => free.id).join(',');
  for (const ids of [many, 'x', '']) {
    const { status, body } = await admin.ask('GET', `/overview?team_ids=${ids}`);
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining('team_ids')]);
  }
});
