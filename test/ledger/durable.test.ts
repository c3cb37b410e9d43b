/** Calls that take longer than a minute: Postgres keeps their holds, and each ends once, whatever is lost. */
import { expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { adoptDead } from '../support/journals.ts';
import { beginHold, startLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '1.00')] });

async function startWithLongCall() {
  const bench = await startLedger();
  register(bench.memory, account);
  const hold = await bench.begin(await bench.take(account, '0.40'));
  return { bench, hold, counter: () => bench.memory.counters.get('limit@0')! };
}

test('after a minute a hold is the counter’s own, and its lease no longer has to live for it', async () => {
  const { bench, hold, counter } = await startWithLongCall();
  await bench.pass(59_000);
  expect(counter().held).toBe(0n);
  await bench.pass(2000);
  expect(counter()).toMatchObject({ held: usd('0.40'), settled: 0n, leased: 0n });
  bench.end(hold, '0.15');
  await bench.pass(300);
  expect(counter()).toMatchObject({ held: 0n, settled: usd('0.15'), leased: 0n });
  expect(bench.memory.holds.size).toBe(0);
  await bench.spend(account, '0.85');
  await bench.pass(12_000);
  expect(counter()).toMatchObject({ held: 0n, settled: usd('1.00'), leased: 0n });
});

test('a call that ends while its hold is being persisted is charged once, also when the reply was lost', async () => {
  const { bench, hold, counter } = await startWithLongCall();
  bench.store.fate = (call) => ({ delayMs: 2000, lost: call === 'flush' ? 'answer' : 'nothing' });
  await bench.pass(61_500);
  bench.end(hold, '0.15');
  await bench.pass(5000);
  bench.store.fate = () => ({ delayMs: 2, lost: 'nothing' });
  await bench.pass(15_000);
  expect(counter()).toMatchObject({ held: 0n, settled: usd('0.15'), leased: 0n });
  expect([bench.memory.holds.size, bench.memory.events.size]).toEqual([0, 1]);
  await bench.spend(account, '0.85');
});

test('a killed instance’s kept hold ends as unknown when its journal is adopted, and only once', async () => {
  const { bench, hold, counter } = await startWithLongCall();
  await bench.pass(62_000);
  bench.journal.close(false);
  for (let time = 0; time < 2; time++) await adoptDead(bench.memory, bench.journal.path);
  expect(counter()).toMatchObject({ held: 0n, settled: usd('0.40'), leased: 0n });
  expect(bench.memory.events.get(hold.id)!.claim.cost).toBe(usd('0.40'));
  expect(bench.memory.holds.size).toBe(0);
});

test('a hold that was not journaled before the store went back pays for no call', async () => {
  const bench = await startLedger();
  register(bench.memory, account);
  const restore = bench.memory.backup();
  const hold = await bench.take(account, '0.40');
  restore();
  bench.memory.history.server.timeline++;
  await bench.pass(3_000);
  expect(await beginHold(bench.ledger, hold)).toBe(false);
  bench.ledger.cancel(hold);
  await bench.spend(account, '1.00');
  await bench.pass(12_000);
  expect(bench.memory.counters.get('limit@0')).toMatchObject({ held: 0n, settled: usd('1.00'), leased: 0n });
});
