/** Who is admitted, what waits, and what is denied for which reason. */
import { expect, test } from 'vitest';
import { type DenialInput, decide, decideDenial, retryAfterMs } from '../../src/admission/decide.ts';
import type { LeasedPool } from '../../src/admission/leases.ts';
import { usd } from '../../src/domain/money.ts';
import { unshortened } from '../../src/domain/open-ended.ts';
import { accountOf } from '../support/accounts.ts';
import { openEstimate } from '../support/estimates.ts';
import { fixedRequest } from '../support/test-ledger.ts';
import { costing, leaseWith, poolOf, poolWith } from './pools.ts';

const account = accountOf();
const alone = { crowd: 0, peak: null, last: true };
const calm = { load: alone, waiting: 0, nowMs: 0, jitter: () => 0 };
const decideFixed = (pools: LeasedPool[], cost: bigint, state = calm) =>
  decide(fixedRequest(account, cost), pools, true, state);

test('a call is admitted when every pool has its claim free here, and each lease of a pool pays in its order', () => {
  const grants = poolOf('grants', [
    leaseWith('first', { amount: 30n, here: 30n }),
    leaseWith('second', { amount: 100n, here: 100n }),
  ]);
  const team = poolWith('team', { amount: 1000n, here: 50n });
  expect(decideFixed([grants, team], 50n)).toMatchObject({
    kind: 'admit',
    amounts: [30n, 20n, 50n],
    outputLimit: null,
  });
  expect(decideFixed([grants, team], 51n)).toEqual({ kind: 'wait' });
});

test('a call waits for money of an earlier grant that is lent elsewhere, rather than to spend a later one', () => {
  const grants = poolOf('grants', [
    leaseWith('first', { amount: 30n, here: 10n }),
    leaseWith('second', { amount: 100n, here: 100n }),
  ]);
  expect(decideFixed([grants], 10n)).toMatchObject({ kind: 'admit', amounts: [10n, 0n] });
  expect(decideFixed([grants], 11n)).toEqual({ kind: 'wait' });
});

test('a decision changes no lease', () => {
  const pool = poolWith('team', { amount: 1000n, here: 50n });
  decideFixed([pool], 50n);
  expect(pool.leases[0]).toMatchObject({ free: 50n, held: 0n });
});

test('a call without a budget is denied at once, unless it is free', () => {
  const noBudget = { kind: 'denial', reason: 'insufficient', counter: null, ceiling: 0n };
  expect(decide(fixedRequest(account, 1n), [], false, calm)).toEqual(noBudget);
  expect(decideFixed([poolOf('grants', [])], 1n)).toEqual(noBudget);
  expect(decide(fixedRequest(account, 0n, { isFree: true }), [], false, calm)).toMatchObject({
    kind: 'admit',
  });
});

test('a call that would hold more than one call may is denied at once, whatever is free', () => {
  const capped = poolWith('capped', { amount: 1000n, here: 1000n }, { maxHold: 20n });
  expect(decideFixed([capped], 20n)).toMatchObject({ kind: 'admit' });
  expect(decideFixed([capped], 21n)).toMatchObject({ reason: 'too_large', maxHold: 20n });
  const rate = poolWith('rate', { amount: 100n, here: 100n }, { isRateLimit: true });
  expect(decideFixed([rate], 101n)).toMatchObject({ reason: 'too_large', maxHold: 100n });
});

test('a rate limit that was full a moment ago denies without a request, for as long as it is taken for full', () => {
  const rate = poolWith('rate', { amount: 100n, away: 100n }, { isRateLimit: true });
  rate.leases[0]!.fullUntilMs = 200;
  expect(decideFixed([rate], 1n, { ...calm, nowMs: 199 })).toMatchObject({
    reason: 'rate_limit',
    remaining: 0n,
  });
  expect(decideFixed([rate], 1n, { ...calm, nowMs: 200 })).toEqual({ kind: 'wait' });
});

test('an open-ended call holds a share that falls as its team is busier, and its limit is to be written in', () => {
  const estimate = openEstimate({
    inputTokens: 10,
    inputCost: 0n,
    perToken: usd('0.01'),
    maxOutputTokens: 128_000,
  });
  const request = fixedRequest(account, 0n, { size: { type: 'open_ended', estimate } });
  const pool = poolWith('team', { amount: usd('100000.00'), here: usd('100000.00') });
  const limits = [0, 1000].map((crowd) =>
    decide(request, [pool], true, { ...calm, load: { ...alone, crowd, last: false } }),
  );
  expect(limits).toMatchObject([
    { kind: 'admit', outputLimit: null },
    { kind: 'admit', outputLimit: 10_000 },
  ]);
});

test('an open-ended call that takes no shortened answer waits where another one takes what is left', () => {
  const options = { inputTokens: 10, inputCost: 0n, perToken: usd('0.01'), maxOutputTokens: 128_000 };
  const shortened = openEstimate(options);
  const sizeOf = (estimate: typeof shortened) =>
    fixedRequest(account, 0n, { size: { type: 'open_ended', estimate } });
  const pool = poolWith('team', { amount: usd('50.00'), here: usd('50.00') });
  expect(decide(sizeOf(shortened), [pool], true, calm)).toMatchObject({ kind: 'admit', outputLimit: 5000 });
  expect(decide(sizeOf(unshortened(shortened)), [pool], true, calm)).toEqual({ kind: 'wait' });
  const enough = poolWith('team', { amount: usd('81.92'), here: usd('81.92') });
  expect(decide(sizeOf(unshortened(shortened)), [enough], true, calm)).toMatchObject({
    kind: 'admit',
    outputLimit: 8192,
  });
  const capped = poolWith('team', { amount: usd('900.00'), here: usd('900.00') }, { maxHold: usd('50.00') });
  expect(decide(sizeOf(shortened), [capped], true, calm)).toMatchObject({ outputLimit: 5000 });
  expect(decide(sizeOf(unshortened(shortened)), [capped], true, calm)).toMatchObject({ reason: 'too_large' });
});

function denialOf(pools: LeasedPool[], smallest: bigint, changes: Partial<DenialInput> = {}) {
  return decideDenial({
    pools,
    smallest: costing(smallest),
    isOverdue: false,
    fresh: new Set(pools.flatMap((pool) => pool.leases)),
    waiting: 0,
    jitter: 0,
    ...changes,
  });
}

const WAIT = { kind: 'wait' };

test('a call is denied for good when a counter has settled too much of its amount, and not when money is only lent', () => {
  expect(denialOf([poolWith('lent', { amount: 100n, away: 100n })], 100n)).toEqual(WAIT);
  expect(denialOf([poolWith('spent', { amount: 100n, settled: 1n })], 100n)).toMatchObject({
    reason: 'insufficient',
    ceiling: 99n,
  });
});

test('a reply that is out of date denies no call, not even one whose wait is over', () => {
  const spent = [poolWith('spent', { amount: 100n, settled: 100n })];
  expect(denialOf(spent, 50n, { fresh: new Set(), isOverdue: true })).toEqual(WAIT);
});

test('a pool of grants denies only by what all of them have together', () => {
  const grants = poolOf('grants', [
    leaseWith('a', { amount: 50n, settled: 40n }),
    leaseWith('b', { amount: 50n, settled: 5n }),
  ]);
  expect(denialOf([grants], 55n)).toEqual(WAIT);
  expect(denialOf([grants], 56n)).toMatchObject({ reason: 'insufficient', ceiling: 55n });
});

test('a limit that was raised denies by its own counter, which gets a new window, also where its raise ends later', () => {
  const [own, raise] = [
    leaseWith('limit', { amount: 50n, settled: 50n }),
    leaseWith('raise', { amount: 9n }),
  ];
  raise.spec = { ...raise.spec, source: 'raise' };
  const limit = poolOf('limit', [own, raise]);
  expect(denialOf([limit], 10n)).toMatchObject({ reason: 'insufficient', counter: own.spec, ceiling: 9n });
});

test('a call whose wait is over waits on for what was given back here and was not reported to Postgres', () => {
  const pool = poolWith('limit', { amount: 100n, here: 60n, settled: 40n });
  const [lease] = pool.leases;
  expect(denialOf([pool], 60n, { isOverdue: true })).toMatchObject({ reason: 'held' });
  lease!.giveBack(60n);
  expect(denialOf([pool], 60n, { isOverdue: true })).toEqual(WAIT);
  lease!.reported({ returned: 60n, held: 0n });
  expect(denialOf([pool], 60n, { isOverdue: true })).toMatchObject({ reason: 'held' });
});

test('a retry is due in 1 to 20 seconds by how many wait, and the jitter keeps them apart', () => {
  expect(retryAfterMs(0, 0)).toBe(1000);
  expect(retryAfterMs(0, 0.5)).toBe(1500);
  expect(retryAfterMs(100, 0)).toBe(3000);
  expect(retryAfterMs(100_000, 0.999)).toBe(20_999);
});
