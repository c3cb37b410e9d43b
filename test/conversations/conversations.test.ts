/**
 * Random conversations with upstreams whose tokeniser and habits the gateway does not know: whatever they count, no call is
 * held at less. Each guard of the bound, taken away, is missed. `npm run conversations` plays more of them.
 */
import { describe, expect, it } from 'vitest';
import { FAULTS } from './faults.ts';
import { play } from './play.ts';
import { HABITS, TOKENISERS } from './upstreams.ts';

const SEEDS = 6;

describe.each(Object.keys(HABITS))('an upstream that %s', (habit) => {
  it.each(Object.keys(TOKENISERS))('bills no call above its hold, counted by %s', (tokeniser) => {
    let anchored = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const played = play(habit, tokeniser, seed);
      expect(played.least, `seed ${seed}`).toBeGreaterThanOrEqual(0);
      anchored += played.anchored;
    }
    if (HABITS[habit]!.brings === 'truncation') expect(anchored).toBe(0);
    else expect(anchored).toBeGreaterThan(20);
  });
});

const SEEDS_OF_FAULT = 200;

it.each(FAULTS.map((fault) => [fault.name, fault] as const))('is noticed: %s', (_, fault) => {
  let seed = 1;
  const isNoticed = () =>
    Object.keys(TOKENISERS).some((tokeniser) => play(fault.habit, tokeniser, seed, fault).least < 0);
  while (!isNoticed() && seed < SEEDS_OF_FAULT) seed++;
  expect(seed).toBeLessThan(SEEDS_OF_FAULT);
});
