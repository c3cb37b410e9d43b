/** What callers see while Postgres is slow, away or says that this instance is over. */
import { expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { createWorld, fixedRequest, holdOf, startLedger, TestLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '100.00')] });

async function start(options: Parameters<typeof startLedger>[0] = {}) {
  const bench = await startLedger(options);
  register(bench.memory, account);
  return bench;
}

const away = () => ({ delayMs: 4, lost: 'request' as const });
const silent = () => ({ delayMs: 1e9, lost: 'nothing' as const });
const well = () => ({ delayMs: 2, lost: 'nothing' as const });

test('a call waits two seconds for a store that is away, and then ends as unavailable', async () => {
  const bench = await start();
  bench.store.fate = away;
  const call = bench.ask(account, '1.00');
  await bench.pass(1900);
  expect(call.result).toBeNull();
  await bench.pass(500);
  expect(call.result).toEqual({ kind: 'unavailable' });
  expect(bench.ledger.waiting).toBe(0);
});

test('a call that waits out a short absence is served', async () => {
  const bench = await start();
  bench.store.fate = away;
  const call = bench.ask(account, '1.00');
  await bench.pass(1500);
  bench.store.fate = well;
  await bench.pass(300);
  expect(call.result).toMatchObject({ amount: usd('1.00') });
});

test('a store that never replies keeps no call for ever', async () => {
  const bench = await start();
  bench.store.fate = silent;
  const calls = [bench.ask(account, '1.00'), bench.ask(account, '1.00')];
  await bench.pass(11_900);
  expect(calls.map((call) => call.result)).toEqual([null, null]);
  await bench.pass(200);
  expect(calls.map((call) => call.result)).toEqual(Array(2).fill({ kind: 'unavailable' }));
});

test('a store that is away is asked a few times a second, not at the pace of the calls', async () => {
  const bench = await start();
  bench.store.fate = away;
  for (let i = 0; i < 100; i++) {
    bench.ask(account, '1.00');
    await bench.pass(10);
  }
  expect(bench.store.calls.requestLease).toBeLessThan(8);
});

test('while money is contended the store is asked less and less, and never twice at the same moment', async () => {
  const bench = await start();
  await bench.take(account, '100.00');
  const asked = bench.store.calls.requestLease;
  for (let i = 0; i < 5; i++) bench.ask(account, '1.00');
  await bench.pass(5000);
  const questions = bench.store.calls.requestLease - asked;
  expect(questions).toBeGreaterThan(15);
  expect(questions).toBeLessThan(35);
});

test('leases are spent without the store for a minute, and then nothing is admitted until it replies', async () => {
  const bench = await start();
  await bench.spend(account, '1.00', '0.10');
  const amount = '0.05';
  bench.store.fate = silent;
  for (let second = 0; second < 58; second++) {
    const call = bench.ask(account, amount);
    expect(call.result).toMatchObject({ amount: usd(amount) });
    bench.ledger.cancel(holdOf(call));
    await bench.pass(1000);
  }
  expect(bench.ledger.degraded).toBe(true);
  expect(bench.ledger.blocked).toBeNull();
  await bench.pass(4000);
  expect(bench.ledger.blocked).toBe('postgres');
  expect(bench.ask(account, amount).result).toEqual({ kind: 'unavailable' });
});

test('while the store is silent, only a team that fails open and has nothing strict goes on', async () => {
  const soft = [limitOf('soft', '1.00', { enforcement: 'soft' })];
  const open = accountOf({ limits: soft, failOpen: true });
  const strict = accountOf({ limits: [...soft, limitOf('limit', '100.00')], failOpen: true });
  const bench = await start();
  bench.store.fate = silent;
  await bench.pass(62_000);
  expect(bench.ledger.blocked).toBe('postgres');
  for (const each of [accountOf({ limits: soft }), strict]) {
    expect(bench.ask(each, '0.10').result).toEqual({ kind: 'unavailable' });
  }
  const hold = await bench.begin(holdOf(bench.ask(open, '0.10')));
  bench.end(hold, '0.07');
  bench.store.fate = well;
  await bench.pass(2000);
  expect(bench.memory.events.get(hold.id)).toMatchObject({ claim: { cost: usd('0.07') }, allocations: [] });
});

test('nothing is admitted before the time of the store is known', async () => {
  const bench = new TestLedger(await createWorld(), {});
  expect(bench.ledger.blocked).toBe('postgres');
  expect(bench.ledger.reserve(fixedRequest(accountOf(), 0n, { isFree: true }))).toEqual({
    kind: 'unavailable',
  });
  await bench.time.advance(1100);
  expect(bench.ledger.blocked).toBeNull();
});

test('a store that comes back is noticed within a second', async () => {
  const bench = await start();
  bench.store.fate = away;
  await bench.pass(70_000);
  expect(bench.ledger.blocked).toBe('postgres');
  bench.store.fate = well;
  await bench.pass(1100);
  expect(bench.ledger.blocked).toBeNull();
  expect(bench.ledger.degraded).toBe(false);
});

test('too many events that the store does not take stop new calls', async () => {
  const bench = await start({ maxBacklog: 3 });
  await bench.spend(account, '1.00', '0.01');
  await bench.pass(300);
  bench.store.fate = away;
  for (let i = 0; i < 4; i++) bench.end(await bench.begin(await bench.take(account, '0.01')), '0.01');
  expect(bench.ledger.blocked).toBe('backlog');
  bench.store.fate = well;
  await bench.pass(300);
  expect(bench.ledger.blocked).toBeNull();
});

test('an adopted instance learns it within a second though it has nothing to flush, and admits nothing more', async () => {
  const bench = await start();
  await bench.spend(account, '1.00', '0.10');
  await bench.pass(500);
  await bench.memory.adopt(bench.instanceId, [], 'adopted');
  await bench.time.advance(1100);
  expect(bench.fenced).toBe(1);
  expect(bench.ledger.blocked).toBe('fenced');
  expect(bench.ask(account, '0.01').result).toEqual({ kind: 'unavailable' });
  expect(bench.ledger.reserve(fixedRequest(accountOf(), 0n, { isFree: true }))).toEqual({
    kind: 'unavailable',
  });
});

test('an adopted instance serves no waiting call, even with money that comes back to it', async () => {
  const bench = await start();
  const hold = await bench.begin(await bench.take(account, '100.00'));
  const call = bench.ask(account, '50.00');
  await bench.pass(100);
  await bench.memory.adopt(bench.instanceId, [], 'adopted');
  await bench.time.advance(2000);
  expect(call.result).toEqual({ kind: 'unavailable' });
  bench.end(hold, '0.00');
  expect(bench.ledger.waiting).toBe(0);
});

test('a slow store is not sent a second heartbeat before it replied to the first', async () => {
  const bench = await start();
  const before = bench.store.calls.heartbeat;
  bench.store.fate = silent;
  await bench.pass(20_000);
  expect(bench.store.calls.heartbeat - before).toBe(1);
});
