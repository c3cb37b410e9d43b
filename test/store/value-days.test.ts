/** Spend by tag value, from sums of all models by day, beside what the events and their corrections say themselves. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { DAY_MS } from '../../src/domain/window.ts';
import { readTagUsage, type TagUsageQuestion } from '../../src/store/tag-usage.ts';
import { correctCall } from '../../src/store/unknown.ts';
import type { UsageInterval } from '../../src/store/usage-plan.ts';
import { createTestInstance } from '../admin/support.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { Random } from '../support/random.ts';

const NOW = Date.parse('2026-04-20T12:00:00Z');
const { database, drop } = await createTestDatabase({
  settings: { 'tollgate.now': new Date(NOW).toISOString() },
});
const { sql } = database;
afterAll(drop);

const TEAMS = ['a', 'b', 'c'].map((end) => `00000000-0000-4000-8000-00000000000${end}`);
const CALLS = 160;
const DAYS = 30;
const random = new Random(7);

/** Calls of three teams around midnights of many zones: with a tag, with two, without; a part of them is corrected. */
beforeAll(async () => {
  await sql`insert into teams (id, name, created_at) select id::uuid, id, tollgate_now() from unnest(${TEAMS}::text[]) id`;
  const instance = await createTestInstance(database);
  const unknown: string[] = [];
  for (let call = 0; call < CALLS; call++) {
    const day = Math.floor((NOW - random.between(0, DAYS) * DAY_MS) / DAY_MS) * DAY_MS;
    const atMs = Math.min(
      NOW,
      day + random.pick([0, 3, 14, 22, 23.5, 23.99]) * 3_600_000 + random.between(0, 900_000),
    );
    const tags = random.pick([
      undefined,
      { project: 'alpha' },
      { project: 'beta', stage: 'test' },
      { stage: 'live' },
      { project: `run ${random.between(0, 9)}` },
    ]);
    const outcome = random.pick(['settled', 'settled', 'settled', 'voided', 'unknown'] as const);
    const id = await instance.call({
      ...{ teamId: random.pick(TEAMS), keyId: TEAMS[0]!, atMs, outcome },
      model: random.pick(['gpt-4o', 'gpt-4o-mini', 'gpt-5']),
      costUsd: outcome === 'voided' ? '0' : `0.0000${random.between(10, 99)}00000${random.between(1, 9)}`,
      ...(tags && { tags }),
    });
    if (outcome === 'unknown' && random.chance(0.6)) unknown.push(id);
  }
  for (const id of unknown) {
    const cost = random.chance(0.3) ? 0n : usd('0.000123');
    await correctCall(database, { eventId: asId(id), cost, reason: 'the bill', actor: 'test' });
  }
}, 60_000);

/** The same from the events and their corrections alone. */
async function fromEvents({ interval, timeZone, from, to, groupBy, teamIds, tag, byTag }: TagUsageQuestion) {
  const start =
    interval === 'total' ? sql`null::timestamptz` : sql`date_trunc(${interval}, e.created_at, ${timeZone})`;
  const value = sql`(e.tags ->> ${tag.name})`;
  const withTag = tag.value === null ? sql`${value} is not null` : sql`${value} = ${tag.value}`;
  return sql`
    select ${start} as "startsAt", ${groupBy.includes('team') ? sql`e.team_id` : sql`null`} as team,
      ${byTag ? value : sql`null`} as tag, count(*)::float8 as calls,
      (count(*) filter (where outcome = 'unknown' and a.id is null))::float8 as "unknownCalls",
      sum(input_tokens)::float8 as "inputTokens", sum(e.cost_usd + coalesce(a.delta_usd, 0))::text as "costUsd"
    from usage_events e left join adjustments a on a.team_id = e.team_id and a.event_id = e.id
    where ${from ? sql`e.created_at >= ${from}` : sql`true`} and ${to ? sql`e.created_at < ${to}` : sql`true`}
      and ${teamIds ? sql`e.team_id = any(${teamIds}::text[]::uuid[])` : sql`true`}
      and ${byTag && tag.value === null ? sql`true` : withTag}
    group by 1, 2, 3 order by 1, 2, 3`;
}

const ZONES = ['UTC', 'Europe/Berlin', 'America/St_Johns'];
const INTERVALS: UsageInterval[] = ['day', 'week', 'month', 'total'];
const STRETCHES: [string | null, string | null][] = [
  [null, null],
  ['2026-03-15T00:00Z', '2026-04-10T00:00Z'],
  ['2026-03-20T22:45Z', '2026-04-18T03:15Z'],
];

async function expectEqual(zones: readonly string[]): Promise<void> {
  for (const timeZone of zones) {
    for (const interval of INTERVALS) {
      for (const [from, to] of STRETCHES) {
        for (const [teamIds, groupBy, value, byTag] of [
          [undefined, [], null, true],
          [undefined, ['team'], null, true],
          [TEAMS.slice(1), [], null, true],
          [TEAMS.slice(0, 1), [], null, false],
          [undefined, ['team'], 'alpha', true],
        ] as const) {
          const question: TagUsageQuestion = {
            ...{ interval, timeZone, groupBy, byTag, limit: 100_000 },
            from: from === null ? null : new Date(from),
            to: to === null ? null : new Date(to),
            teamIds: teamIds?.map((id) => asId(id)),
            tag: { name: 'project', value },
          };
          const rows = await readTagUsage(database, question);
          const shown = rows.map(({ startsAt, team, tag, calls, unknownCalls, inputTokens, costUsd }) => {
            return { startsAt, team, tag, calls, unknownCalls, inputTokens, costUsd };
          });
          expect(inOrder(shown), `${timeZone} ${interval} ${from} ${groupBy} ${value}`).toEqual(
            inOrder([...(await fromEvents(question))]),
          );
        }
      }
    }
  }
}

/** Where calls without the tag stand among the others is not said, nor how many zeros an amount ends with. */
function inOrder(rows: readonly { costUsd?: string }[]): string[] {
  return rows.map((row) => JSON.stringify({ ...row, costUsd: String(usd(row.costUsd ?? '')) })).sort();
}

test('spend by value is that of the events and their corrections, in every zone and over any stretch', async () => {
  await expectEqual(ZONES);
}, 60_000);

test('the migration makes of the days that there are what the calls would have made', async () => {
  const kept = await sql`select * from usage_value_days order by team_id, name, day, value`;
  const folder = new URL('../../drizzle/', import.meta.url);
  const file = readdirSync(folder).find((name) => name.endsWith('_value_days.sql'))!;
  const fill = readFileSync(new URL(file, folder), 'utf8').split('--> statement-breakpoint')[1]!;
  await sql`delete from usage_value_days`;
  await sql.unsafe(fill);
  expect(await sql`select * from usage_value_days order by team_id, name, day, value`).toEqual(kept);
  await expectEqual(ZONES.slice(2, 3));
}, 60_000);
