import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LeasedCounter } from '../../src/domain/lease.ts';
import { Demand, Lease } from '../../src/domain/lease.ts';
import { counterSpec } from '../support/catalog.ts';

const AMOUNT = 10_000n;

/** A counter in Postgres with one lease, as far as one instance sees it. */
class Counter {
  settled = 0n;
  leased = 0n;
  readonly lease = { granted: 0n, returned: 0n, settled: 0n };

  grant(want: bigint): void {
    const left = AMOUNT - this.settled - this.leased;
    const part = want < left ? want : left;
    this.lease.granted += part;
    this.leased += part;
  }

  told(lease: Lease, settled: bigint): void {
    const returned = lease.returned - this.lease.returned;
    this.lease.returned += returned;
    this.lease.settled += settled;
    this.settled += settled;
    this.leased -= returned + settled;
  }

  get answer(): LeasedCounter {
    const { settled, leased } = this;
    return { id: 'c', amount: AMOUNT, settled, held: 0n, leased, lease: { ...this.lease } };
  }
}

const part = fc.bigInt({ min: 0n, max: 900n });
const step = fc.oneof(
  fc.record({ type: fc.constantFrom('grant', 'lost grant', 'hold', 'end', 'return'), part, other: part }),
  fc.record({ type: fc.constantFrom('flush', 'revoke', 'forget'), part, other: part }),
);

test('lent is what was returned, settled, held and is free, whatever is lost; and what is free is never lent twice', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const counter = new Counter();
      let lease = new Lease(counterSpec('team', { amount: AMOUNT }), new Demand(0), 0);
      const holds: bigint[] = [];
      let unflushed = 0n;
      for (const { type, part, other } of steps) {
        if (type === 'grant' || type === 'lost grant') {
          counter.grant(part);
          if (type === 'grant') lease.learn(counter.answer, 0);
        } else if (type === 'hold' && part <= lease.free) {
          lease.take(part, 0);
          holds.push(part);
        } else if (type === 'end' && holds.length > 0) {
          const held = holds.shift()!;
          const spent = other < held ? other : held;
          lease.release(held, spent, 0);
          unflushed += spent;
        } else if (type === 'return') lease.giveBack(part < lease.free ? part : lease.free);
        else if (type === 'flush') {
          counter.told(lease, unflushed);
          unflushed = 0n;
          lease.reported({ returned: lease.returned, held: lease.held });
        } else if (type === 'revoke') lease.revoke();
        else if (type === 'forget' && lease.isDone && unflushed === 0n)
          lease = new Lease(lease.spec, new Demand(0), 0);
        const { granted, returned, settled, held, free } = lease;
        expect(granted).toBe(returned + settled + held + free);
        expect(free >= 0n && held >= 0n).toBe(true);
        expect(counter.leased + counter.settled <= AMOUNT).toBe(true);
        // All that this instance may still cause to be spent was lent to it and not yet accounted for.
        const { lease: row } = counter;
        expect(lease.held + lease.free + unflushed <= row.granted - row.returned - row.settled).toBe(true);
      }
      lease.learn(counter.answer, 0);
      counter.told(lease, unflushed);
      lease.revoke();
      expect(counter.leased).toBe(lease.held + (lease.returned - counter.lease.returned));
    }),
    { numRuns: 500 },
  );
});

test('what is on its way back counts as room already, and what was spent here as spent', () => {
  const lease = new Lease(counterSpec('team', { amount: 100n }), new Demand(0), 0);
  const told = { id: 'c', amount: 100n, settled: 10n, held: 0n, leased: 90n };
  lease.learn({ ...told, lease: { granted: 40n, returned: 0n, settled: 0n } }, 0);
  expect(lease.room).toBe(40n);
  lease.giveBack(15n);
  expect(lease.room).toBe(40n);
  lease.learn({ ...told, lease: { granted: 40n, returned: 0n, settled: 0n } }, 0);
  expect(lease.room).toBe(40n);
  lease.take(20n, 0);
  lease.release(20n, 12n, 0);
  expect(lease.ceiling).toBe(78n);
});

test('of a counter that was overdrawn or lowered nothing is held again: what is free here goes back', () => {
  const lease = new Lease(counterSpec('team', { amount: 100n }), new Demand(0), 0);
  const sums = { granted: 30n, returned: 0n, settled: 0n };
  lease.learn({ id: 'c', amount: 10n, settled: 0n, held: 0n, leased: 90n, lease: sums }, 0);
  expect(lease.room).toBe(0n);
  expect(lease.returned).toBe(30n);
  expect(lease.ceiling).toBe(10n);
});

test('what was reported to the store is not reported again, and what came since is', () => {
  const lease = new Lease(counterSpec('team', { amount: 100n }), new Demand(0), 0);
  const sums = { granted: 30n, returned: 0n, settled: 0n };
  lease.learn({ id: 'c', amount: 100n, settled: 0n, held: 0n, leased: 30n, lease: sums }, 0);
  expect(lease.report()).toBeNull();
  lease.giveBack(5n);
  const report = lease.report()!;
  lease.giveBack(6n);
  lease.reported(report);
  expect(lease.report()).toEqual({ returned: 11n, held: 0n });
  expect(lease.isDone).toBe(false);
});

test('what was lent by rules that changed meanwhile goes back, also when another has asked since', () => {
  const lease = new Lease(counterSpec('team', { amount: 100n }), new Demand(0), 0);
  const told = { id: 'c', amount: 100n, settled: 0n, held: 0n };
  const before = lease.snapshot;
  lease.revoke();
  const since = lease.snapshot;
  const first = { ...told, leased: 30n, lease: { granted: 30n, returned: 0n, settled: 0n } };
  lease.learn(first, 0, before);
  expect([lease.free, lease.isRevoked]).toEqual([0n, true]);
  const second = { ...told, amount: 60n, leased: 35n, lease: { granted: 35n, returned: 0n, settled: 0n } };
  lease.learn(second, 0, since);
  expect([lease.free, lease.isRevoked, lease.state!.amount]).toEqual([5n, false, 60n]);
  lease.learn({ ...second, amount: 100n }, 0, before);
  expect([lease.free, lease.isRevoked, lease.state!.amount]).toEqual([5n, false, 60n]);
});

test('what Postgres persists of long calls may still come back, whichever of two replies comes first', () => {
  const lease = new Lease(counterSpec('team', { amount: 100n }), new Demand(0), 0);
  const told = { id: 'c', amount: 100n, settled: 0n, held: 0n, leased: 40n };
  const answer = { ...told, lease: { granted: 40n, returned: 0n, settled: 0n } };
  lease.learn(answer, 0);
  lease.take(40n, 0);
  const { snapshot } = lease;
  lease.persist(40n);
  lease.learn(answer, 0, snapshot);
  expect(lease.ceiling).toBe(100n);
  const kept = { ...told, held: 40n, leased: 0n, lease: { granted: 40n, returned: 0n, settled: 40n } };
  lease.learn(kept, 0);
  expect(lease.ceiling).toBe(100n);
});
