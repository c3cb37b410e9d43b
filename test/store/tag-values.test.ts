import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import type { CounterSpec } from '../../src/domain/counter.ts';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { tagText } from '../../src/domain/tags.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { closeIdleTagValues, openTagValue } from '../../src/store/tag-values.ts';
import { correctCall } from '../../src/store/unknown.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase({ hotConnectionsMax: 12 });
const { sql } = database;
const store = new PostgresLedgerStore(sql);
const instanceId = randomUUID();
await registerInstance(sql, instanceId);
afterAll(drop);

const DAY_MS = 86_400_000;
const NAME = 'run';

test('a team opens so many values and no more, also when all come at once, and each team has its own', async () => {
  const [one, other] = [await insertTeam(sql), await insertTeam(sql)];
  const open = (teamId: typeof one, value: string) => openTagValue(sql, teamId, NAME, value, 3);
  const values = Array.from({ length: 12 }, (_, at) => `r-${at % 6}`);
  const opened = await Promise.all(values.map(async (value) => ((await open(one, value)) ? value : null)));
  const named = new Set(opened.filter((value) => value !== null));
  expect(named.size).toBe(3);
  const [row] = await sql<{ open: number }[]>`
    select count(*)::int4 as open from tag_values where team_id = ${one}`;
  expect(row?.open).toBe(3);
  expect(await open(one, [...named][0]!)).toBe(true);
  expect(await open(other, 'r-9')).toBe(true);
});

/** A limit of each value of the tag, that was made long ago, and the counter of one value. */
async function counterOfValue(value: string, changes: Partial<CounterSpec> = {}): Promise<CounterSpec> {
  const teamId = await insertTeam(sql);
  const sourceId = randomUUID();
  const subjectId = tagText(NAME, value);
  await insertSource(
    sql,
    counterSpec(teamId, { ...changes, sourceId: asId(sourceId), subjectType: 'tag', subjectId: NAME }),
  );
  await sql`update limits set created_at = created_at - interval '400 days' where id = ${sourceId}`;
  return counterSpec(teamId, {
    ...changes,
    id: asId(`${sourceId}@0/${encodeURIComponent(subjectId)}`),
    sourceId: asId(sourceId),
    subjectType: 'tag',
    subjectId,
  });
}

async function callWith(spec: CounterSpec, daysAgo: number, outcome = {}) {
  const tags = [spec.subjectId];
  const id = uuidV7(Date.now() - daysAgo * DAY_MS);
  const event = eventOf({
    ...{ id, instanceId, teamId: spec.teamId, keyId: randomUUID(), cost: usd('0.25'), held: usd('0.30') },
    ...{ allocations: [], facts: { tags }, outcome },
  });
  await store.flush({ instanceId, events: [event], reports: [] });
  return event.id;
}

/** What the counter has counted, made where it does not exist. */
async function settledOf(spec: CounterSpec) {
  const pools = [{ counters: [spec], min: 0n, want: 0n }];
  const { counters } = await store.requestLease({ instanceId, teamId: spec.teamId, pools });
  return counters[0]?.settled;
}

async function exists(spec: CounterSpec) {
  return (await sql`select 1 from counters where team_id = ${spec.teamId} and id = ${spec.id}`).length === 1;
}

test('a value that was idle for long is closed and loses nothing; one in use stays open', async () => {
  const [idle, used] = [await counterOfValue('idle'), await counterOfValue('used')];
  for (const [spec, daysAgo] of [
    [idle, 100],
    [used, 100],
    [used, 3],
  ] as const) {
    await settledOf(spec);
    await callWith(spec, daysAgo);
  }
  expect([await settledOf(idle), await settledOf(used)]).toEqual([usd('0.25'), usd('0.50')]);
  await closeIdleTagValues(sql);
  expect([await exists(idle), await exists(used)]).toEqual([false, true]);
  expect(await settledOf(idle)).toBe(usd('0.25'));
});

test('as many days as the rule says, and not while anything of it is lent', async () => {
  const spec = await counterOfValue('lent');
  await callWith(spec, 40);
  const pools = [{ counters: [spec], min: usd('0.10'), want: usd('0.10') }];
  await store.requestLease({ instanceId, teamId: spec.teamId, pools });
  await sql`
    insert into tags (name, sources, required, on_unknown, max_values, idle_days, created_at)
    values (${NAME}, '{header}', false, 'refuse', 10, 50, now())`;
  const returned = { teamId: spec.teamId, counterId: spec.id, returned: usd('0.10'), held: 0n };
  await closeIdleTagValues(sql);
  expect(await exists(spec)).toBe(true);
  await store.flush({ instanceId, events: [], reports: [returned] });
  await closeIdleTagValues(sql);
  expect(await exists(spec)).toBe(true);
  await sql`update tags set idle_days = 20 where name = ${NAME}`;
  await closeIdleTagValues(sql);
  expect(await exists(spec)).toBe(false);
  await sql`delete from tags`;
});

test('an instance that still knows its lease of a value that was closed goes on with it when the value comes back', async () => {
  const spec = await counterOfValue('remembered');
  const amount = usd('0.10');
  const borrow = (granted: bigint) => {
    const pools = [{ counters: [spec], granted: [granted], min: amount, want: amount }];
    return store.requestLease({ instanceId, teamId: spec.teamId, pools });
  };
  await borrow(0n);
  const returned = { teamId: spec.teamId, counterId: spec.id, returned: amount, held: 0n };
  await store.flush({ instanceId, events: [], reports: [returned] });
  await closeIdleTagValues(sql);
  expect(await exists(spec)).toBe(false);
  const { counters } = await borrow(amount);
  expect(counters[0]).toMatchObject({
    leased: amount,
    lease: { granted: 2n * amount, returned: amount, settled: 0n },
  });
});

test('a counter that began at a reset, within a quarter of an hour, stays: its first events may be archived', async () => {
  const startsAtMs = Date.UTC(2026, 0, 1, 12, 7);
  const spec = await counterOfValue('reset', { startsAtMs });
  await settledOf(spec);
  await closeIdleTagValues(sql);
  expect(await exists(spec)).toBe(true);
});

test('a counter of which the rollups know less stays: of unknown outcomes they know no tokens', async () => {
  const spec = await counterOfValue('unknown', { meter: 'tokens', amount: usd('1000') });
  await settledOf(spec);
  await callWith(spec, 100, { outcome: 'unknown', provenance: 'unknown', usage: null });
  await sql`update counters set settled = 13 where team_id = ${spec.teamId} and id = ${spec.id}`;
  await closeIdleTagValues(sql);
  expect(await exists(spec)).toBe(true);
});

test('a correction moves the sums of its tags with all others, so that a counter made later starts right', async () => {
  const spec = await counterOfValue('corrected');
  const eventId = await callWith(spec, 100, { outcome: 'unknown', provenance: 'unknown', usage: null });
  await correctCall(database, {
    eventId: asId(eventId),
    cost: usd('0.11'),
    reason: 'the bill',
    actor: 'test',
  });
  expect(await settledOf(spec)).toBe(usd('0.11'));
  const rows = await sql<{ cost: string; unknown: string }[]>`
    select cost_usd::text as cost, unknown_usd::text as unknown from usage_tags where team_id = ${spec.teamId}
    union all select cost_usd::text, unknown_usd::text from usage_tag_days where team_id = ${spec.teamId}`;
  expect(rows.map((row) => [usd(row.cost), usd(row.unknown)])).toEqual(Array(2).fill([usd('0.11'), 0n]));
});
