import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Account,
  inSpendingOrder,
  kindKey,
  needsEndUser,
  poolsAt,
  settleInOrder,
  takeInOrder,
} from '../../src/domain/budget.ts';
import { type CountedCall, type CounterSpec, counted } from '../../src/domain/counter.ts';
import { asId } from '../../src/domain/ids.ts';
import { type Grant, type Limit, ORGANIZATION_ID } from '../../src/domain/limit.ts';
import { UNIT } from '../../src/domain/quantities.ts';
import { bucketMs, bucketRange, oldestBucketMs } from '../../src/domain/window.ts';
import { accountOf, grantOf, limitOf } from '../support/accounts.ts';
import { counterSpec } from '../support/catalog.ts';

const DAY_MS = 86_400_000;
const NOON = Date.UTC(2026, 10, 20, 12);
const MIDNIGHT = Date.UTC(2026, 10, 20);
const sum = (parts: readonly bigint[]) => parts.reduce((total, part) => total + part, 0n);

const grant = (id: string, startsAtMs: number, expiresAtMs: number | null): Grant =>
  grantOf(id, '0', { amount: 100n, startsAtMs, expiresAtMs });

const limit = (changes: Partial<Limit> = {}): Limit =>
  limitOf('limit', '0', {
    amount: 100n,
    window: { type: 'calendar', unit: 'day', timeZone: 'UTC' },
    ...changes,
  });

const ANYBODY = { type: 'user' as const, id: null };
const KIND = { model: 'gpt-4o', endUser: null };

const ids = (account: Account, atMs: number) =>
  poolsAt(account, KIND, atMs).pools.map((pool) => pool.counters.map((counter) => counter.id));

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
  expect(poolsAt(account, KIND, NOON).validUntilMs).toBe(NOON + 2);
  expect(ids(account, NOON + 2)).toEqual([['now@0', `later@${NOON + 2}`]]);
  expect(poolsAt(account, KIND, NOON + 2).validUntilMs).toBe(NOON + 5);
  expect(ids(account, NOON + 5)).toEqual([[`later@${NOON + 2}`]]);
});

test('a prepaid team whose grants are gone has a pool that pays nothing, beside its limits', () => {
  const account = accountOf({ grants: [grant('old', 0, 1)], limits: [limit()] });
  expect(ids(account, NOON)).toEqual([[], [`limit@${MIDNIGHT}`]]);
});

test('every limit of the key and its team must agree, each with the counter of its current window', () => {
  const key = limit({
    id: asId('key'),
    subject: { type: 'key', id: asId('key-1') },
    window: { type: 'lifetime' },
  });
  const account = accountOf({ limits: [limit(), key] });
  expect(ids(account, NOON)).toEqual([[`limit@${MIDNIGHT}`], ['key@0']]);
  expect(poolsAt(account, KIND, NOON).validUntilMs).toBe(MIDNIGHT + DAY_MS);
  expect(ids(account, MIDNIGHT + DAY_MS)).toEqual([[`limit@${MIDNIGHT + DAY_MS}`], ['key@0']]);
});

test('a soft limit denies nothing, and still is a budget of its team', () => {
  const { pools, funded } = poolsAt(accountOf({ limits: [limit({ enforcement: 'soft' })] }), KIND, NOON);
  expect([pools, funded]).toEqual([[], true]);
});

test.each<[string, Partial<Limit>, boolean]>([
  ['its cost', {}, true],
  ['its requests', { meter: 'requests' }, false],
  ['what the whole organization costs', { teamId: ORGANIZATION_ID, subject: { type: 'org' } }, false],
  ['what each end user of every team costs', { teamId: ORGANIZATION_ID, subject: ANYBODY }, false],
  ['what each of its end users costs', { subject: ANYBODY }, true],
  ['the cost of another model', { models: ['o3'] }, false],
])('a team of which only %s is limited has a budget: %#', (_, changes, funded) => {
  const kind = { ...KIND, endUser: 'ann' };
  expect(poolsAt(accountOf({ limits: [limit(changes)] }), kind, NOON).funded).toBe(funded);
});

test('a limit of some models counts their snapshots, and no others', () => {
  const account = accountOf({ limits: [limit({ models: ['gpt-4o'] })] });
  const touched = (model: string) => poolsAt(account, { model, endUser: null }, NOON).pools.length;
  expect(['gpt-4o', 'gpt-4o-2024-08-06', 'gpt-4o-mini', 'o3'].map(touched)).toEqual([1, 1, 0, 0]);
  const kinds = ['gpt-4o', 'gpt-4o-2024-08-06', 'o3'].map((model) =>
    kindKey(account, { model, endUser: null }),
  );
  expect(kinds[0]).toBe(kinds[1]);
  expect(kinds[0]).not.toBe(kinds[2]);
});

test('a limit of a fine-tuned model counts its checkpoints; one of an ft: base all that are trained from that', () => {
  const trained = 'ft:gpt-4o-mini-2024-07-18:acme:name:id';
  const models = [
    trained,
    `${trained}:ckpt-step-9`,
    'ft:gpt-4o-mini-2024-07-18:acme:name:id2',
    'gpt-4o-mini',
  ];
  const touched = (listed: string) => {
    const account = accountOf({ limits: [limit({ models: [listed] })] });
    return models.map((model) => poolsAt(account, { model, endUser: null }, NOON).pools.length);
  };
  expect(touched(trained)).toEqual([1, 1, 0, 0]);
  expect(touched(`${trained}:ckpt-step-9`)).toEqual([0, 1, 0, 0]);
  expect(touched('ft:gpt-4o-mini')).toEqual([1, 1, 1, 0]);
  expect(touched('gpt-4o-mini')).toEqual([0, 0, 0, 1]);
});

test('each end user has a counter of its own, in its own team, unless the limit names one', () => {
  const each = limit({ id: asId('each'), teamId: ORGANIZATION_ID, subject: { type: 'user', id: null } });
  const ann = limit({ id: asId('ann'), subject: { type: 'user', id: 'ann' } });
  const account = accountOf({ limits: [each, ann] });
  const counters = (endUser: string | null) =>
    poolsAt(account, { model: 'gpt-4o', endUser }, NOON).pools.flatMap((pool) => pool.counters);
  expect(counters('ann').map(({ id }) => id)).toEqual([`each@${MIDNIGHT}/ann`, `ann@${MIDNIGHT}/ann`]);
  expect(counters('b@b/"').map(({ id, teamId, subjectId }) => [id, teamId, subjectId])).toEqual([
    [`each@${MIDNIGHT}/b%40b%2F%22`, 'team', 'b@b/"'],
  ]);
  expect(needsEndUser(account, 'gpt-4o')).toBe(true);
  const soft = accountOf({ limits: [{ ...ann, enforcement: 'soft' }] });
  expect(needsEndUser(soft, 'gpt-4o')).toBe(false);
});

test('a rolling window is counted in sub-buckets that change every half second, slots in no window at all', () => {
  const requests = limit({ id: asId('rpm'), meter: 'requests', window: { type: 'rolling', seconds: 60 } });
  const slots = limit({ id: asId('slots'), meter: 'concurrency', window: { type: 'rolling', seconds: 60 } });
  const { pools, validUntilMs } = poolsAt(accountOf({ limits: [requests, slots] }), KIND, NOON + 700);
  expect(pools.map(({ id, isRateLimit, rule }) => [id, isRateLimit, rule])).toEqual([
    [`rpm@${NOON + 500}`, true, 'rpm'],
    ['slots@0', true, 'slots'],
  ]);
  expect(validUntilMs).toBe(NOON + 1000);
});

test('what was admitted in any moment of a rolling window counts for the whole of it, and one bucket longer', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 0, max: 10 ** 12 }),
      (seconds, atMs) => {
        const rollingMs = seconds * 1000;
        const bucket = bucketRange(rollingMs, atMs);
        const length = bucketMs(rollingMs);
        expect(
          bucket.startMs <= atMs && atMs < bucket.endMs && bucket.endMs - bucket.startMs === length,
        ).toBe(true);
        const oldest = oldestBucketMs(rollingMs, bucket.startMs);
        const firstOfWindow = bucketRange(rollingMs, atMs - rollingMs + 1).startMs;
        expect(oldest + length <= firstOfWindow).toBe(true);
        expect(length === 500 || length < rollingMs / 120 + 500).toBe(true);
      },
    ),
  );
});

test('a limit counts the calls of its subject that were admitted in its window, its first moment included', () => {
  const span = { startsAtMs: MIDNIGHT, endsAtMs: MIDNIGHT + DAY_MS };
  const team = counterSpec('team', { meter: 'requests', ...span });
  const key = { ...team, subjectType: 'key' as const, subjectId: 'key-1' };
  const user = { ...team, subjectType: 'user' as const, subjectId: 'ann' };
  const department = {
    ...team,
    ...{ teamId: ORGANIZATION_ID, subjectType: 'department' as const, subjectId: 'above' },
  };
  const counts = (counter: CounterSpec, changes: Partial<CountedCall> = {}) =>
    counted(counter, {
      teamId: asId('team'),
      keyId: asId('key-2'),
      endUser: null,
      departments: [],
      model: 'gpt-4o',
      createdAtMs: NOON,
      ...changes,
      claim: { cost: 7n, input_tokens: 2, output_tokens: 3 },
    });
  expect(counts(department)).toBe(0n);
  expect(counts(department, { departments: [asId('own')] })).toBe(0n);
  expect(counts(department, { departments: [asId('own'), asId('above')] })).toBe(UNIT);
  expect(counts(team, { createdAtMs: MIDNIGHT })).toBe(UNIT);
  expect(counts(team, { createdAtMs: MIDNIGHT - 1 })).toBe(0n);
  expect(counts(team, { createdAtMs: MIDNIGHT + DAY_MS })).toBe(0n);
  expect(counts({ ...team, endsAtMs: null }, { createdAtMs: MIDNIGHT + DAY_MS })).toBe(UNIT);
  expect(counts(team, { teamId: asId('other') })).toBe(0n);
  expect(counts({ ...team, teamId: ORGANIZATION_ID, subjectType: 'org' }, { teamId: asId('other') })).toBe(
    UNIT,
  );
  expect([counts(key, { keyId: asId('key-1') }), counts(key)]).toEqual([UNIT, 0n]);
  expect([counts(user, { endUser: 'ann' }), counts(user)]).toEqual([UNIT, 0n]);
  expect(counts({ ...team, models: ['o3'] })).toBe(0n);
  expect(counts({ ...team, source: 'grant' })).toBe(0n);
  expect(counts({ ...team, meter: 'cost_usd' })).toBe(7n);
  expect(counts({ ...team, meter: 'tokens' })).toBe(5n * UNIT);
  expect(counts({ ...team, meter: 'concurrency' })).toBe(0n);
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
        const last = sum(held) === 0n ? held.length - 1 : held.findLastIndex((each) => each > 0n);
        const overrun = cost > sum(held) && index === last;
        expect(part <= held[index]! || overrun).toBe(true);
        if (part < held[index]!) expect(settled.slice(index + 1).every((each) => each === 0n)).toBe(true);
      });
    }),
  );
});
