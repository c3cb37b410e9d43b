import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asId, type TeamId } from '../../src/domain/ids.ts';
import { FairShare, QueueCapacity } from '../../src/domain/shares.ts';

/** Takes one after another until no more is given; returns how many that were. */
function takeAll(share: FairShare, teamId: string): number {
  let taken = 0;
  while (share.take(teamId)) taken++;
  return taken;
}

describe('what the teams share', () => {
  it('is never all of one team’s: alone it gets half, beside another a third', () => {
    const alone = new FairShare(512);
    expect(takeAll(alone, 'a')).toBe(256);
    const two = new FairShare(90);
    for (let turn = 0; turn < 100; turn++) for (const team of ['a', 'b']) two.take(team);
    expect(two.used).toBe(60);
    expect(takeAll(two, 'c')).toBeGreaterThan(0);
  });

  it('has something left for a team that has nothing, whatever the others take and give', () => {
    const steps = fc.array(fc.tuple(fc.nat(4), fc.boolean()), { maxLength: 300 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 50, max: 500 }), (all, total) => {
        const share = new FairShare(total);
        const taken: string[] = [];
        for (const [team, takes] of all) {
          if (takes && share.take(String(team))) taken.push(String(team));
          const given = takes ? undefined : taken.shift();
          if (given !== undefined) share.give(given);
          expect(share.used).toBe(taken.length);
        }
        for (let team = 0; team < 5; team++) takeAll(share, String(team));
        expect(share.take('another')).toBe(true);
      }),
    );
  });

  it('of which there is one goes to one team at a time, and two are never one team’s', () => {
    const one = new FairShare(1);
    expect([one.take('a'), one.take('a'), one.take('b')]).toEqual([true, false, false]);
    one.give('a');
    expect(one.take('b')).toBe(true);
    expect(takeAll(new FairShare(2), 'a')).toBe(1);
  });

  it('costs nothing where nothing is taken', () => {
    const share = new FairShare(0);
    expect([share.take('a', 0), share.take('a', 1)]).toEqual([true, false]);
  });
});

it('a team that fills the queue leaves places and bytes to others', () => {
  const [hostile, other] = [asId<TeamId>('hostile'), asId<TeamId>('other')];
  const capacity = new QueueCapacity(100, 1000);
  let entered = 0;
  while (capacity.enter(hostile, 20)) entered++;
  // Its bytes are spent first, and a call without room for its bytes takes no place.
  expect(entered).toBe(25);
  expect(capacity.calls).toBe(25);
  expect(capacity.enter(other, 200)).toBe(true);
  capacity.leave(other, 200);
  for (; entered > 0; entered--) capacity.leave(hostile, 20);
  expect(capacity.calls).toBe(0);
});
