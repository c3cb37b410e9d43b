import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { dropExpiredObjects, ensurePartitions } from '../../src/store/partitions.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
afterAll(drop);

function insertEvent(createdAt: string) {
  const id = randomUUID();
  return sql`
    insert into usage_events (team_id, created_at, id, key_id, instance_id, operation, model, stream, outcome, provenance,
      input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, hold_usd,
      allocations, stage_us)
    values (${id}, ${createdAt}, ${id}, ${id}, ${id}, 'responses', 'm', false, 'settled', 'reported',
      0, 0, 0, 0, 0, 0, 0, '[]', '{}')`;
}

async function eventsByPartition() {
  const rows = await sql<{ partition: string; count: number }[]>`
    select tableoid::regclass::text as partition, count(*)::int4 as count from usage_events group by 1 order by 1`;
  return Object.fromEntries(rows.map((row) => [row.partition, row.count]));
}

test('partitions reach from this month to three months ahead, over the end of a year', async () => {
  expect(await ensurePartitions(sql, Date.UTC(2026, 10, 30, 23, 59))).toEqual([
    'usage_events_2026_11',
    'usage_events_2026_12',
    'usage_events_2027_01',
    'usage_events_2027_02',
    'objects_2026_11',
    'objects_2026_12',
    'objects_2027_01',
    'objects_2027_02',
  ]);
});

test('a second run makes nothing, and the next month adds one', async () => {
  expect(await ensurePartitions(sql, Date.UTC(2026, 10, 1))).toEqual([]);
  expect(await ensurePartitions(sql, Date.UTC(2026, 11, 1))).toEqual([
    'usage_events_2027_03',
    'objects_2027_03',
  ]);
});

test('several at once make each partition once', async () => {
  const made = await Promise.all(
    Array.from({ length: 6 }, () => ensurePartitions(sql, Date.UTC(2028, 0, 1))),
  );
  expect(made.flat()).toHaveLength(8);
});

test('an event lies in the partition of its UTC month, to the last microsecond', async () => {
  await insertEvent('2026-11-30T23:59:59.999Z');
  await insertEvent('2026-12-01T00:00:00Z');
  expect(await eventsByPartition()).toEqual({ usage_events_2026_11: 1, usage_events_2026_12: 1 });
});

test('an event that came before its month was made is kept, and moves when it is', async () => {
  await insertEvent('2030-05-05T12:00:00Z');
  await insertEvent('2031-05-05T12:00:00Z');
  expect(await eventsByPartition()).toMatchObject({ usage_events_default: 2 });
  await ensurePartitions(sql, Date.UTC(2030, 4, 6));
  expect(await eventsByPartition()).toMatchObject({ usage_events_2030_05: 1, usage_events_default: 1 });
});

test('each partition has the indexes of the whole table', async () => {
  const [row] = await sql<{ partitions: number; indexes: number }[]>`
    select count(distinct child.inhrelid)::int4 as partitions, count(i.indexrelid)::int4 as indexes
    from pg_inherits child join pg_index i on i.indrelid = child.inhrelid
    join pg_inherits attached on attached.inhrelid = i.indexrelid
    where child.inhparent = 'usage_events'::regclass`;
  const [whole] = await sql<{ indexes: number }[]>`
    select count(*)::int4 as indexes from pg_index where indrelid = 'usage_events'::regclass`;
  expect(row!.indexes).toBe(whole!.indexes * row!.partitions);
});

test('objects go when the upstream has forgotten all of their month, and what has no end stays', async () => {
  await ensurePartitions(sql, Date.UTC(2032, 0, 1));
  const team = randomUUID();
  for (const [id, expires] of [
    ['resp_january', '2032-01-31T23:59:59Z'],
    ['resp_february', '2032-02-01T00:00:00Z'],
    ['resp_kept', '9999-12-31T00:00:00Z'],
  ] as const) {
    await sql`
      insert into objects (team_id, kind, id, created_at, expires_at, names, weight)
      values (${team}, 'response', ${id}, now(), ${expires}, '{}', '{}')`;
  }
  const places = async () =>
    (
      await sql<{ place: string }[]>`
        select tableoid::regclass::text as place from objects where team_id = ${team} order by expires_at`
    ).map(({ place }) => place);
  expect(await places()).toEqual(['objects_2032_01', 'objects_2032_02', 'objects_kept']);
  expect(await dropExpiredObjects(sql, Date.UTC(2032, 0, 31, 23, 59))).not.toContain('objects_2032_01');
  expect(await dropExpiredObjects(sql, Date.UTC(2032, 1, 1))).toEqual(['objects_2032_01']);
  expect(await dropExpiredObjects(sql, Date.UTC(2032, 1, 1))).toEqual([]);
  expect(await places()).toEqual(['objects_2032_02', 'objects_kept']);
});
