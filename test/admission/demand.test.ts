import { expect, it } from 'vitest';
import { Demand } from '../../src/domain/lease.ts';

const TICK_MS = 100;

/** A demand that spends 10 at each tick until it is used to it: 100 a second. */
function steady(): Demand {
  const demand = new Demand(0);
  for (let tick = 0; tick < 100; tick++) {
    demand.spent(10n);
    demand.tick(TICK_MS);
  }
  return demand;
}

it('follows what is spent within a second', () => {
  const demand = new Demand(0);
  for (let tick = 0; tick < 10; tick++) {
    demand.spent(10_000n);
    demand.tick(TICK_MS);
  }
  expect(demand.burnPerSecond).toBeGreaterThan(70_000n);
});

it('does not take two seconds in which calls only wait for the end of the demand', () => {
  const demand = steady();
  const before = demand.burnPerSecond;
  for (let tick = 0; tick < 20; tick++) demand.tick(TICK_MS);
  expect(demand.burnPerSecond * 10n).toBeGreaterThan(before * 6n);
});
