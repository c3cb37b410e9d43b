/** What a window leaves is carried into the next: exact over instances, whenever their calls end, and never spent twice. */
import { randomUUID } from 'node:crypto';
import { afterAll, expect, test } from 'vitest';
import { type CounterSpec, limitCounter, NO_SUBJECTS, raiseCounter } from '../../src/domain/counter.ts';
import { isApiError } from '../../src/domain/errors.ts';
import { usd } from '../../src/domain/money.ts';
import { uuidV7 } from '../../src/ledger/events.ts';
import { toLimit, toRaise } from '../../src/store/balance.ts';
import { carryOver } from '../../src/store/carry-over.ts';
import { type Database, openDatabase } from '../../src/store/database.ts';
import { flush } from '../../src/store/hot/flush.ts';
import { registerInstance } from '../../src/store/hot/instances.ts';
import { requestLease } from '../../src/store/hot/leases.ts';
import { createLimit, type LimitRow } from '../../src/store/limits.ts';
import { endRaises, listRaises } from '../../src/store/raises.ts';
import type { CarryOver } from '../../src/store/stored-json.ts';
import { closeIdleTagValues } from '../../src/store/tag-values.ts';
import { insertTeam } from '../support/catalog.ts';
import { eventOf } from '../support/events.ts';
import { createTestDatabase } from '../support/postgres.ts';

const at = (moment: string) => ({ settings: { 'tollgate.now': moment } });
const { connection, database: first, drop } = await createTestDatabase(at('2026-11-20T12:00:00Z'));
const second = openDatabase(connection, at('2026-11-21T00:10:00Z'));
const third = openDatabase(connection, at('2026-11-22T00:10:00Z'));
afterAll(async () => {
  await second.close();
  await third.close();
  await drop();
});
const DAYS = [Date.UTC(2026, 10, 20, 12), Date.UTC(2026, 10, 21, 1), Date.UTC(2026, 10, 22, 1)] as const;
const [ONE, TWO] = [randomUUID(), randomUUID()];
for (const id of [ONE, TWO]) await registerInstance(first.sql, id);

/** A limit of $10 a day, made on the first of three days. */
async function dailyLimit(
  rule: CarryOver,
  database: Database = first,
  given: Partial<Pick<LimitRow, 'meter' | 'amount'>> = {},
): Promise<LimitRow> {
  const teamId = await insertTeam(first.sql);
  const limit = await createLimit(database, {
    ...{ name: null, subject: { type: 'team', id: teamId }, teamId: null, models: null, meter: 'cost_usd' },
    ...{ amount: '10.00', window: { type: 'calendar', unit: 'day', timeZone: 'UTC' }, enforcement: 'strict' },
    ...{ maxHold: null, maxUnknown: null, warnAt: null, onExhausted: null, carryOver: rule },
    ...given,
  });
  if (isApiError(limit)) throw limit;
  return limit;
}

const counterOn = (limit: LimitRow, day: 0 | 1 | 2) =>
  limitCounter(toLimit(limit), limit.teamId, NO_SUBJECTS, DAYS[day]);
const raisesOf = async (limit: LimitRow) => await listRaises(first, limit.id, { after: null, limit: 10 });
const carried = async (limit: LimitRow) => (await raisesOf(limit)).map(({ amount }) => usd(amount));

/** Asks for this much of all these counters together; returns what was lent of them in all. */
async function borrow(instanceId: string, specs: CounterSpec[], want: string): Promise<bigint> {
  const pools = [{ counters: specs, min: 0n, want: usd(want) }];
  const { counters } = await requestLease(first.sql, { instanceId, teamId: specs[0]!.teamId, pools });
  return counters.reduce((sum, { lease }) => sum + lease.granted, 0n);
}

/** A call of an instance that held this much ended at a cost; the rest goes back. */
async function ends(
  instanceId: string,
  spec: CounterSpec,
  held: string,
  cost: string,
  atMs = spec.startsAtMs + 1000,
  tags: string[] | null = null,
): Promise<void> {
  const { teamId, id: counterId } = spec;
  const keyId = randomUUID();
  const allocations = [{ counterId, held: usd(held), settled: usd(cost) }];
  const money = { cost: usd(cost), held: usd(held), allocations };
  const event = eventOf({ id: uuidV7(atMs), instanceId, teamId, keyId, ...money, facts: { tags } });
  const reports = [{ teamId, counterId, returned: usd(held) - usd(cost), held: 0n }];
  await flush(first.sql, { instanceId, events: [event], reports });
}

/** The counters of a day in the order in which they pay: the limit's, then what was carried into it. */
async function budgetOn(limit: LimitRow, day: 1 | 2): Promise<CounterSpec[]> {
  const own = counterOn(limit, day);
  const into = (await raisesOf(limit)).filter(({ carriedInto }) => carriedInto?.getTime() === own.startsAtMs);
  return [own, ...into.map((raise) => raiseCounter(own, toRaise(raise)))];
}

test('what two instances left is carried, at most the cap, and both together spend it once', async () => {
  const limit = await dailyLimit({ maxUsd: '4.00' });
  const before = counterOn(limit, 0);
  await borrow(ONE, [before], '6.00');
  await borrow(TWO, [before], '2.00');
  await ends(ONE, before, '6.00', '3.00');
  expect(await carryOver(second)).toBeGreaterThan(0);
  // Of $10 are $3 spent and $2 held by a call: $5 are left, and $4 is the most.
  expect(await carried(limit)).toEqual([usd('4.00')]);
  // Who is late on the first day finds the other dollar, and what was carried no more.
  expect(await borrow(ONE, [before], '50.00')).toBe(usd('6.00') + usd('1.00'));
  const budget = await budgetOn(limit, 1);
  await Promise.all([ONE, TWO, ONE, TWO].map((instance) => borrow(instance, budget, '3.00')));
  const lent = (await borrow(ONE, budget, '50.00')) + (await borrow(TWO, budget, '0.00'));
  expect(lent).toBe(usd('14.00'));
});

test('what comes back late of a window that has ended is carried by the next run, once', async () => {
  const limit = await dailyLimit({ maxPercent: 100 });
  const before = counterOn(limit, 0);
  await borrow(ONE, [before], '2.00');
  await carryOver(second);
  expect(await carried(limit)).toEqual([usd('8.00')]);
  const budget = await budgetOn(limit, 1);
  expect(await borrow(TWO, budget, '50.00')).toBe(usd('18.00'));
  await ends(ONE, before, '2.00', '0.50');
  await carryOver(second);
  await carryOver(second);
  expect(await carried(limit)).toEqual([usd('9.50')]);
  expect(await borrow(TWO, await budgetOn(limit, 1), '50.00')).toBe(usd('19.50'));
  expect(await borrow(ONE, [before], '50.00')).toBe(usd('2.00'));
});

test('a window without a call leaves its whole amount, which no late call can spend any more', async () => {
  const limit = await dailyLimit({ maxPercent: 50 });
  await carryOver(second);
  expect(await carried(limit)).toEqual([usd('5.00')]);
  expect(await borrow(ONE, [counterOn(limit, 0)], '50.00')).toBe(usd('5.00'));
});

test('what was carried and is still left is carried on, and is not lent of both windows', async () => {
  const limit = await dailyLimit({ maxUsd: '4.00' });
  await carryOver(second);
  const budget = await budgetOn(limit, 1);
  expect(await borrow(ONE, budget, '11.00')).toBe(usd('11.00'));
  await carryOver(third);
  // $3 of what was carried into the second day are left: of the third they are, and of the second no more.
  expect(await carried(limit)).toEqual([usd('1.00'), usd('3.00')]);
  expect(await borrow(TWO, budget, '50.00')).toBe(0n);
  expect(await borrow(TWO, await budgetOn(limit, 2), '50.00')).toBe(usd('13.00'));
});

test.each([
  ['dollars', { maxUsd: '25.00' }],
  ['a percentage of an earlier version', { maxPercent: 250 }],
])('a window has never more than twice the amount, whatever the cap in %s', async (_, rule) => {
  const limit = await dailyLimit(rule);
  await carryOver(second);
  await carryOver(third);
  expect(await carried(limit)).toEqual([usd('10.00'), usd('10.00')]);
  expect(await borrow(ONE, await budgetOn(limit, 2), '50.00')).toBe(usd('20.00'));
});

test.each(['requests', 'tokens'] as const)(
  'of %s whole ones are carried, the other half stays',
  async (meter) => {
    const limit = await dailyLimit({ maxPercent: 50 }, first, { meter, amount: '5' });
    await carryOver(second);
    expect(await carried(limit)).toEqual([usd('2.00')]);
    expect(await borrow(ONE, [counterOn(limit, 0)], '50.00')).toBe(usd('3.00'));
  },
);

test('what an administrator ended is not carried again, and a limit carries nothing into its first window', async () => {
  const limit = await dailyLimit({ maxUsd: '4.00' });
  await carryOver(second);
  await endRaises(second, limit.id);
  await carryOver(second);
  expect((await raisesOf(limit)).filter(({ deletedAt }) => deletedAt === null)).toEqual([]);
  const fresh = await dailyLimit({ maxUsd: '4.00' }, second);
  await carryOver(second);
  expect(await carried(fresh)).toEqual([]);
});

test('runs at the same time carry once', async () => {
  const limit = await dailyLimit({ maxUsd: '4.00' });
  await Promise.all([1, 2, 3, 4].map(() => carryOver(second)));
  expect(await carried(limit)).toEqual([usd('4.00')]);
});

test('what a value of a tag left is carried once, also when no call names the value any more', async () => {
  const december = openDatabase(connection, at('2026-12-05T00:10:00Z'));
  try {
    const teamId = await insertTeam(first.sql);
    const limit = await createLimit(first, {
      ...{ name: null, subject: { type: 'tag', name: 'project', value: 'alpha' }, teamId, models: null },
      ...{ meter: 'cost_usd', amount: '10.00', enforcement: 'strict', onExhausted: null },
      ...{ window: { type: 'calendar', unit: 'month', timeZone: 'UTC' } },
      ...{ maxHold: null, maxUnknown: null, warnAt: null, carryOver: { maxPercent: 50 } },
    });
    if (isApiError(limit)) throw limit;
    await first.sql`
      insert into tags (name, sources, required, on_unknown, max_values, idle_days, created_at)
      values ('project', '{header}', false, 'refuse', 10, 7, now())`;
    const before = counterOn(limit, 0);
    await borrow(ONE, [before], '9.00');
    await ends(ONE, before, '9.00', '9.00', DAYS[0], ['project=alpha']);
    await carryOver(december);
    await closeIdleTagValues(december.sql);
    await carryOver(december);
    expect(await carried(limit)).toEqual([usd('1.00')]);
    expect(await borrow(TWO, [before], '50.00')).toBe(0n);
  } finally {
    await december.close();
  }
});
