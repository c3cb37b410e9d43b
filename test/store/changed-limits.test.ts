/** A changed amount binds every counter of its limit: also one that is made meanwhile, or was made early. */
import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { type CallSubjects, type CounterSpec, limitCounter, NO_SUBJECTS } from '../../src/domain/counter.ts';
import { isApiError } from '../../src/domain/errors.ts';
import type { TeamId } from '../../src/domain/ids.ts';
import { ORGANIZATION_ID, type Subject } from '../../src/domain/limit.ts';
import { usd } from '../../src/domain/money.ts';
import { toLimit } from '../../src/store/balance.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { requestLease } from '../../src/store/hot/leases.ts';
import { changeLimit, createLimit, type LimitRow } from '../../src/store/limits.ts';
import { resetLimit } from '../../src/store/raises.ts';
import { insertTeam } from '../support/catalog.ts';
import { createTestDatabase } from '../support/postgres.ts';

const { database, drop } = await createTestDatabase({ settings: { 'tollgate.now': '2026-11-20T12:00:00Z' } });
const { sql } = database;
afterAll(drop);
const [TODAY, TOMORROW] = [Date.UTC(2026, 10, 20, 12), Date.UTC(2026, 10, 21)] as const;
const instanceId = randomUUID();
await registerInstance(sql, instanceId);

/** A limit of $10 a day. */
async function dailyLimit(subject: Subject): Promise<LimitRow> {
  const limit = await createLimit(database, {
    ...{ name: null, subject, teamId: null, models: null, meter: 'cost_usd', amount: '10.00' },
    ...{ window: { type: 'calendar', unit: 'day', timeZone: 'UTC' }, enforcement: 'strict', maxHold: null },
    ...{ maxUnknown: null, warnAt: null, onExhausted: null, carryOver: null },
  });
  if (isApiError(limit)) throw limit;
  return limit;
}

const counterOf = (limit: LimitRow, teamId: TeamId, atMs: number, call: CallSubjects = NO_SUBJECTS) =>
  limitCounter(toLimit(limit), teamId, call, atMs);

/** Asks for this much of a counter; returns what was lent of it in all. */
async function borrow(spec: CounterSpec, want: string): Promise<bigint | undefined> {
  const pools = [{ counters: [spec], min: 0n, want: usd(want) }];
  const { counters } = await requestLease(sql, { instanceId, teamId: spec.teamId, pools });
  return counters[0]?.lease.granted;
}

test('a counter of tomorrow that a clock ahead has made is lowered with its limit, also after a reset of today', async () => {
  const teamId = await insertTeam(sql);
  const limit = await dailyLimit({ type: 'team', id: teamId });
  for (const atMs of [TODAY, TOMORROW]) await borrow(counterOf(limit, teamId, atMs), '0.00');
  await resetLimit(database, limit.id, 'a test ran wild');
  await changeLimit(database, limit.id, { amount: '1.00' });
  expect(await borrow(counterOf(limit, teamId, TOMORROW), '50.00')).toBe(usd('1.00'));
});

test('a counter of an end user that is made while a limit of all teams is lowered has the lower amount', async () => {
  const teamId = await insertTeam(sql);
  const limit = await dailyLimit({ type: 'user', id: null });
  const spec = counterOf(limit, teamId, TODAY, { endUser: 'ada' });
  const lent = await sql.begin(async (tx) => {
    await tx`select 1 from teams where id = ${ORGANIZATION_ID} for no key update`;
    await tx`update limits set amount = 1 where id = ${limit.id}`;
    const lending = borrow(spec, '50.00');
    // What makes the counter has to wait for the change, or would have read the amount of before.
    await Promise.race([lending, isWaitedFor()]);
    return { lending };
  });
  expect(await (lent as { lending: Promise<bigint> }).lending).toBe(usd('1.00'));
});

/** Resolves when a statement waits for a limit that is being changed. */
async function isWaitedFor(): Promise<void> {
  for (;;) {
    const waiting = await sql`
      select 1 from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and query like '%limits%for share%'`;
    if (waiting.length > 0) return;
  }
}
