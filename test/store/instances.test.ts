import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
const store = new PostgresLedgerStore(sql);
afterAll(drop);

async function makeInstance(): Promise<string> {
  const id = randomUUID();
  await registerInstance(sql, id);
  return id;
}

test('a heartbeat returns the number of live instances and the time of Postgres', async () => {
  const [first, second, silent] = [await makeInstance(), await makeInstance(), await makeInstance()];
  await sql`update instances set heartbeat_at = now() - interval '11 seconds' where id = ${silent}`;
  expect((await store.heartbeat(first)).instances).toBe(2);
  await store.adopt(second, [], 'stopped');
  const beforeMs = Date.now();
  const pulse = await store.heartbeat(first);
  expect(pulse.instances).toBe(1);
  // The same clock, read to the millisecond.
  expect(pulse.nowMs).toBeGreaterThan(beforeMs - 2);
  expect(pulse.nowMs).toBeLessThan(Date.now() + 2);
  expect((await store.heartbeat(silent)).instances).toBe(2);
});

test('an adopted instance can no longer lease, flush or send heartbeats, and a stopped one stays stopped', async () => {
  const teamId = await insertTeam(sql);
  const fenced = { name: 'InstanceFenced' };
  for (const status of ['adopted', 'stopped'] as const) {
    const instanceId = await makeInstance();
    await store.adopt(instanceId, [], status);
    await store.adopt(instanceId, [], 'adopted');
    await expect(store.requestLease({ instanceId, teamId: asId(teamId), pools: [] })).rejects.toMatchObject(
      fenced,
    );
    await expect(store.flush({ instanceId, events: [], reports: [] })).rejects.toMatchObject(fenced);
    await expect(store.heartbeat(instanceId)).rejects.toMatchObject(fenced);
    const [row] = await sql`select status from instances where id = ${instanceId}`;
    expect(row!.status).toBe(status);
  }
});

test('adoption writes the calls and returns the rest of the lease; a second adoption changes nothing', async () => {
  const instanceId = await makeInstance();
  const teamId = await insertTeam(sql);
  const spec = counterSpec(teamId, { amount: usd('1.00') });
  await insertSource(sql, spec);
  await store.requestLease({
    instanceId,
    teamId: asId(teamId),
    pools: [{ counters: [spec], min: 0n, want: usd('0.60') }],
  });
  const event = (cost: string) =>
    eventOf({
      id: uuidV7(Date.now()),
      instanceId,
      teamId,
      keyId: randomUUID(),
      cost: usd(cost),
      held: usd('0.20'),
      allocations: [{ counterId: spec.id, held: usd('0.20'), settled: usd(cost) }],
    });
  const events = [event('0.05'), event('0.20')];
  expect(await store.adopt(instanceId, events, 'adopted')).toBe(2);
  expect(await store.adopt(instanceId, events, 'adopted')).toBe(0);
  const state = () => sql`select settled::text, leased::text from counters where id = ${spec.id}`;
  expect(await state()).toEqual([{ settled: '0.250000000000', leased: '0.000000000000' }]);
  // What the fenced process still wrote to its journal counts in full: its lease is no longer there to pay for it.
  expect(await store.adopt(instanceId, [...events, event('0.10')], 'adopted')).toBe(1);
  expect(await state()).toEqual([{ settled: '0.350000000000', leased: '0.000000000000' }]);
});
