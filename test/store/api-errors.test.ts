import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ErrorCode } from '../../src/domain/errors.ts';
import { asId, type TeamId } from '../../src/domain/ids.ts';
import { type ApiErrorQuery, addApiErrors, readApiErrors } from '../../src/store/api-errors.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
afterAll(drop);

const [A, B] = ['019abcde-0000-7000-8000-00000000000a', '019abcde-0000-7000-8000-00000000000b'];
const count = (teamId: string, at: string, code: ErrorCode, calls: number) => ({
  teamId: asId<TeamId>(teamId),
  atMs: Date.parse(at),
  code,
  calls,
});

beforeAll(async () => {
  const { sql } = database;
  await sql`insert into teams (id, name, created_at) select id, id, now() from unnest(${[A, B]}::uuid[]) id`;
  await addApiErrors(sql, [
    count(A, '2026-11-23T22:59:00Z', 'insufficient_quota', 1),
    count(A, '2026-11-23T23:01:00Z', 'insufficient_quota', 2),
    count(A, '2026-11-23T23:14:59Z', 'insufficient_quota', 3),
    count(B, '2026-11-24T12:00:00Z', 'hold_too_large', 5),
    count(B, '2026-11-24T12:00:00Z', 'unknown_price', 7),
  ]);
  await addApiErrors(sql, [count(A, '2026-11-23T23:00:00Z', 'insufficient_quota', 10)]);
});

const ask = (changes: Partial<ApiErrorQuery>) =>
  readApiErrors(database, {
    kind: 'denial',
    groupBy: [],
    interval: 'day',
    timeZone: 'Europe/Berlin',
    from: null,
    to: null,
    teamIds: undefined,
    limit: 100,
    ...changes,
  });

test('counts of several writes add up in the quarter of an hour of their calls', async () => {
  const rows = await ask({ interval: '15m', teamIds: [asId(A)] });
  expect(rows.map(({ startsAt, calls }) => [startsAt!.toISOString(), calls])).toEqual([
    ['2026-11-23T22:45:00.000Z', 1],
    ['2026-11-23T23:00:00.000Z', 15],
  ]);
});

test('denials are summed by days of a time zone, by team and code, within the given time', async () => {
  expect(await ask({})).toMatchObject([{ calls: 1 }, { calls: 20, team: null, code: null }]);
  expect(await ask({ groupBy: ['team', 'code'], from: new Date('2026-11-23T23:00:00Z') })).toEqual([
    { startsAt: new Date('2026-11-23T23:00:00Z'), team: A, code: 'insufficient_quota', calls: 15 },
    { startsAt: new Date('2026-11-23T23:00:00Z'), team: B, code: 'hold_too_large', calls: 5 },
  ]);
  expect(await ask({ interval: 'total', to: new Date('2026-11-24T12:00:00Z') })).toMatchObject([
    { startsAt: null, calls: 16 },
  ]);
});

test('the most frequent groups stand alone, and the others together', async () => {
  const startsAt = new Date('2026-11-23T23:00:00Z');
  expect(await ask({ groupBy: ['team', 'code'], top: 1 })).toEqual([
    expect.objectContaining({ team: A, code: 'insufficient_quota', calls: 1, isOther: false }),
    { startsAt, team: A, code: 'insufficient_quota', calls: 15, isOther: false },
    { startsAt, team: null, code: null, calls: 5, isOther: true },
  ]);
  expect(await ask({ groupBy: ['code'], top: 2, interval: 'total' })).toMatchObject([
    { code: 'hold_too_large', calls: 5 },
    { code: 'insufficient_quota', calls: 16 },
  ]);
});

test('errors are summed apart from denials', async () => {
  expect(await ask({ kind: 'error', groupBy: ['code'], interval: 'total' })).toEqual([
    { startsAt: null, team: null, code: 'unknown_price', calls: 7 },
  ]);
});
