/** Rules that change while calls wait and run. */
import { expect, test } from 'vitest';
import { usd } from '../../src/domain/money.ts';
import { askFor } from '../simulation/asks.ts';
import { accountOf, limitOf, register } from '../support/accounts.ts';
import { startLedger } from '../support/test-ledger.ts';

const account = accountOf({ limits: [limitOf('limit', '10.00')] });
const team = new Set(['team']);

async function start() {
  const bench = await startLedger();
  register(bench.memory, account);
  return bench;
}

test('a call that waits while the rules of its team change must ask again, and other teams’ calls wait on', async () => {
  const bench = await start();
  await bench.begin(await bench.take(account, '9.50'));
  const waiting = bench.ledger.reserve(askFor(account, usd('1.00')));
  if (waiting.kind !== 'queued') throw new Error('the call does not wait');
  let told: unknown = null;
  waiting.onOutcome = (outcome) => {
    told = outcome;
  };
  bench.ledger.revoke(new Set(['another team']));
  await bench.pass(50);
  expect(told).toBeNull();
  bench.ledger.revoke(team);
  await bench.pass(50);
  expect(told).toEqual({ kind: 'changed' });
});

test('a call that asks again has waited before: its ten seconds are over at the same moment', async () => {
  const bench = await start();
  await bench.begin(await bench.take(account, '9.50'));
  const again = bench.reserve({ ...askFor(account, usd('1.00')), waitedMs: 9000 });
  await bench.pass(1100);
  expect(again.result).toMatchObject({ reason: 'held' });
});

test('money that comes back under a limit that was lowered below what is out is not held again', async () => {
  const bench = await start();
  const running = [];
  for (let i = 0; i < 8; i++) running.push(await bench.begin(await bench.take(account, '1.00')));
  bench.memory.setAmount('limit', usd('5.00'));
  bench.ledger.revoke(team);
  // The new rule is known by the time at which money comes back.
  const waiting = bench.ask(account, '0.50');
  await bench.time.advance(100);
  for (const hold of running.slice(0, 3)) {
    bench.end(hold, '0.20');
    await bench.time.advance(20);
    expect(waiting.result).toBeNull();
  }
  // 0.60 is spent and 5.00 held, until two more calls have ended.
  for (const hold of running.slice(3, 5)) bench.end(hold, '0.20');
  await bench.time.advance(1000);
  expect(waiting.result).toMatchObject({ amount: usd('0.50') });
});

test('a call of before the rules changed, which asks what is left of them, puts none of them back', async () => {
  const rolling = { window: { type: 'rolling', seconds: 60 }, meter: 'input_tokens' } as const;
  const before = accountOf({ unlimited: true, limits: [limitOf('limit', '1000.00', rolling)] });
  const after = accountOf({ unlimited: true, limits: [limitOf('limit', '10000.00', rolling)] });
  const bench = await startLedger();
  register(bench.memory, before);
  const old = await bench.begin(await bench.take(before, '0.01'));
  register(bench.memory, after);
  bench.ledger.revoke(team);
  await bench.pass(1000);
  const tokens = { type: 'fixed', claim: { cost: 0n, input_tokens: 5000, output_tokens: 1 } } as const;
  const request = { ...askFor(after, 0n), size: tokens };
  expect(bench.ledger.reserve(request).kind).not.toBe('denial');
  bench.ledger.remaining(before, { model: 'gpt-4o', endUser: null }, old);
  expect(bench.ledger.reserve(request).kind).not.toBe('denial');
});
