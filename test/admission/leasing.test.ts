/** What an instance borrows, keeps and gives back. */

import { expect, test } from 'vitest';
import { asId, momentOfUuidV7 } from '../../src/domain/ids.ts';
import { usd } from '../../src/domain/money.ts';
import { accountOf, grantOf, limitOf, register } from '../support/accounts.ts';
import { createWorld, holdOf, NOON, startLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '100.00')] });

async function startWith(...accounts: (typeof account)[]) {
  const bench = await startLedger();
  register(bench.memory, ...accounts);
  return bench;
}

const leased = (bench: Awaited<ReturnType<typeof startLedger>>, id = 'limit@0') =>
  bench.memory.counters.get(id)!.leased;

test('what is idle for ten seconds goes back to the counter, all of it', async () => {
  const bench = await startWith(account);
  for (let i = 0; i < 5; i++) await bench.spend(account, '0.10', '0.05');
  await bench.pass(9000);
  expect(leased(bench) > 0n).toBe(true);
  await bench.pass(2000);
  expect(leased(bench)).toBe(0n);
  expect(bench.memory.counters.get('limit@0')!.settled).toBe(usd('0.25'));
});

test('a lease that runs low is filled up before a call has to wait for it', async () => {
  const bench = await startWith(account);
  await bench.spend(account, '0.10');
  for (let i = 0; i < 60; i++) {
    const call = bench.ask(account, '0.10');
    expect(call.result).toMatchObject({ amount: usd('0.10') });
    bench.end(await bench.begin(holdOf(call)), '0.10');
    await bench.pass(50);
  }
  expect(bench.store.calls.requestLease).toBeLessThan(40);
});

test('a team with a second grant borrows ahead too, and the earlier expiry pays first', async () => {
  const soon = grantOf('soon', '3.00', { expiresAtMs: NOON + 86_400_000 });
  const granted = accountOf({ grants: [grantOf('late', '100.00'), soon] });
  const bench = await startWith(granted);
  await bench.spend(granted, '0.05');
  let waited = 0;
  for (let i = 0; i < 79; i++) {
    const call = bench.ask(granted, '0.05');
    if (call.result === null) waited++;
    await bench.pass(50);
    bench.end(await bench.begin(holdOf(call)), '0.05');
  }
  expect(waited).toBeLessThanOrEqual(3);
  await bench.pass(11_000);
  expect(bench.memory.counters.get('soon@0')!.settled).toBe(usd('3.00'));
  expect(bench.memory.counters.get('late@0')!.settled).toBe(usd('1.00'));
});

test('a reply that was lost is made good, whether a call waits for it or not', async () => {
  const bench = await startWith(account);
  let lost = 0;
  bench.store.fate = (call) => ({
    delayMs: 2,
    lost: call === 'requestLease' && lost++ < 1 ? 'answer' : 'nothing',
  });
  const call = bench.ask(account, '0.10');
  await bench.pass(100);
  expect(call.result).toBeNull();
  expect(leased(bench) >= usd('0.10')).toBe(true);
  call.leave();
  await bench.pass(20_000);
  expect(leased(bench)).toBe(0n);
});

test('what a lost reply lent is spent by the next call, not lent again', async () => {
  const bench = await startWith(account);
  let lost = 0;
  bench.store.fate = (call) => ({
    delayMs: 2,
    lost: call === 'requestLease' && lost++ < 3 ? 'answer' : 'nothing',
  });
  const call = bench.ask(account, '40.00');
  await bench.pass(1500);
  expect(call.result).toMatchObject({ amount: usd('40.00') });
  expect(bench.memory.counters.get('limit@0')!.leased).toBe(usd('40.00') + bench.free);
});

test('a changed limit binds money that is lent already: it goes back, also what calls in flight bring back', async () => {
  const bench = await startWith(account);
  const inFlight = await bench.begin(await bench.take(account, '10.00'));
  await bench.spend(account, '10.00', '1.00');
  bench.memory.setAmount('limit', usd('1.00'));
  bench.ledger.revoke(new Set(['team']));
  expect(bench.free).toBe(0n);
  bench.end(inFlight, '0.00');
  expect(bench.free).toBe(0n);
  const call = bench.ask(account, '0.01');
  await bench.time.advance(500);
  expect(call.result).toMatchObject({ reason: 'insufficient' });
  expect(leased(bench)).toBe(0n);
});

test('a reply that was on its way when the rules changed lends nothing under the old ones', async () => {
  const bench = await startWith(account);
  bench.store.fate = () => ({ delayMs: 400, lost: 'nothing' });
  const call = bench.ask(account, '10.00');
  await bench.pass(300);
  bench.memory.setAmount('limit', usd('1.00'));
  bench.ledger.revoke(new Set(['team']));
  await bench.time.advance(1500);
  expect(call.result).toMatchObject({ reason: 'insufficient', ceiling: usd('1.00') });
});

test('a reply that was on its way when a limit was raised denies no call', async () => {
  const bench = await startWith(account);
  await bench.spend(account, '99.00');
  await bench.pass(500);
  bench.store.fate = () => ({ delayMs: 400, lost: 'nothing' });
  const call = bench.ask(account, '10.00');
  await bench.pass(300);
  bench.memory.setAmount('limit', usd('200.00'));
  bench.ledger.revoke(new Set(['team']));
  await bench.pass(1500);
  expect(call.result).toMatchObject({ amount: usd('10.00') });
});

test('teams that did not change keep their leases', async () => {
  const other = accountOf({
    teamId: 'other',
    limits: [limitOf('theirs', '100.00', { teamId: asId('other') })],
  });
  const bench = await startWith(account, other);
  await bench.spend(other, '1.00', '0.10');
  const before = bench.free;
  bench.ledger.revoke(new Set(['team']));
  expect(bench.free).toBe(before);
});

test('a lease that was forgotten is made again in every account, and never twice', async () => {
  const second = accountOf({ keyId: 'key-2', limits: [limitOf('limit', '100.00')] });
  const bench = await startWith(account);
  await bench.spend(account, '1.00', '0.50');
  await bench.pass(11_000);
  for (let hours = 0; hours < 6; hours++) await bench.time.advance(600_000 + 100_000);
  expect([...bench.ledger.leases.all()]).toEqual([]);
  await bench.take(second, '2.00');
  await bench.take(account, '2.00');
  expect([...bench.ledger.leases.all()]).toHaveLength(1);
  await bench.pass(200);
  expect(bench.memory.leases.size).toBe(1);
  expect([...bench.memory.leases.values()][0]!.held).toBe(usd('4.00'));
});

test('a lease for which calls wait for an hour is not forgotten under them', async () => {
  const bench = await startLedger({ queueTimeoutMs: 5_000_000 });
  register(bench.memory, account);
  const all = await bench.take(account, '100.00');
  const call = bench.ask(account, '1.00');
  await bench.time.advance(4_000_000);
  bench.ledger.cancel(all);
  await bench.pass(1000);
  expect(call.result).toMatchObject({ amount: usd('1.00') });
});

test('an expired grant still pays for the calls that it held, and what it has left then goes back', async () => {
  const brief = grantOf('brief', '1.00', { expiresAtMs: NOON + 5000 });
  const granted = accountOf({ grants: [brief, grantOf('next', '10.00', { startsAtMs: NOON })] });
  const bench = await startWith(granted);
  const hold = await bench.begin(await bench.take(granted, '1.50'));
  expect(hold.reservation.amounts).toEqual([usd('1.00'), usd('0.50')]);
  await bench.pass(6000);
  await bench.spend(granted, '0.20');
  bench.end(hold, '0.70');
  await bench.pass(12_000);
  expect(bench.memory.counters.get('brief@0')).toMatchObject({ settled: usd('0.70'), leased: 0n });
  expect(bench.memory.counters.get(`next@${NOON}`)).toMatchObject({ settled: usd('0.20'), leased: 0n });
});

test('a call belongs to the window of the moment at which its money was taken, and to no other', async () => {
  const window = { type: 'calendar', unit: 'day', timeZone: 'UTC' } as const;
  const daily = accountOf({ limits: [limitOf('daily', '1.00', { window })] });
  const midnight = Date.UTC(2026, 10, 21);
  const bench = await startLedger({ startsAtMs: midnight - 3000 });
  register(bench.memory, daily);
  const before = await bench.begin(await bench.take(daily, '1.00'));
  expect(momentOfUuidV7(before.id)).toBeLessThan(midnight);
  await bench.pass(4000);
  await bench.spend(daily, '0.80');
  bench.end(before, '0.90');
  await bench.pass(15_000);
  const settled = (startsAtMs: number) => bench.memory.counters.get(`daily@${startsAtMs}`);
  expect(settled(midnight - 86_400_000)).toMatchObject({ settled: usd('0.90'), leased: 0n });
  expect(settled(midnight)).toMatchObject({ settled: usd('0.80'), leased: 0n });
});

test('replicas share a limit to the last cent and not beyond it', async () => {
  const dollar = accountOf({ limits: [limitOf('limit', '1.00')] });
  const world = await createWorld();
  register(world.memory, dollar);
  const benches = [await startLedger({ world }), await startLedger({ world }), await startLedger({ world })];
  let served = 0;
  for (let i = 0; i < 60; i++) {
    const bench = benches[i % 3]!;
    const call = bench.ask(dollar, '0.03');
    await bench.pass(200);
    if (call.result?.kind !== 'hold') continue;
    served++;
    bench.end(await bench.begin(call.result), '0.03');
  }
  await benches[0]!.pass(15_000);
  expect(served).toBe(33);
  expect(world.memory.counters.get('limit@0')).toMatchObject({ settled: usd('0.99'), leased: 0n });
});

test('what a call takes and puts back on a quiet instance is reported as soon as on a busy one', async () => {
  const bench = await startWith(account);
  await bench.spend(account, '1.00', '0.10');
  await bench.time.advance(30_000);
  expect(bench.ledger.isQuiet).toBe(true);
  const hold = await bench.take(account, '2.00');
  expect(bench.ledger.isQuiet).toBe(false);
  const held = () => [...bench.memory.leases.values()][0]!.held;
  await bench.pass(200);
  expect(held()).toBe(usd('2.00'));
  bench.ledger.cancel(hold);
  await bench.pass(200);
  expect(held()).toBe(0n);
  await bench.pass(9000);
  expect(bench.ledger.isQuiet).toBe(false);
  await bench.pass(15_000);
  expect(bench.ledger.isQuiet).toBe(true);
  expect(leased(bench)).toBe(0n);
});
