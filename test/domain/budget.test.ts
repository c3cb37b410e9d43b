import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Account,
  inSpendingOrder,
  limitCounts,
  poolsAt,
  settleInOrder,
  takeInOrder,
} from '../../src/domain/budget.ts';
import type { Grant, Limit } from '../../src/domain/limit.ts';
import { accountOf } from '../support/accounts.ts';

const DAY_MS = 86_400_000;
const NOON = Date.UTC(2026, 10, 20, 12);
const MIDNIGHT = Date.UTC(2026, 10, 20);
const sum = (parts: readonly bigint[]) => parts.reduce((total, part) => total + part, 0n);

const grant = (id: string, startsAtMs: number, expiresAtMs: number | null): Grant => ({
  id,
  teamId: 'team',
  amount: 100n,
  startsAtMs,
  expiresAtMs,
});

const limit = (changes: Partial<Limit> = {}): Limit => ({
  id: 'limit',
  teamId: 'team',
  subject: { type: 'team', id: 'team' },
  models: null,
  meter: 'cost_usd',
  amount: 100n,
  window: { type: 'calendar', unit: 'day', timeZone: 'UTC' },
  enforcement: 'strict',
  ...changes,
});

const ids = (account: Account, atMs: number) =>
  poolsAt(account, atMs).pools.map((pool) => pool.counters.map((counter) => counter.id));

test('grants pay earliest expiry first, then the older, and in the same order on every replica', () => {
  const sorted = [
    grant('b', 0, 50),
    grant('a', 1, 50),
    grant('d', 0, 60),
    grant('y', 0, null),
    grant('z', 0, null),
  ];
  fc.assert(
    fc.property(fc.shuffledSubarray(sorted, { minLength: 5 }), (grants) => {
      expect(inSpendingOrder(grants)).toEqual(sorted);
    }),
  );
});

test('a prepaid team pays from the grants that have begun and not expired, and its pools change at those moments', () => {
  const account = accountOf({ grants: [grant('now', 0, NOON + 5), grant('later', NOON + 2, null)] });
  expect(ids(account, NOON)).toEqual([['now@0']]);
  expect(poolsAt(account, NOON).validUntilMs).toBe(NOON + 2);
  expect(ids(account, NOON + 2)).toEqual([['now@0', `later@${NOON + 2}`]]);
  expect(poolsAt(account, NOON + 2).validUntilMs).toBe(NOON + 5);
  expect(ids(account, NOON + 5)).toEqual([[`later@${NOON + 2}`]]);
});

test('a prepaid team whose grants are gone has a pool that pays nothing, beside its limits', () => {
  const account = accountOf({ grants: [grant('old', 0, 1)], limits: [limit()] });
  expect(ids(account, NOON)).toEqual([[], [`limit@${MIDNIGHT}`]]);
});

test('every limit of the key and its team must agree, each with the counter of its current window', () => {
  const key = limit({ id: 'key', subject: { type: 'key', id: 'key-1' }, window: { type: 'lifetime' } });
  const account = accountOf({ limits: [limit(), key] });
  expect(ids(account, NOON)).toEqual([[`limit@${MIDNIGHT}`], ['key@0']]);
  expect(poolsAt(account, NOON).validUntilMs).toBe(MIDNIGHT + DAY_MS);
  expect(ids(account, MIDNIGHT + DAY_MS)).toEqual([[`limit@${MIDNIGHT + DAY_MS}`], ['key@0']]);
});

test.each<[string, Partial<Limit>]>([
  ['a rolling window', { window: { type: 'rolling', seconds: 60 } }],
  ['another meter', { meter: 'tokens' }],
  ['some models', { models: ['gpt-4o'] }],
  ['soft enforcement', { enforcement: 'soft' }],
  ['the organisation', { subject: { type: 'org' } }],
])('a limit with %s admits no call, rather than not to bind', (_, changes) => {
  expect(() => poolsAt(accountOf({ limits: [limit(changes)] }), NOON)).toThrow('limit');
});

test('a limit counts the calls of its subject that were admitted in its window, its first moment included', () => {
  const window = { startsAtMs: MIDNIGHT, endsAtMs: MIDNIGHT + DAY_MS };
  const team = { source: 'limit' as const, subjectType: 'team' as const, subjectId: 'team', ...window };
  const key = { ...team, subjectType: 'key' as const, subjectId: 'key-1' };
  const call = (keyId: string, createdAtMs: number) => ({ keyId, createdAtMs });
  expect(limitCounts(team, call('key-2', MIDNIGHT))).toBe(true);
  expect(limitCounts(team, call('key-2', MIDNIGHT - 1))).toBe(false);
  expect(limitCounts(team, call('key-2', MIDNIGHT + DAY_MS))).toBe(false);
  expect(limitCounts({ ...team, endsAtMs: null }, call('key-2', MIDNIGHT + DAY_MS))).toBe(true);
  expect(limitCounts(key, call('key-1', NOON))).toBe(true);
  expect(limitCounts(key, call('key-2', NOON))).toBe(false);
  expect(limitCounts({ ...team, source: 'grant' }, call('key-2', NOON))).toBe(false);
});

test('money is taken whole from the first counters that have it, or not at all', () => {
  const free = fc.array(fc.bigInt({ min: -20n, max: 100n }), { maxLength: 5 });
  fc.assert(
    fc.property(free, fc.bigInt({ min: 0n, max: 300n }), (available, amount) => {
      const usable = available.map((each) => (each > 0n ? each : 0n));
      const parts = takeInOrder(available, amount);
      expect(parts === null).toBe(sum(usable) < amount);
      if (parts === null) return;
      expect(sum(parts)).toBe(amount);
      const last = parts.findLastIndex((part) => part > 0n);
      for (let i = 0; i < last; i++) expect(parts[i]).toBe(usable[i]);
    }),
  );
});

test('a cost is charged in full, in the order in which it was held, and only an overrun exceeds a part', () => {
  const parts = fc.array(fc.bigInt({ min: 0n, max: 50n }), { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(parts, fc.bigInt({ min: 0n, max: 300n }), (held, cost) => {
      const settled = settleInOrder(held, cost);
      expect(sum(settled)).toBe(cost);
      settled.forEach((part, index) => {
        const overrun = cost > sum(held) && index === held.length - 1;
        expect(part <= held[index]! || overrun).toBe(true);
        if (part < held[index]!) expect(settled.slice(index + 1).every((each) => each === 0n)).toBe(true);
      });
    }),
  );
});
