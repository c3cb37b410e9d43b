import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rowsReadBy } from '../../bench/pages/rows.ts';
import { seededTeamId, seedLedger } from '../../bench/pages/seed.ts';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { formatUsd } from '../../src/domain/quantities.ts';
import { readDigest } from '../../src/store/notice-facts.ts';
import { readTagUsage } from '../../src/store/tag-usage.ts';
import { readUsage, type UsageQuestion, type UsageRow } from '../../src/store/usage.ts';
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

const COUNTS = [
  'calls',
  'voidedCalls',
  'unknownCalls',
  'inputTokens',
  'cachedInputTokens',
  'outputTokens',
] as const;

type Row = UsageRow & { tag?: string | null };
const groupOf = ({ team, key, model, operation, department, tag }: Row) =>
  JSON.stringify([team, key, model, operation, department, tag]);

/** Sums of rows, by their interval and whatever else names them. */
function added(rows: readonly Row[], nameOf: (row: Row) => string) {
  return [...Map.groupBy(rows, (row) => `${row.startsAt?.toISOString()} ${nameOf(row)}`)]
    .map(([name, alike]) => ({
      name,
      counts: COUNTS.map((count) => alike.reduce((sum, row) => sum + row[count], 0)),
      costUsd: formatUsd(alike.reduce((sum, row) => sum + usd(row.costUsd), 0n)),
      unknownUsd: formatUsd(alike.reduce((sum, row) => sum + usd(row.unknownUsd), 0n)),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** The top groups must be those that cost most, and all else the sum of the others in each interval. */
function expectTop(all: readonly Row[], top: readonly Row[], most: number, about: string): void {
  const costs = new Map<string, bigint>();
  for (const row of all) costs.set(groupOf(row), (costs.get(groupOf(row)) ?? 0n) + usd(row.costUsd));
  const kept = new Set(top.filter(({ isOther }) => !isOther).map(groupOf));
  expect(kept.size, about).toBe(Math.min(most, costs.size));
  const sorted = [...costs.values()].sort((a, b) => (a < b ? 1 : -1));
  for (const group of kept) expect(costs.get(group)! >= sorted[kept.size - 1]!, about).toBe(true);
  const nameOf = (row: Row) => (!row.isOther && kept.has(groupOf(row)) ? groupOf(row) : 'other');
  expect(added(top, nameOf), about).toEqual(added(all, nameOf));
  expect(
    new Set(top.map((row) => `${row.startsAt?.getTime()} ${row.isOther ? '' : groupOf(row)}`)).size,
  ).toBe(top.length);
}

it.each([1, 2, 3])(
  'the groups that cost most and the sum of the others are all that there is (seed %i)',
  async (seed) => {
    const random = new Random(seed);
    for (let round = 0; round < 16; round++) {
      const question = questionOf({
        groupBy: random.pick([
          ['team'],
          ['key'],
          ['model'],
          ['team', 'model'],
          ['key', 'model', 'operation'],
          ['department'],
          ['department', 'model'],
        ] as const),
        interval: random.pick(['15m', 'hour', 'day', 'week', 'month', 'total']),
        timeZone: random.pick(['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/New_York']),
        from: random.chance(0.5) ? null : new Date(Math.floor(Date.now() / QUARTER_MS - 900) * QUARTER_MS),
        teamIds: random.chance(0.3) ? [asId(seededTeamId(1)), asId(seededTeamId(2))] : undefined,
      });
      const top = random.pick([1, 2, 5, 100]);
      const about = JSON.stringify({ ...question, top });
      const rows = await readUsage(test.database, { ...question, top });
      expectTop(await readUsage(test.database, question), rows, top, about);

      const ofTag = {
        ...question,
        groupBy: random.pick([[], ['team'], ['model'], ['team', 'model']] as const),
        tag: { name: 'project', value: random.pick([null, null, 'project-007']) },
        byTag: true,
      };
      const tagged = await readTagUsage(test.database, { ...ofTag, top });
      expectTop(
        await readTagUsage(test.database, ofTag),
        tagged,
        top,
        `${about} ${JSON.stringify(ofTag.tag)}`,
      );
    }
  },
  60_000,
);

it('between groups that cost the same their ids decide, so that the same are kept each time', async () => {
  const { sql } = test.database;
  await sql`create table kept as select * from usage_days`;
  await sql`update usage_days set cost_usd = 0`;
  try {
    const question = questionOf({ groupBy: ['key'], interval: 'total', top: 2 });
    const keys = [...(await sql<{ id: string }[]>`select distinct key_id as id from usage_days order by 1`)];
    const rows = await readUsage(test.database, question);
    expect(rows.map(({ key }) => key)).toEqual([keys[0]!.id, keys[1]!.id, null]);
  } finally {
    await sql`delete from usage_days`;
    await sql`insert into usage_days select * from kept`;
  }
});

it('a digest names the key that cost most, though a thousand come before it', async () => {
  const { sql } = test.database;
  const day = '2020-01-06T00:00:00.000Z';
  await sql`
    insert into usage_days select ${seededTeamId(1)}, ${day},
      case n when 1 then 'ffffffff-0000-4000-8000-000000000000' else ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid end,
      'm', 'responses', 1, 0, 0, 1, 0, 0, 1, 0, case n when 1 then 9 else 0.001 end, 0 from generate_series(1, 1001) n`;
  try {
    const at = (days: number) => new Date(Date.parse(day) + days * 86_400_000);
    const digest = await readDigest(
      test.database,
      { kind: 'weekly', teamIds: undefined, team: null },
      { before: at(-7), from: at(0), to: at(7) },
    );
    expect(digest).toMatchObject({ cost: '10.00', calls: 1001, models: [{ name: 'm', cost: '10.00' }] });
    expect(digest.keys[0]).toEqual({ name: 'ffffffff-0000-4000-8000-000000000000 (team-001)', cost: '9.00' });
  } finally {
    await sql`delete from usage_days where day = ${day}`;
  }
});

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
