/** Every planted fault fires, and is caught. */
import { expect, test } from 'vitest';
import { FAULTS } from './faults/list.ts';
import { type SeedResult, simulate } from './simulate.ts';

const SEEDS_MAX = 200;

test.each(FAULTS)(
  '$name is caught: $what',
  async (fault) => {
    let caught: SeedResult | null = null;
    for (let seed = 1, tried = 0; tried < SEEDS_MAX && caught === null; seed++) {
      if (fault.canFire?.(seed) === false) continue;
      tried++;
      const result = await simulate({ seed, steps: 150, fault });
      if (result.failure && result.fired > 0) caught = result;
    }
    expect(caught?.failure?.rule, `${fault.name} within ${SEEDS_MAX} seeds`).toBeTypeOf('string');
    expect(caught?.failure?.rule, caught?.failure?.stack).not.toBe('crash');
  },
  300_000,
);
