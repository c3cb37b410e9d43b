import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowsReadBy } from '../../bench/pages/rows.ts';
import { seededTeamId, seedLedger } from '../../bench/pages/seed.ts';
import { asId } from '../../src/domain/ids.ts';
import { readUsage, type UsageQuestion } from '../../src/store/usage.ts';
import { readWatch } from '../../src/store/watch.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { Random } from '../support/random.ts';

const QUARTER_MS = 900_000;
const DAYS = 20;

let test: TestDatabase;
beforeAll(async () => {
  test = await createTestDatabase({ hotConnectionsMax: 1, adminConnectionsMax: 1 });
  await seedLedger(test.database.sql, { events: 5_000, teams: 3, days: DAYS }, () => {});
});
afterAll(() => test.drop());

function questionOf(changes: Partial<UsageQuestion>): UsageQuestion {
  const all = { from: null, to: null, teamIds: undefined, keyId: undefined, limit: 100_000 };
  return { groupBy: [], interval: 'day', timeZone: 'UTC', ...all, ...changes };
}

/** The same sums of quarters of an hour alone, in plain SQL. */
async function expected({ interval, timeZone, from, to, teamIds }: UsageQuestion) {
  const { sql } = test.database;
  const start =
    interval === 'total' ? sql`null` : sql`date_trunc(${interval}::text, bucket_start, ${timeZone}::text)`;
  return sql`
    select ${start} as "startsAt", model, sum(calls)::int4 as calls, sum(output_tokens)::int4 as "outputTokens",
      sum(cost_usd)::text as "costUsd", sum(unknown_usd)::text as "unknownUsd"
    from usage_rollups
    where (${from}::timestamptz is null or bucket_start >= ${from}) and (${to}::timestamptz is null or bucket_start < ${to})
      and (${teamIds === undefined} or team_id = any(${teamIds ?? []}::text[]::uuid[]))
    group by 1, 2 order by 1, 2`;
}

it.each([1, 2, 3, 4])(
  'sums are those of quarters of an hour, wherever days help to make them (seed %i)',
  async (seed) => {
    const random = new Random(seed);
    const now = Date.now();
    const moment = () =>
      random.chance(0.2)
        ? null
        : new Date(Math.floor(now / QUARTER_MS - random.between(0, DAYS * 96)) * QUARTER_MS);
    for (let round = 0; round < 25; round++) {
      const [from, to] = [moment(), moment()];
      const question = questionOf({
        groupBy: ['model'],
        interval: random.pick(['hour', 'day', 'week', 'month', 'total']),
        timeZone: random.pick(['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/New_York']),
        ...(from && to && from > to ? { from: to, to: from } : { from, to }),
        teamIds: random.chance(0.3) ? [asId(seededTeamId(1))] : undefined,
      });
      const rows = await readUsage(test.database, question);
      const shown = rows.map(({ startsAt, model, calls, outputTokens, costUsd, unknownUsd }) => ({
        startsAt,
        model,
        calls,
        outputTokens,
        costUsd,
        unknownUsd,
      }));
      expect(shown, JSON.stringify(question)).toEqual([...(await expected(question))]);
    }
  },
);

describe('days are read instead of quarters of an hour', () => {
  const to = new Date(Math.floor(Date.now() / QUARTER_MS) * QUARTER_MS);
  const from = new Date(to.getTime() - 10 * 86_400_000);
  it.each([
    ['for a total, in any time zone', { interval: 'total', timeZone: 'Europe/Berlin' }],
    ['for days of UTC', { interval: 'day' }],
    ['for months of UTC', { interval: 'month', timeZone: 'Etc/UTC' }],
  ] as const)('%s', async (_, changes) => {
    const read = await rowsReadBy(test.database, () =>
      readUsage(test.database, questionOf({ ...changes, groupBy: ['team'], from, to })),
    );
    expect(read.get('usage_days')).toBeGreaterThan(0);
  });

  it('and of a day that a midnight cuts, the quarters of the shorter piece alone', async () => {
    const read = await rowsReadBy(test.database, () =>
      readUsage(test.database, questionOf({ timeZone: 'Europe/Berlin', groupBy: ['team'], from, to })),
    );
    const all = await rowsReadBy(test.database, () =>
      readUsage(test.database, questionOf({ interval: 'hour', groupBy: ['team'], from, to })),
    );
    expect(read.get('usage_days')).toBeGreaterThan(0);
    // Nothing was called in that hour where the range ends at midnight: the seed's calls are some hours old.
    expect(read.get('usage_rollups') ?? 0).toBeLessThan(all.get('usage_rollups')! / 4);
  });
});

it('the watch reads the rollups of the last hour alone, however many there are', async () => {
  const { sql } = test.database;
  const [row] = await sql<{ all: number; recent: number }[]>`
    select count(*)::int4 as all,
      (count(*) filter (where bucket_start >= date_bin('15 minutes', now() - interval '1 hour', 'epoch')))::int4 as recent
    from usage_rollups`;
  const read = await rowsReadBy(test.database, () => readWatch(test.database.db, 100));
  expect(row!.recent).toBeLessThan(row!.all / 10);
  expect(read.get('usage_rollups') ?? 0).toBeLessThanOrEqual(row!.recent);
  expect(read.get('usage_events') ?? 0).toBe(0);
});
