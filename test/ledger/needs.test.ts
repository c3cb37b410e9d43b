/** The arithmetic of asking: what is asked for, what is given back, who is refused. */
import { expect, test } from 'vitest';
import { Demand } from '../../src/ledger/demand.ts';
import { type Hearing, judge } from '../../src/ledger/judge.ts';
import { Lease } from '../../src/ledger/lease.ts';
import { leaseNeeds } from '../../src/ledger/needs.ts';
import { excessOf, type LeasedPool } from '../../src/ledger/pool.ts';
import { counterSpec } from '../support/catalog.ts';

interface Known {
  amount: bigint;
  /** Lent to others. */
  away?: bigint;
  /** Lent to this instance. */
  here?: bigint;
  settled?: bigint;
}

function leaseWith(id: string, known: Known, demand = new Demand(0)): Lease {
  const { amount, away = 0n, here = 0n, settled = 0n } = known;
  const lease = new Lease(counterSpec('team', { sourceId: id, amount }), demand, 0);
  const sums = { granted: here, returned: 0n, settled: 0n };
  lease.learn({ id: lease.spec.id, amount, settled, held: 0n, leased: away + here, lease: sums }, 0);
  return lease;
}

const poolOf = (id: string, leases: Lease[]): LeasedPool => ({
  id,
  meter: 'cost_usd',
  isFlow: false,
  maxHold: null,
  demand: leases[0]!.demand,
  leases,
});
const poolWith = (id: string, known: Known) => poolOf(id, [leaseWith(id, known)]);
const costing = (cost: bigint) => ({ cost, input_tokens: 0, output_tokens: 0 });
const requests = (needs: ReturnType<typeof leaseNeeds>) =>
  Object.fromEntries(
    needs.request.map(({ counters, min, want }) => [counters[0]!.sourceId, [min, want]] as const),
  );

test('all that waits is asked for above what is free, and the smallest call whole or not at all', () => {
  const team = poolWith('team', { amount: 1000n, here: 30n });
  const key = poolWith('key', { amount: 1000n });
  const small = { pools: [team, key], smallest: costing(50n), claim: costing(60n) };
  const large = { pools: [team], smallest: costing(200n), claim: costing(200n) };
  const needs = leaseNeeds([large, small], [], 1, 0);
  expect(requests(needs)).toEqual({ team: [20n, 230n], key: [50n, 60n] });
  expect(needs.asked).toEqual(new Set([large, small]));
});

test('a call that lacks a counter which was empty stands aside: its pools are only looked at', () => {
  const team = poolWith('team', { amount: 1000n });
  const spent = poolWith('spent', { amount: 100n, away: 100n });
  const stuck = { pools: [team, spent], smallest: costing(10n), claim: costing(10n) };
  const hopeful = { pools: [team], smallest: costing(70n), claim: costing(70n) };
  const needs = leaseNeeds([stuck, hopeful], [], 1, 0);
  expect(requests(needs)).toEqual({ team: [70n, 70n], spent: [0n, 0n] });
  expect(needs.asked).toEqual(new Set([hopeful]));
});

test('when every waiting call lacks something, the smallest is asked for all the same', () => {
  const spent = poolWith('spent', { amount: 100n, away: 100n });
  const smaller = { pools: [spent], smallest: costing(10n), claim: costing(10n) };
  const larger = { pools: [spent], smallest: costing(20n), claim: costing(20n) };
  const needs = leaseNeeds([larger, smaller], [], 1, 0);
  expect(requests(needs)).toEqual({ spent: [10n, 10n] });
  expect(needs.asked).toEqual(new Set([smaller]));
});

test('a counter never heard of is hoped for', () => {
  const spec = counterSpec('team', { sourceId: 'new', amount: 40n });
  const fresh = poolOf('new', [new Lease(spec, new Demand(0), 0)]);
  const call = { pools: [fresh], smallest: costing(10n), claim: costing(10n) };
  expect(leaseNeeds([call], [], 1, 0).asked).toEqual(new Set([call]));
});

/** A pool of two grants whose calls hold 25, so that four times as much should be at hand. */
function twoGrants(first: bigint, second: bigint) {
  const paying = leaseWith('first', { amount: 100_000n, here: first + 25n });
  paying.take(25n, 0);
  paying.release(25n, 25n, 0);
  const next = leaseWith('second', { amount: 100_000n, here: second }, paying.demand);
  return poolOf('grants', [paying, next]);
}

const excess = (first: bigint, second: bigint) => {
  const pool = twoGrants(first, second);
  return pool.leases.map((lease) => excessOf(pool, lease, 1, 0));
};

test('a pool gives back what is above its aim once that is half more, the last grant to pay first', () => {
  expect(excess(150n, 0n)).toEqual([0n, 0n]);
  expect(excess(151n, 0n)).toEqual([51n, 0n]);
  expect(excess(100n, 50n)).toEqual([0n, 0n]);
  expect(excess(100n, 51n)).toEqual([0n, 51n]);
  expect(excess(60n, 100n)).toEqual([0n, 60n]);
  expect(excess(0n, 170n)).toEqual([0n, 70n]);
});

function hear(pools: Hearing['pools'], smallest: bigint, changes: Partial<Hearing> = {}) {
  const fresh = new Set(pools.flatMap((pool) => pool.leases));
  return judge({
    pools,
    smallest: costing(smallest),
    overdue: false,
    fresh,
    waiting: 0,
    jitter: 0,
    ...changes,
  });
}

test('a call is refused for good when a counter has settled too much of its amount, and not when money is only lent', () => {
  expect(hear([poolWith('lent', { amount: 100n, away: 100n })], 100n)).toBeNull();
  expect(hear([poolWith('spent', { amount: 100n, settled: 1n })], 100n)).toMatchObject({
    kind: 'insufficient',
    ceiling: 99n,
  });
});

test('old news refuses nobody, not even who has waited long enough', () => {
  const spent = [poolWith('spent', { amount: 100n, settled: 100n })];
  expect(hear(spent, 50n, { fresh: new Set(), overdue: true })).toBeNull();
});

test('a pool of grants is refused only by what all of them have together', () => {
  const leases = [
    leaseWith('a', { amount: 50n, settled: 40n }),
    leaseWith('b', { amount: 50n, settled: 5n }),
  ];
  const grants = poolOf('grants', leases);
  expect(hear([grants], 55n)).toBeNull();
  expect(hear([grants], 56n)).toMatchObject({ kind: 'insufficient', ceiling: 55n });
});

test('a call whose wait is over waits on for what was given back here, and Postgres has not heard of', () => {
  const pool = poolWith('limit', { amount: 100n, here: 60n, settled: 40n });
  const [lease] = pool.leases;
  expect(hear([pool], 60n, { overdue: true })).toMatchObject({ kind: 'held' });
  lease!.giveBack(60n);
  expect(hear([pool], 60n, { overdue: true })).toBeNull();
  lease!.reported({ returned: 60n, held: 0n });
  expect(hear([pool], 60n, { overdue: true })).toMatchObject({ kind: 'held' });
});
