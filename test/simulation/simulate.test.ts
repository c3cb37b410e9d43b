/**
 * The simulation, with some of its seeds: what no crash, no lost answer, no slow store and no change of the rules may
 * break. `npm run simulate` runs any others.
 */
import { expect, test } from 'vitest';
import { simulate } from './simulate.ts';

const STEPS = 60;

test('200 seeds break no guarantee of the ledger', async () => {
  let forwarded = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const { failure, figures } = await simulate({ seed, steps: STEPS });
    expect(failure, `seed ${seed} with ${STEPS} steps`).toBeNull();
    forwarded += figures.forwarded!;
  }
  expect(forwarded).toBeGreaterThan(10_000);
}, 300_000);

test('where all that is lent would not do for a call that waits, nothing is asked back', async () => {
  expect((await simulate({ seed: 436, steps: 120 })).failure).toBeNull();
}, 120_000);

test('a seed that runs twice gives the same result', async () => {
  const [once, again] = [await simulate({ seed: 7, steps: 60 }), await simulate({ seed: 7, steps: 60 })];
  expect(again.figures).toEqual(once.figures);
});
