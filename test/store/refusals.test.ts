import { afterAll, beforeAll, expect, test } from 'vitest';
import { addRefusals, type RefusalQuestion, readRefusals } from '../../src/store/refusals.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
afterAll(drop);

const [A, B] = ['019abcde-0000-7000-8000-00000000000a', '019abcde-0000-7000-8000-00000000000b'];
const count = (teamId: string, at: string, reason: string, calls: number) => ({
  teamId,
  atMs: Date.parse(at),
  reason,
  calls,
});

beforeAll(async () => {
  const { sql } = database;
  await sql`insert into teams (id, name, created_at) select id, id, now() from unnest(${[A, B]}::uuid[]) id`;
  await addRefusals(sql, [
    count(A, '2026-11-23T22:59:00Z', 'insufficient_quota', 1),
    count(A, '2026-11-23T23:01:00Z', 'insufficient_quota', 2),
    count(A, '2026-11-23T23:14:59Z', 'insufficient_quota', 3),
    count(B, '2026-11-24T12:00:00Z', 'unknown_price', 5),
  ]);
  await addRefusals(sql, [count(A, '2026-11-23T23:00:00Z', 'insufficient_quota', 10)]);
});

const ask = (changes: Partial<RefusalQuestion>) =>
  readRefusals(database, {
    groupBy: [],
    interval: 'day',
    timeZone: 'Europe/Berlin',
    from: null,
    to: null,
    teamId: undefined,
    limit: 100,
    ...changes,
  });

test('are counted into their quarter of an hour, whoever adds to it and how often', async () => {
  const rows = await ask({ interval: '15m', teamId: A });
  expect(rows.map(({ startsAt, calls }) => [startsAt!.toISOString(), calls])).toEqual([
    ['2026-11-23T22:45:00.000Z', 1],
    ['2026-11-23T23:00:00.000Z', 15],
  ]);
});

test('are summed by days of a time zone, by team and reason, within the time that is asked for', async () => {
  expect(await ask({})).toMatchObject([{ calls: 1 }, { calls: 20, team: null, reason: null }]);
  expect(await ask({ groupBy: ['team', 'reason'], from: new Date('2026-11-23T23:00:00Z') })).toEqual([
    { startsAt: new Date('2026-11-23T23:00:00Z'), team: A, reason: 'insufficient_quota', calls: 15 },
    { startsAt: new Date('2026-11-23T23:00:00Z'), team: B, reason: 'unknown_price', calls: 5 },
  ]);
  expect(await ask({ interval: 'total', to: new Date('2026-11-24T12:00:00Z') })).toMatchObject([
    { startsAt: null, calls: 16 },
  ]);
});
