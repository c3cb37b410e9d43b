import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { asId, type EventId } from '../../src/domain/ids.ts';
import { ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { unknownFromHold } from '../../src/ledger/read-journal.ts';
import { createCounters } from '../../src/store/hot/counters.ts';
import { flush } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { correctCall } from '../../src/store/unknown.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
afterAll(drop);

async function flushUnknown(teamId: string): Promise<string> {
  const instanceId = randomUUID();
  await registerInstance(sql, instanceId);
  const id = uuidV7(Date.now());
  const amount = usd('0.50');
  const facts = { id, instanceId, teamId, keyId: randomUUID(), cost: amount, held: amount, allocations: [] };
  await flush(sql, { instanceId, events: [unknownFromHold(eventOf(facts).json.toString())], reports: [] });
  return id;
}

/** Whether the work meets a lock before it ends. */
async function waits(work: Promise<unknown>): Promise<boolean> {
  let isOver = false;
  void work.then(() => {
    isOver = true;
  });
  while (!isOver) {
    const rows = await sql`
      select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    if (rows.length > 0) return true;
  }
  return false;
}

test('a release waits while a counter of the organization is created, which would miss it otherwise', async () => {
  const eventId = await flushUnknown(await insertTeam(sql));
  let released: ReturnType<typeof correctCall> | null = null;
  await sql.begin(async (tx) => {
    await tx`select 1 from teams where id = ${ORGANIZATION_ID} for update`;
    released = correctCall(database, {
      eventId: asId(eventId),
      cost: usd('0.10'),
      reason: 'bill',
      actor: 'admin',
    });
    expect(await waits(released)).toBe(true);
  });
  expect(await released).toMatchObject({ deltaUsd: '-0.400000000000' });
});

test('a release waits for no counter of another key or end user', async () => {
  const teamId = await insertTeam(sql);
  const eventId = await flushUnknown(teamId);
  const others = [
    counterSpec(teamId, { subjectType: 'user', subjectId: 'ann' }),
    counterSpec(teamId, { subjectType: 'key', subjectId: randomUUID() }),
  ];
  for (const spec of others) await insertSource(sql, spec);
  await createCounters(sql, others, 10);
  await sql.begin(async (tx) => {
    await tx`select 1 from counters where team_id = ${teamId} for update`;
    const release = { eventId: asId<EventId>(eventId), cost: usd('0.10'), reason: 'bill', actor: 'admin' };
    expect(await waits(correctCall(database, release))).toBe(false);
  });
});
