import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import type { CounterSpec } from '../../src/domain/counter.ts';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase({ hotConnectionsMax: 12 });
const { sql } = database;
const store = new PostgresLedgerStore(sql);
afterAll(drop);

async function makeInstances(count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  for (const id of ids) await registerInstance(sql, id);
  return ids;
}

async function makeCounter(changes: Partial<CounterSpec> = {}): Promise<CounterSpec> {
  const spec = counterSpec(await insertTeam(sql), changes);
  await insertSource(sql, spec);
  return spec;
}

async function counterOf(spec: CounterSpec) {
  const [row] = await sql<{ amount: string; settled: string; leased: string }[]>`
    select amount::text, settled::text, leased::text from counters where id = ${spec.id}`;
  return { amount: usd(row!.amount), settled: usd(row!.settled), leased: usd(row!.leased) };
}

test('concurrent instances are together lent the amount and not a cent more', async () => {
  const spec = await makeCounter({ amount: usd('1.00') });
  const instances = await makeInstances(8);
  const pools = [{ counters: [spec], min: usd('0.03'), want: usd('0.07') }];
  const replies = await Promise.all(
    Array.from({ length: 4 }, () => instances).flatMap((ids) =>
      ids.map((instanceId) => store.requestLease({ instanceId, teamId: spec.teamId, pools })),
    ),
  );
  expect(replies.some((reply) => !reply.met)).toBe(true);
  const { leased } = await counterOf(spec);
  // Fourteen times 0.07 and then the last two cents, which are less than anybody needs.
  expect(leased).toBe(usd('0.98'));
  // A lease is a sum that grows: of an instance's answers the largest is the last word.
  const lent = instances.map((_, instance) =>
    replies
      .filter((_, index) => index % 8 === instance)
      .map((reply) => reply.counters[0]!.lease.granted)
      .reduce((most, granted) => (granted > most ? granted : most), 0n),
  );
  expect(lent.reduce((sum, granted) => sum + granted, 0n)).toBe(leased);
});

test('a call that lacks one counter is lent nothing of the others, and a prefetch beside it still is', async () => {
  const [instanceId] = await makeInstances(1);
  const plenty = await makeCounter({ amount: usd('10.00') });
  const { teamId } = plenty;
  const contended = counterSpec(teamId, { amount: usd('0.01') });
  const prefetched = counterSpec(teamId, { amount: usd('10.00') });
  await insertSource(sql, contended);
  await insertSource(sql, prefetched);
  const reply = await store.requestLease({
    instanceId: instanceId!,
    teamId,
    pools: [
      { counters: [plenty], min: usd('0.02'), want: usd('1.00') },
      { counters: [contended], min: usd('0.02'), want: usd('1.00') },
      { counters: [prefetched], min: 0n, want: usd('1.00') },
    ],
  });
  expect(reply.met).toBe(false);
  expect(reply.counters.map(({ lease }) => lease.granted)).toEqual([0n, 0n, usd('1.00')]);
});

test('an amount lowered below what is out lends nothing, and says how far over it is', async () => {
  const [instanceId] = await makeInstances(1);
  const spec = await makeCounter({ amount: usd('1.00') });
  const ask = (want: string) =>
    store.requestLease({
      instanceId: instanceId!,
      teamId: spec.teamId,
      pools: [{ counters: [spec], min: 0n, want: usd(want) }],
    });
  await ask('0.80');
  await sql`update counters set amount = 0.5 where id = ${spec.id}`;
  const reply = await ask('0.10');
  expect(reply.counters[0]).toMatchObject({ amount: usd('0.50'), leased: usd('0.80') });
  expect(reply.counters[0]!.lease.granted).toBe(usd('0.80'));
});

test('a counter made while calls are being flushed counts each of them exactly once', async () => {
  const instances = await makeInstances(6);
  const spec = await makeCounter({ amount: usd('100.00') });
  const { teamId } = spec;
  const keyId = randomUUID();
  const flushOne = (instanceId: string) => {
    const id = uuidV7(Date.now());
    const event = eventOf({ id, instanceId, teamId, keyId, cost: usd('0.01'), held: 0n, allocations: [] });
    return store.flush({ instanceId, events: [event], reports: [] });
  };
  for (let round = 0; round < 12; round++) {
    const before = instances.map(flushOne);
    const asked = store.requestLease({
      instanceId: instances[0]!,
      teamId,
      pools: [{ counters: [{ ...spec, id: asId(`${spec.sourceId}@${round}`) }], min: 0n, want: 0n }],
    });
    await Promise.all([...before, asked, ...instances.map(flushOne)]);
  }
  const rows = await sql<{ settled: string }[]>`select settled::text from counters where team_id = ${teamId}`;
  expect(rows.map((row) => usd(row.settled))).toEqual(Array(12).fill(usd('1.44')));
});

test('a request for a limit that does not exist is an error that names the team, and changes nothing', async () => {
  const [instanceId] = await makeInstances(1);
  const teamId = await insertTeam(sql);
  const pools = [{ counters: [counterSpec(teamId)], min: 0n, want: 1n }];
  await expect(store.requestLease({ instanceId: instanceId!, teamId: asId(teamId), pools })).rejects.toThrow(
    teamId,
  );
});

test('a deleted limit or grant lends nothing', async () => {
  const [instanceId] = await makeInstances(1);
  const spec = await makeCounter({ source: 'grant', amount: usd('5.00') });
  await sql`update grants set deleted_at = now() where id = ${spec.sourceId}`;
  const pools = [{ counters: [spec], min: 0n, want: usd('1.00') }];
  const reply = await store.requestLease({ instanceId: instanceId!, teamId: spec.teamId, pools });
  expect(reply.counters[0]).toMatchObject({ amount: 0n, leased: 0n });
});
