/** A Postgres that went back: what an instance puts back has its counters, whatever the store has forgotten. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import type { CounterSpec } from '../../src/domain/counter.ts';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { bucketRange } from '../../src/domain/window.ts';
import { realTimers } from '../../src/jobs/every.ts';
import { createClock, type Hold, uuidV7 } from '../../src/ledger/events.ts';
import { Journal } from '../../src/ledger/journal.ts';
import { Ledger } from '../../src/ledger/ledger.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { PostgresLedgerStore } from '../../src/store/hot/ledger-store.ts';
import { accountOf, limitOf } from '../support/accounts.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { eventOf, settledOutcome } from '../support/events.ts';
import { temporaryFolder } from '../support/folder.ts';
import { deadHeader } from '../support/journals.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { beginHold, fixedRequest } from '../support/test-ledger.ts';

const { database, drop } = await createTestDatabase();
const { sql } = database;
const store = new PostgresLedgerStore(sql);
afterAll(drop);

const PATIENCE = { timeout: 30_000, interval: 20 };

/** What a backup of before the first call does not have. */
async function goBack(): Promise<void> {
  await sql.begin(async (tx) => {
    for (const table of ['leases', 'holds', 'counters', 'usage_events', 'usage_rollups', 'usage_days'])
      await tx`delete from ${tx(table)}`;
    await tx`update instances set beats = 0, flushed = 0`;
  });
}

test('a call in flight keeps its money when the store goes back twice, and ends once, also if it goes back before the stop', async () => {
  const [instanceId, keyId, teamId] = [randomUUID(), randomUUID(), await insertTeam(sql)];
  const spec = counterSpec(teamId, { amount: usd('1.00') });
  await insertSource(sql, spec);
  const limit = limitOf(spec.sourceId, '1.00', {
    teamId: asId(teamId),
    subject: { type: 'team', id: teamId },
  });
  await registerInstance(sql, instanceId);
  const folder = await temporaryFolder();
  const journal = new Journal({ path: join(folder, 'a.log'), header: deadHeader(instanceId) });
  let timesPutBack = 0;
  const ledger = new Ledger({
    instanceId,
    store,
    journal,
    clock: createClock(),
    timers: realTimers,
    queueTimeoutMs: 30_000,
    onPutBack: () => timesPutBack++,
  });
  const counter = () =>
    sql`select settled::float8, held::float8, leased::float8 from counters where id = ${spec.id}`;
  await ledger.sendHeartbeat();
  const asked = ledger.reserve(fixedRequest(accountOf({ teamId, keyId, limits: [limit] }), usd('0.40')));
  if (asked.kind !== 'queued') throw new Error(`it is ${asked.kind}`);
  const hold = await new Promise<Hold>((resolve, reject) => {
    asked.onOutcome = (outcome) => (outcome.kind === 'hold' ? resolve(outcome) : reject(outcome));
  });
  expect(await beginHold(ledger, hold, keyId)).toBe(true);
  for (let time = 1; time <= 2; time++) {
    await goBack();
    await ledger.sendHeartbeat();
    await vi.waitFor(() => expect(timesPutBack).toBe(time), PATIENCE);
    expect(await counter()).toEqual([{ settled: 0, held: 0.4, leased: 0 }]);
    // So that the next break is noticed by it.
    await vi.waitFor(async () => {
      await ledger.sendHeartbeat();
      expect(await sql`select 1 from instances where id = ${instanceId} and beats > 0`).toHaveLength(1);
    }, PATIENCE);
  }
  ledger.end(hold, settledOutcome(usd('0.15')));
  await ledger.flusher.drain();
  expect(await counter()).toEqual([{ settled: 0.15, held: 0, leased: 0 }]);
  await goBack();
  await ledger.stop(AbortSignal.timeout(30_000));
  expect(await sql`select cost_usd::float8 from usage_events where id = ${hold.id}`).toEqual([
    { cost_usd: 0.15 },
  ]);
  expect(await sql`select status, flushed::int4 from instances where id = ${instanceId}`).toEqual([
    { status: 'stopped', flushed: 1 },
  ]);
}, 100_000);

test.each(['adopted', 'put back'])('an expired grant has paid for the events that are %s', async (how) => {
  const [instanceId, teamId] = [randomUUID(), await insertTeam(sql)];
  const spec = counterSpec(teamId, { source: 'grant', amount: usd('1.00') });
  await insertSource(sql, spec);
  await sql`update grants set expires_at = now() - interval '1 second' where id = ${spec.sourceId}`;
  await registerInstance(sql, instanceId);
  const events = ['0.05', '0.20'].map((cost) =>
    eventOf({
      id: uuidV7(Date.now() - 2_000),
      instanceId,
      teamId,
      keyId: randomUUID(),
      cost: usd(cost),
      held: usd('0.20'),
      allocations: [{ counterId: spec.id, held: usd('0.20'), settled: usd(cost) }],
    }),
  );
  const [first] = events;
  for (const some of [[first!], events, events]) {
    if (how === 'adopted') await store.adopt(instanceId, some, 'adopted');
    else await store.putBack({ instanceId, epoch: null, events: some, last: null });
  }
  const rows =
    await sql`select settled::float8, amount::float8, ends_at < now() as is_over from counters where id = ${spec.id}`;
  expect(rows).toEqual([{ settled: 0.25, amount: 1, is_over: true }]);
});

test.each(['adopted by another', 'put back by its instance'])(
  'a rolling limit counts once the events that are %s',
  async (how) => {
    const HOUR_MS = 3_600_000;
    const [instanceId, other, keyId, teamId] = [
      randomUUID(),
      randomUUID(),
      randomUUID(),
      await insertTeam(sql),
    ];
    for (const id of [instanceId, other]) await registerInstance(sql, id);
    const limit = counterSpec(teamId, { rollingMs: HOUR_MS, amount: usd('1.00') });
    await insertSource(sql, limit);
    const bucketAt = (atMs: number): CounterSpec => {
      const { startMs, endMs } = bucketRange(HOUR_MS, atMs);
      return { ...limit, id: asId(`${limit.sourceId}@${startMs}`), startsAtMs: startMs, endsAtMs: endMs };
    };
    // Its bucket is not the present one.
    const atMs = Date.now() - 60_000;
    const bucket = bucketAt(atMs);
    const event = eventOf({
      id: uuidV7(atMs),
      instanceId,
      teamId,
      keyId,
      cost: usd('0.25'),
      held: usd('0.30'),
      allocations: [{ counterId: bucket.id, held: usd('0.30'), settled: usd('0.25') }],
    });
    if (how === 'adopted by another') {
      // The window was counted from the time before on, and the bucket is forgotten.
      await store.rejoin({ instanceId: other, seen: null, known: [] }, [bucketAt(Date.now())]);
      await sql`update counters set starts_at = starts_at - interval '1 hour', ends_at = ends_at - interval '1 hour'
      where team_id = ${teamId} and is_head`;
      await store.adopt(instanceId, [event], 'adopted');
    } else {
      await store.rejoin({ instanceId, seen: null, known: [] }, [bucket]);
      await store.putBack({ instanceId, epoch: null, events: [event], last: null });
    }
    const rows = await sql`select sum(settled)::float8 as settled from counters where team_id = ${teamId}`;
    expect(rows).toEqual([{ settled: 0.25 }]);
  },
);
