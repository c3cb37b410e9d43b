/** Rules that change while calls wait and run. */
import { expect, test } from 'vitest';
import { asId } from '../../src/domain/ids.ts';
import { type Limit, ORGANIZATION_ID } from '../../src/domain/limit.ts';
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

test('a call that asks again after all of its time has a last chance at once', async () => {
  const bench = await startLedger({ queueTimeoutMs: 0 });
  register(bench.memory, account);
  await bench.begin(await bench.take(account, '9.50'));
  const again = bench.reserve({ ...askFor(account, usd('1.00')), waitedMs: 50 });
  await bench.pass(1000);
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

const inUnit = limitOf('unit-limit', '100.00', {
  teamId: ORGANIZATION_ID,
  subject: { type: 'department', id: asId('unit') },
});
const ofTeam = (teamId: string, ...limits: Limit[]) => accountOf({ teamId, departments: '{unit}', limits });

/** Two teams of one department, each with a lease of what it may spend. */
async function startDepartment() {
  const [one, other] = [ofTeam('team', inUnit), ofTeam('other', inUnit)];
  const bench = await startLedger();
  register(bench.memory, one, other);
  for (let call = 0; call < 4; call++) {
    for (const each of [one, other]) await bench.spend(each, '0.10', '0.05');
    await bench.pass(50);
  }
  return { bench, one, other };
}

test('a change of one team takes nothing of what is lent of its department from the others there', async () => {
  const { bench, one, other } = await startDepartment();
  bench.ledger.revoke(team);
  expect(bench.free > 0n).toBe(true);
  for (const each of [other, one]) expect(bench.ask(each, '0.10').result).toMatchObject({ kind: 'hold' });
});

test('a move takes nothing of what is lent, and calls that wait ask again under the new departments', async () => {
  const { bench, one } = await startDepartment();
  const free = bench.free;
  const waiting = bench.ledger.reserve(askFor(one, usd('60.00')));
  if (waiting.kind !== 'queued') throw new Error('the call does not wait');
  let told: unknown = null;
  waiting.onOutcome = (outcome) => {
    told = outcome;
  };
  bench.ledger.revoke(new Set(), team);
  expect(told).toEqual({ kind: 'changed' });
  expect(bench.free).toBe(free);
});

test('of a department’s limit that was lowered nothing is held again once an account was read', async () => {
  const { bench, other } = await startDepartment();
  const running = [];
  for (let i = 0; i < 8; i++) running.push(await bench.begin(await bench.take(other, '1.00')));
  bench.memory.setAmount('unit-limit', usd('5.00'));
  bench.ledger.revoke(new Set(), new Set(['team', 'other']));
  const lowered = ofTeam('other', { ...inUnit, amount: usd('5.00') });
  const waiting = bench.ask(lowered, '0.50');
  expect(bench.free).toBe(0n);
  await bench.time.advance(100);
  for (const hold of running.slice(0, 3)) {
    bench.end(hold, '0.20');
    await bench.time.advance(20);
    expect(waiting.result).toBeNull();
  }
  for (const hold of running.slice(3)) bench.end(hold, '0.20');
  await bench.time.advance(1000);
  expect(waiting.result).toMatchObject({ amount: usd('0.50') });
});
