/** What no crash, no lost answer and no slow store may break. Run more seeds with `TOLLGATE_CHAOS_SEEDS=100-400`. */
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/folder.ts';
import { Chaos } from './chaos.ts';
import { checkStore } from './invariants.ts';
import type { MemoryStore } from './memory-store.ts';
import type { Outcomes } from './sim-call.ts';
import { stateInMemory } from './store-state.ts';

const [first = 1, last = 12] = (process.env.TOLLGATE_CHAOS_SEEDS ?? '')
  .split('-')
  .filter(Boolean)
  .map(Number);
const seeds = Array.from({ length: last - first + 1 }, (_, index) => first + index);
const STEPS = 300;

const sum = <T>(items: Iterable<T>, part: (item: T) => bigint) =>
  [...items].reduce((total, item) => total + part(item), 0n);

/** Never a cent over: what the upstream billed for the calls of a counter's window, against its amount. */
function overspentPools(memory: MemoryStore, { bills }: Outcomes): string[] {
  const spent = new Map<string, bigint>();
  for (const { amount, pools } of bills) {
    for (const pool of pools) spent.set(pool.join('+'), (spent.get(pool.join('+')) ?? 0n) + amount);
  }
  // Grants pay together, and a pool that lost an expired grant has its other name: compare the team as a whole.
  const grants = [...spent].filter(([pool]) => /brief|later/.test(pool));
  for (const [pool] of grants) spent.delete(pool);
  spent.set(
    'brief@0+later@0',
    sum(grants, ([, amount]) => amount),
  );
  return [...spent]
    .filter(([pool, amount]) => amount > sum(pool.split('+'), (id) => memory.counters.get(id)?.amount ?? 0n))
    .map(([pool, amount]) => `${pool}: ${amount}`);
}

/**
 * Nothing lost: every forwarded call has its event, with the outcome that its process told and at its true cost; only
 * what a killed process could not tell any more is unknown, at the hold.
 */
function wrongEvents(memory: MemoryStore, { bills }: Outcomes): string[] {
  return bills.flatMap(({ id, amount, hold, ended }) => {
    const event = memory.events.get(id);
    if (!event) return [`${id} has no event`];
    const { outcome } = JSON.parse(event.json) as { outcome: string };
    const due = outcome === 'unknown' ? hold : amount;
    const right = outcome === (ended ?? 'unknown') && event.claim.cost === due;
    return right
      ? []
      : [`${id} ended as ${ended}, and was ${outcome} at ${event.claim.cost} instead of ${due}`];
  });
}

test.each(seeds)(
  'chaos with seed %i overspends nothing, loses nothing, and all money comes back',
  async (seed) => {
    const chaos = new Chaos(seed, await temporaryFolder());
    await chaos.run(STEPS);
    await chaos.comeToRest();
    expect([...chaos.memory.counters.values()].map((counter) => counter.leased)).toEqual(
      Array(chaos.memory.counters.size).fill(0n),
    );
    await chaos.stop();
    const { memory, calls } = chaos;
    expect(calls.outcomes.errors).toEqual([]);
    expect(overspentPools(memory, calls.outcomes)).toEqual([]);
    expect(wrongEvents(memory, calls.outcomes)).toEqual([]);
    expect([...memory.events.keys()].filter((id) => !calls.outcomes.journaled.has(id))).toEqual([]);
    checkStore(memory);
    for (const [id, counter] of memory.counters) {
      const parts = [...memory.events.values()].flatMap((event) => event.allocations);
      const settled = sum(parts, (part) => (part.counterId === id ? part.settled : 0n));
      expect([id, counter.leased, counter.held, counter.settled]).toEqual([id, 0n, 0n, settled]);
    }
    expect(calls.running).toBe(0);
    expect(calls.outcomes.bills.length).toBeGreaterThan(30);

    const before = stateInMemory(memory);
    expect(await chaos.adoptAll()).toBe(0);
    expect(stateInMemory(memory)).toEqual(before);
  },
);
