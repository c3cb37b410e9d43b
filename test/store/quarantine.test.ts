/** An event that Postgres cannot store is set aside, charged once, blocks none behind it, and comes back when it is mended. */
import { randomUUID } from 'node:crypto';
import { afterAll, expect, it } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import type { FlushEvent } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { restoreQuarantined } from '../../src/store/hot/quarantine.ts';
import { readWatch } from '../../src/store/watch.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
const store = new PostgresLedgerStore(sql);
afterAll(drop);

const NOW = Date.UTC(2026, 10, 20, 12);

/** Twenty calls of $0.01 on leases of one limit; those at the indexes cannot be stored as they are. */
async function batchOf(bad: Record<number, (json: string) => string>) {
  const instanceId = randomUUID();
  await registerInstance(sql, instanceId);
  const teamId = await insertTeam(sql);
  const spec = counterSpec(teamId, { amount: usd('5.00') });
  await insertSource(sql, spec);
  const pools = [{ counters: [spec], min: usd('0.50'), want: usd('0.50') }];
  await store.requestLease({ instanceId, teamId, pools });
  const allocations = [{ counterId: spec.id, held: usd('0.02'), settled: usd('0.01') }];
  const events = Array.from({ length: 20 }, (_, index): FlushEvent => {
    const keyId = randomUUID();
    const id = uuidV7(NOW + index);
    const event = eventOf({
      id,
      instanceId,
      teamId,
      keyId,
      cost: usd('0.01'),
      held: usd('0.02'),
      allocations,
    });
    const text = event.json.toString();
    return { ...event, json: Buffer.from(bad[index]?.(text) ?? text) };
  });
  const reports = [{ teamId, counterId: spec.id, returned: usd('0.10'), held: 0n }];
  return { teamId, instanceId, spec, batch: { instanceId, events, reports } };
}

const BAD = {
  0: (json: string) => json.replace('"settled"', '"lost"'),
  7: (json: string) => json.replace('gpt-4o', 'gpt\\u0000'),
  8: (json: string) => json.replace('gpt-4o', 'half \\ud800'),
  19: (json: string) => json.replace(/"output_tokens":\d+/, '"output_tokens":1e40'),
};

async function state(teamId: string) {
  const [row] = await sql`
    select (select count(*)::int4 from usage_events where team_id = ${teamId}) as events,
      (select count(*)::int4 from quarantined_events where team_id = ${teamId}) as aside,
      (select coalesce(sum(calls), 0)::int4 from usage_rollups where team_id = ${teamId}) as summed,
      (select settled::text from counters where team_id = ${teamId}) as settled,
      (select leased::text from counters where team_id = ${teamId}) as leased`;
  return row;
}

it('only the events that cannot be stored are set aside; all are on the counters, once', async () => {
  const { teamId, batch } = await batchOf(BAD);
  expect((await store.flush(batch)).size).toBe(16);
  // $0.50 were lent, $0.20 spent, and $0.10 returned.
  const after = { events: 16, aside: 4, summed: 16, settled: '0.200000000000', leased: '0.200000000000' };
  expect(await state(teamId)).toEqual(after);
  expect((await store.flush(batch)).size).toBe(0);
  expect(await state(teamId)).toEqual(after);
  expect((await readWatch(database.db, 0)).quarantinedEvents).toBe(4);
  const [row] = await sql`
    select problem, is_charged, event::json ->> 'id' = id::text as is_whole from quarantined_events
    where team_id = ${teamId} order by id limit 1`;
  expect(row).toEqual({
    problem: expect.stringMatching(/^23514 .*outcome/),
    is_charged: true,
    is_whole: true,
  });
});

it('an adopted journal with such events ends its instance all the same', async () => {
  const { teamId, batch } = await batchOf(BAD);
  expect(await store.adopt(batch.instanceId, batch.events, 'adopted')).toBe(16);
  expect(await state(teamId)).toEqual({
    events: 16,
    aside: 4,
    summed: 16,
    settled: '0.200000000000',
    leased: '0.000000000000',
  });
});

it('what was mended comes back without moving a counter, and never twice', async () => {
  const { teamId, batch } = await batchOf({ 3: BAD[0], 4: BAD[0] });
  await store.flush(batch);
  await restoreQuarantined(sql);
  expect(await state(teamId)).toMatchObject({ events: 18, aside: 2 });
  await sql`
    update quarantined_events set event = replace(event, '"lost"', '"settled"')
    where team_id = ${teamId} and id = ${batch.events[3]!.id}`;
  expect(await restoreQuarantined(sql)).toBe(1);
  const after = { events: 19, aside: 1, summed: 19, settled: '0.200000000000', leased: '0.200000000000' };
  expect(await state(teamId)).toEqual(after);
  // The journal still has it as it was.
  await store.flush(batch);
  expect(await state(teamId)).toEqual(after);
});

it('a hold that cannot be kept stays on its lease, and what is beside it is stored', async () => {
  const { teamId, batch, spec } = await batchOf({});
  const allocations = [{ counterId: spec.id, held: usd('0.02'), settled: 0n }];
  const huge = [{ counterId: spec.id, held: 10n ** 30n, settled: 0n }];
  const holds = [
    { id: uuidV7(NOW), teamId, allocations: huge },
    { id: uuidV7(NOW), teamId, allocations },
  ];
  expect((await store.flush({ ...batch, holds })).size).toBe(20);
  const rows = await sql`select held::text from counters where team_id = ${teamId}`;
  expect(rows).toEqual([{ held: '0.020000000000' }]);
});
