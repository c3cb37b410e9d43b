/** Calls that wait for money: which are served, which are denied, and when. */

import { expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { accountOf, grantOf, limitOf, register } from '../support/accounts.ts';
import { openEstimate } from '../support/estimates.ts';
import { createWorld, fixedRequest, holdOf, NOON, startLedger } from '../support/test-ledger.ts';

const dollar = accountOf({ limits: [limitOf('limit', '1.00')] });

async function startWith(...accounts: (typeof dollar)[]) {
  const bench = await startLedger();
  register(bench.memory, ...accounts);
  return bench;
}

test('a call whose money is here is admitted at once, without a request to the store', async () => {
  const bench = await startWith(accountOf({ limits: [limitOf('limit', '100.00')] }));
  const account = accountOf({ limits: [limitOf('limit', '100.00')] });
  await bench.spend(account, '0.01');
  await bench.pass(50);
  const asked = bench.store.calls.requestLease;
  for (let i = 0; i < 3; i++)
    expect(bench.ask(account, '0.01').result).toMatchObject({ amount: usd('0.01') });
  expect(bench.store.calls.requestLease - asked).toBeLessThanOrEqual(1);
});

test('waiting calls are served oldest first as money comes back, and one that fits does not wait behind one that does not', async () => {
  const bench = await startWith(dollar);
  const [first, second] = [await bench.take(dollar, '0.60'), await bench.take(dollar, '0.40')];
  const large = bench.ask(dollar, '0.70');
  const older = bench.ask(dollar, '0.30');
  const younger = bench.ask(dollar, '0.30');
  await bench.pass(500);
  expect([large.result, older.result, younger.result]).toEqual([null, null, null]);
  bench.ledger.cancel(second);
  await bench.pass(10);
  expect(large.result).toBeNull();
  expect(older.result).toMatchObject({ amount: usd('0.30') });
  expect(younger.result).toBeNull();
  bench.ledger.cancel(first);
  await bench.pass(600);
  expect(large.result).toMatchObject({ amount: usd('0.70') });
  expect(younger.result).toBeNull();
});

test('a key that waits for its own spent limit keeps no other key of its team waiting', async () => {
  const own = limitOf('own', '50.00', { subject: { type: 'key', id: asId('key-1') } });
  const team = limitOf('team', '1000.00');
  const narrow = accountOf({ keyId: 'key-1', limits: [team, own] });
  const wide = accountOf({ keyId: 'key-2', limits: [team] });
  const bench = await startWith(narrow);
  await bench.take(narrow, '50.00');
  const stuck = bench.ask(narrow, '40.00');
  await bench.pass(2000);
  expect(stuck.result).toBeNull();
  // Larger than what is stuck, so that the smallest waiting call is the one that cannot be met.
  for (let i = 0; i < 20; i++) {
    const call = bench.ask(wide, '45.00');
    await bench.pass(40);
    expect(call.result).toMatchObject({ amount: usd('45.00') });
  }
  expect(stuck.result).toBeNull();
});

test('a call that can never fit is denied with what is left, after one request', async () => {
  const bench = await startWith(dollar);
  await bench.spend(dollar, '0.70');
  await bench.pass(500);
  const asked = bench.store.calls.requestLease;
  const call = bench.ask(dollar, '0.40');
  await bench.pass(10);
  expect(call.result).toMatchObject({
    reason: 'insufficient',
    ceiling: usd('0.30'),
    counter: { sourceId: 'limit' },
  });
  expect(bench.store.calls.requestLease).toBe(asked + 1);
});

test('a call that fits exactly once what is held comes back waits for it', async () => {
  const bench = await startWith(dollar);
  const hold = await bench.begin(await bench.take(dollar, '0.60'));
  await bench.spend(dollar, '0.30');
  const call = bench.ask(dollar, '0.70');
  await bench.pass(2000);
  expect(call.result).toBeNull();
  bench.end(hold, '0.00');
  await bench.pass(1000);
  expect(call.result).toMatchObject({ amount: usd('0.70') });
});

test('what was spent here counts against a call before it was reported to the store', async () => {
  const bench = await startWith(dollar);
  bench.store.fate = (call) => ({ delayMs: call === 'flush' ? 60_000 : 2, lost: 'nothing' });
  await bench.spend(dollar, '0.70');
  const call = bench.ask(dollar, '0.40');
  await bench.pass(300);
  expect(call.result).toMatchObject({ reason: 'insufficient', ceiling: usd('0.30') });
});

test('what this instance believes never denies a call: only a reply of the store does', async () => {
  const bench = await startWith(dollar);
  await bench.spend(dollar, '0.90');
  await bench.pass(500);
  expect(bench.ask(dollar, '0.20').result).toBeNull();
  bench.memory.setAmount('limit', usd('5.00'));
  const call = bench.ask(dollar, '0.20');
  await bench.pass(200);
  expect(call.result).toMatchObject({ amount: usd('0.20') });
});

test('a window that begins while the store is asked is not denied by the reply about the old one', async () => {
  const daily = accountOf({
    limits: [limitOf('daily', '1.00', { window: { type: 'calendar', unit: 'day', timeZone: 'UTC' } })],
  });
  const bench = await startLedger({ startsAtMs: Date.UTC(2026, 10, 20, 23, 59, 59) });
  register(bench.memory, daily);
  await bench.spend(daily, '1.00');
  await bench.pass(500);
  bench.store.fate = () => ({ delayMs: 800, lost: 'nothing' });
  const call = bench.ask(daily, '0.50');
  await bench.pass(3000);
  expect(call.result).toMatchObject({ amount: usd('0.50') });
  expect(holdOf(call).reservation.pools[0]!.leases[0]!.spec.startsAtMs).toBe(Date.UTC(2026, 10, 21));
});

test('a call whose wait is over is denied as held, with the limit and when to retry', async () => {
  const account = accountOf({ limits: [limitOf('wide', '0.90'), limitOf('tight', '1.00')] });
  const bench = await startWith(account);
  await bench.spend(account, '0.10');
  const other = accountOf({ keyId: 'key-2', limits: [limitOf('tight', '1.00')] });
  await bench.take(other, '0.85');
  const call = bench.ask(account, '0.20');
  await bench.pass(9900);
  expect(call.result).toBeNull();
  await bench.pass(600);
  expect(call.result).toMatchObject({ reason: 'held', counter: { sourceId: 'tight' }, retryAfterMs: 1020 });
  expect(bench.ledger.waiting).toBe(0);
});

/** A call without an output limit, at a tenth of a cent for each output token. */
function openRequest(account: typeof dollar) {
  const price = { inputTokens: 10, inputCost: 0n, perToken: usd('0.001'), maxOutputTokens: 32_000 };
  return fixedRequest(account, 0n, { size: { type: 'open_ended', estimate: openEstimate(price) } });
}

test('an open-ended call takes what is left when nothing is in flight, and else waits for its share until its time is over', async () => {
  const hundred = accountOf({ limits: [limitOf('limit', '100.00')] });
  const bench = await startWith(hundred);
  await bench.spend(hundred, '97.00');
  const alone = bench.reserve(openRequest(hundred));
  await bench.pass(500);
  expect(alone.result).toMatchObject({ amount: usd('3.00'), outputLimit: 3000 });
  bench.ledger.cancel(holdOf(alone));
  await bench.take(hundred, '1.00');
  const crowded = bench.reserve(openRequest(hundred));
  await bench.pass(9900);
  expect(crowded.result).toBeNull();
  await bench.pass(500);
  expect(crowded.result).toMatchObject({ amount: usd('2.00'), outputLimit: 2000 });
});

test('an open-ended call of an unlimited team may say all that its model can, and no limit is written into it', async () => {
  const unlimited = accountOf({ unlimited: true });
  const bench = await startWith(dollar);
  for (let i = 0; i < 3; i++) {
    const hold = holdOf(bench.reserve(openRequest(unlimited)));
    expect(hold).toMatchObject({ amount: usd('32.00'), outputLimit: null });
    await bench.begin(hold);
    bench.end(hold, '0.10');
  }
});

test('a team without a budget is denied at once, and a prepaid one without a usable grant too', async () => {
  const bench = await startWith(dollar);
  const refused = { kind: 'denial', reason: 'insufficient', counter: null, ceiling: 0n };
  expect(bench.ask(accountOf(), '0.01').result).toEqual(refused);
  expect(
    bench.ask(accountOf({ grants: [grantOf('old', '5.00', { expiresAtMs: 1 })] }), '0.01').result,
  ).toEqual(refused);
});

test('a call whose last grant expires while it waits is denied, and its team goes on', async () => {
  const expiring = accountOf({ grants: [grantOf('short', '1.00', { expiresAtMs: NOON + 2000 })] });
  const bench = await startWith(expiring, dollar);
  await bench.take(expiring, '1.00');
  const waiting = bench.ask(expiring, '0.50');
  await bench.pass(1500);
  expect(waiting.result).toBeNull();
  await bench.pass(1000);
  expect(waiting.result).toEqual({ kind: 'denial', reason: 'insufficient', counter: null, ceiling: 0n });
  await bench.spend(dollar, '0.10');
});

test('a call that leaves the queue is forgotten, holds nothing, and gets no outcome', async () => {
  const bench = await startWith(dollar);
  const all = await bench.take(dollar, '1.00');
  const gone = bench.ask(dollar, '0.50');
  const stays = bench.ask(dollar, '0.50');
  await bench.pass(200);
  gone.leave();
  gone.leave();
  expect(bench.ledger.waiting).toBe(1);
  bench.ledger.cancel(all);
  await bench.pass(50);
  expect(gone.result).toBeNull();
  expect(stays.result).toMatchObject({ amount: usd('0.50') });
});

test('a call that leaves at the moment of being served leaves no money behind', async () => {
  const bench = await startWith(dollar);
  const all = await bench.take(dollar, '1.00');
  const call = bench.ask(dollar, '1.00');
  bench.ledger.cancel(all);
  call.leave();
  await bench.pass(12_000);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ leased: 0n, settled: 0n });
});

test('the queue is bounded in calls and in bytes, of which a team gets half', async () => {
  const world = await createWorld();
  const bench = await startLedger({ world, maxWaiting: 6, maxWaitingBytes: 400 });
  register(bench.memory, dollar);
  await bench.take(dollar, '1.00');
  const [first, second] = [bench.ask(dollar, '0.10'), bench.ask(dollar, '0.10')];
  expect([first.result, second.result]).toEqual([null, null]);
  const tooMany = bench.ask(dollar, '0.10');
  expect(tooMany.result).toMatchObject({ reason: 'held', retryAfterMs: 1000 });
  first.leave();
  expect(bench.ask(dollar, '0.10').result).toBeNull();
  const small = fixedRequest(dollar, usd('0.10'), { bytes: 0 });
  expect(bench.reserve(small).result).toBeNull();
  expect(bench.reserve(small).result).toMatchObject({ reason: 'held' });
});
