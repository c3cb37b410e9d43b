/** Rate limits in Postgres: buckets under one anchor, for every subject of their own. */
import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { type CounterSpec, windowAnchorId } from '../../src/domain/counter.ts';
import { asId } from '../../src/domain/ids.ts';
import { UNIT } from '../../src/domain/quantities.ts';
import { bucketRange } from '../../src/domain/window.ts';
import { forgetBuckets } from '../../src/store/hot/flows.ts';
import { heartbeat, registerInstance } from '../../src/store/hot/instances.ts';
import { requestLease } from '../../src/store/hot/leases.ts';
import { changeLimit } from '../../src/store/limits.ts';
import { counterSpec, insertSource, insertTeam } from '../support/catalog.ts';
import { createTestDatabase } from '../support/postgres.ts';

const NOW = '2026-11-20T12:00:00.250Z';
const NOW_MS = Date.parse(NOW);
const { database, drop } = await createTestDatabase({ settings: { 'tollgate.now': NOW } });
const { sql } = database;
afterAll(drop);

const MINUTE_MS = 60_000;

async function makeInstance(): Promise<string> {
  const id = randomUUID();
  await registerInstance(sql, id);
  return id;
}

/** The bucket of a moment, for the team or one of its end users. */
function bucketOf(limit: CounterSpec, endUser: string | null = null, atMs = NOW_MS): CounterSpec {
  const { startMs, endMs } = bucketRange(MINUTE_MS, atMs);
  const id = `${limit.sourceId}@${startMs}${endUser === null ? '' : `/${endUser}`}`;
  const subject = endUser === null ? {} : { subjectType: 'user' as const, subjectId: endUser };
  return { ...limit, ...subject, id: asId(id), startsAtMs: startMs, endsAtMs: endMs };
}

/** A limit of so many requests a minute. */
async function makeLimit(requests: number): Promise<CounterSpec> {
  const amount = BigInt(requests) * UNIT;
  const limit = counterSpec(await insertTeam(sql), { meter: 'requests', rollingMs: MINUTE_MS, amount });
  await insertSource(sql, limit);
  return limit;
}

function ask(instanceId: string, spec: CounterSpec, requests: number, maxSubjects?: number) {
  const min = BigInt(requests) * UNIT;
  const pools = [{ counters: [spec], min, want: min }];
  return requestLease(sql, { instanceId, teamId: spec.teamId, pools }, maxSubjects);
}

/** What happened is now an hour ago. */
async function anHourLater(): Promise<void> {
  await sql`update counters set starts_at = starts_at - interval '1 hour', ends_at = ends_at - interval '1 hour',
    id = case when id like '%@head%' then id else replace(id, '@', '@0') end`;
}

test('a rolling limit takes further end users once those that it counts have been silent', async () => {
  const limit = await makeLimit(10);
  const instanceId = await makeInstance();
  const isAbsent = async (user: string) => {
    const { counters } = await ask(instanceId, bucketOf(limit, user), 1, 2);
    return counters[0]!.isAbsent;
  };
  expect([await isAbsent('ann'), await isAbsent('bob'), await isAbsent('carl')]).toEqual([
    false,
    false,
    true,
  ]);
  await forgetBuckets(sql);
  expect(await isAbsent('carl')).toBe(true);
  await anHourLater();
  for (let pass = 0; pass < 2; pass++) await forgetBuckets(sql);
  expect([await isAbsent('carl'), await isAbsent('ann'), await isAbsent('bob')]).toEqual([
    false,
    false,
    true,
  ]);
});

test('a bucket whose anchor was forgotten meanwhile lends nothing beyond its window', async () => {
  const limit = await makeLimit(10);
  const instanceId = await makeInstance();
  const spec = bucketOf(limit);
  const earlier = bucketOf(limit, null, spec.startsAtMs - 1);
  expect((await ask(instanceId, earlier, 6)).met).toBe(true);
  expect((await ask(instanceId, spec, 1)).met).toBe(true);
  await sql`delete from counters where id = ${windowAnchorId(spec)}`;
  expect((await ask(instanceId, spec, 4)).met).toBe(false);
  expect((await ask(instanceId, spec, 3)).met).toBe(true);
});

test('a changed amount binds the window at once, and touches none of its buckets that are over', async () => {
  const limit = await makeLimit(10);
  const instanceId = await makeInstance();
  const earlier = bucketOf(limit, null, NOW_MS - 500);
  await ask(instanceId, earlier, 6);
  await sql`update counters set ends_at = ends_at - interval '1 second' where id = ${earlier.id}`;
  await changeLimit(database, asId(limit.sourceId), { amount: '5' });
  expect((await ask(instanceId, bucketOf(limit), 1)).met).toBe(false);
  await changeLimit(database, asId(limit.sourceId), { amount: '8' });
  expect((await ask(instanceId, bucketOf(limit), 2)).met).toBe(true);
  const [row] = await sql`select amount::float8 from counters where id = ${earlier.id}`;
  expect(row).toEqual({ amount: 10 });
});

test('a heartbeat names the contended counters that lend to the instance', async () => {
  const [limit, other] = [await makeLimit(10), await makeLimit(10)];
  const [rich, poor] = [await makeInstance(), await makeInstance()];
  const spec = bucketOf(limit);
  await ask(rich, spec, 8);
  await ask(rich, bucketOf(other), 8);
  expect((await heartbeat(sql, rich)).contended).toEqual([]);
  await ask(poor, spec, 5);
  expect((await heartbeat(sql, rich)).contended).toEqual([`${spec.teamId}/${spec.id}`]);
  expect((await heartbeat(sql, poor)).contended).toEqual([]);
});
