/** What an instance asks Postgres to lend, keeps, and gives back. */

import { expect, test } from 'vitest';
import { excessOf } from '../../src/admission/decide.ts';
import { leaseNeeds } from '../../src/admission/waiting.ts';
import { asId } from '../../src/domain/ids.ts';
import { Demand, Lease, leaseAim } from '../../src/domain/lease.ts';
import { usd } from '../../src/domain/money.ts';
import { UNIT } from '../../src/domain/quantities.ts';
import { counterSpec } from '../support/catalog.ts';
import { costing, leaseWith, poolOf, poolWith } from './pools.ts';

/** By limit, the least and the most that is asked for. */
const requests = (needs: ReturnType<typeof leaseNeeds>) =>
  Object.fromEntries(
    needs.request.map(({ counters, min, want }) => [counters[0]!.sourceId, [min, want]] as const),
  );

test('all that waits is asked for above what is free, and the smallest call as a whole or not at all', () => {
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

test('a counter of which nothing is known is asked for', () => {
  const spec = counterSpec('team', { sourceId: asId('new'), amount: 40n });
  const fresh = poolOf('new', [new Lease(spec, new Demand(0), 0)]);
  const call = { pools: [fresh], smallest: costing(10n), claim: costing(10n) };
  expect(leaseNeeds([call], [], 1, 0).asked).toEqual(new Set([call]));
});

test('a pool of which a grant has ended is asked for beside the pool that calls have now: its last reply may be lost', () => {
  const [ended, usable] = [leaseWith('ended', { amount: 100n }), leaseWith('usable', { amount: 100n })];
  const before = poolOf('grants', [ended, usable]);
  const now = poolOf('grants', [usable]);
  const call = { pools: [now], smallest: costing(10n), claim: costing(10n) };
  const { request } = leaseNeeds([call], [before], 1, 0);
  const asked = request.map(({ counters, min }) => [counters.map(({ sourceId }) => sourceId), min]);
  expect(asked).toEqual([
    [['ended', 'usable'], 0n],
    [['usable'], 10n],
  ]);
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

test('a lease aims at a quarter second of holds, five seconds of burn and four mean bounds', () => {
  const demand = { holdsPerSecond: 400n, burnPerSecond: 10n, meanBound: 7n };
  expect(leaseAim(demand, usd('1.00'), 1)).toBe(100n + 50n + 28n);
});

test('of one run of fifty calls a lease aims at four, while these are at most half of its share of what is left', () => {
  const calls = { holdsPerSecond: 0n, burnPerSecond: 0n, meanBound: UNIT };
  expect(leaseAim(calls, 50n * UNIT, 4, 'part')).toBe(4n * UNIT);
  expect(leaseAim(calls, 16n * UNIT, 4, 'part')).toBe(2n * UNIT);
  expect(leaseAim(calls, 4000n * UNIT, 4, 'part')).toBe(4n * UNIT);
  expect(leaseAim(calls, 50n * UNIT, 4) < UNIT).toBe(true);
  expect(leaseAim(calls, -UNIT, 4, 'part')).toBe(0n);
});

test('a lease never aims at more than a sixteenth of its share of what is left, nor below zero', () => {
  const greedy = { holdsPerSecond: usd('99.00'), burnPerSecond: 0n, meanBound: 0n };
  expect(leaseAim(greedy, 3200n, 1)).toBe(200n);
  expect(leaseAim(greedy, 3200n, 4)).toBe(50n);
  expect(leaseAim(greedy, -500n, 1)).toBe(0n);
});
