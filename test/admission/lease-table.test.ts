/** What an instance remembers of its leases: no more than it needs, and nothing out of date. */
import { expect, test } from 'vitest';
import { UNIT } from '../../src/domain/quantities.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { startLedger } from '../support/test-ledger.ts';

const MINUTE_MS = 60_000;

test('an instance that is never idle forgets buckets of rolling windows all the same', async () => {
  const window = { type: 'rolling' as const, seconds: 60 };
  const account = accountOf({
    unlimited: true,
    limits: [limitOf('rpm', '10000', { meter: 'requests', window })],
  });
  const bench = await startLedger();
  register(bench.memory, account);
  // At every tick some call has ended since the last: something waits to be flushed.
  for (let at = 0; at < 3 * MINUTE_MS; at += 50) {
    const hold = await bench.begin(await bench.take(account, '0.01'));
    await bench.time.advance(50);
    bench.end(hold, '0.01');
  }
  const buckets = 2 * (MINUTE_MS / 1000);
  expect([...bench.ledger.leases.all()].length).toBeLessThan(buckets + 20);
  const settled = [...bench.memory.counters.values()].reduce((sum, counter) => sum + counter.settled, 0n);
  const unflushed = BigInt(bench.ledger.flusher.backlog.length) * UNIT;
  expect(settled + unflushed).toBe(BigInt((3 * MINUTE_MS) / 50) * UNIT);
});

test('a denial names the amount that the limit has now', async () => {
  const slots = (amount: number) =>
    accountOf({ unlimited: true, limits: [limitOf('slots', `${amount}`, { meter: 'concurrency' })] });
  const bench = await startLedger();
  register(bench.memory, slots(1));
  await bench.take(slots(1), '0.01');
  const raised = slots(2);
  register(bench.memory, raised);
  bench.ledger.revoke(new Set(['team']));
  await bench.take(raised, '0.01');
  const refused = bench.ask(raised, '0.01');
  await bench.time.advance(20);
  expect(refused.result).toMatchObject({ reason: 'rate_limit', counter: { amount: 2n * UNIT } });
});
