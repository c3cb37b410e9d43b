import { describe, expect, it } from 'vitest';
import { OpenHolds } from '../../src/ledger/backlog.ts';
import { Hold } from '../../src/ledger/events.ts';

const hold = (atMs: number) =>
  new Hold({ atMs, claim: { cost: 1n }, pools: [{ isPersistable: true }] } as unknown as Hold['reservation']);

function filled() {
  const open = new OpenHolds();
  const holds = [1, 2, 3, 4].map(hold);
  for (const each of holds) open.add(each);
  return { open, holds };
}

describe('open holds', () => {
  it.each([[0], [1], [3], [0, 1], [2, 3], [1, 2], [3, 0, 2], [0, 1, 2, 3], [3, 2, 1, 0]])(
    'stay in their order without those at %j',
    (...places) => {
      const { open, holds } = filled();
      for (const place of places) open.remove(holds[place]!);
      const left = holds.filter((_, place) => !places.includes(place));
      expect(open.own()).toEqual(left);
      expect(open.size).toBe(left.length);
      expect(holds.filter((each) => open.has(each))).toEqual(left);
      const later = hold(5);
      open.add(later);
      expect(open.own()).toEqual([...left, later]);
    },
  );

  it('are removed once, and one that was never added changes nothing', () => {
    const { open, holds } = filled();
    open.remove(holds[1]!);
    open.remove(holds[1]!);
    open.remove(hold(9));
    expect(open.size).toBe(3);
    expect(open.own()).toEqual([holds[0], holds[2], holds[3]]);
  });

  it('refer to no other once they have ended: the collector would keep what a dead one refers to', () => {
    const { open, holds } = filled();
    open.remove(holds[1]!);
    expect(holds[1]).toMatchObject({ before: null, after: null });
  });

  it('are handed over to those that only the store ends', () => {
    const { open, holds } = filled();
    open.handOver(holds[2]!);
    expect(open.own()).toEqual([holds[0], holds[1], holds[3]]);
    expect(open.all()).toEqual([holds[2], holds[0], holds[1], holds[3]]);
    open.forget(holds[2]!.id);
    expect(open.all()).toEqual(open.own());
  });

  it('grow old from the oldest on', () => {
    const { open, holds } = filled();
    expect(open.grownOld(60_002)).toEqual([holds[0], holds[1]]);
    expect(open.grownOld(60_003)).toEqual([holds[2]]);
  });
});
