import { describe, expect, it } from 'vitest';
import { asId, type KeyId, type TeamId } from '../../src/domain/ids.ts';
import { Bodies, FreeCalls } from '../../src/gateway/bodies.ts';

const team = (name: string) => asId<TeamId>(name);
const key = (name: string) => asId<KeyId>(name);
const bodies = () => new Bodies({ totalBytes: 1200, stallMs: 1000 });

/** Takes bodies of so many bytes until there is no memory for one more; returns how many it were, and why there is none. */
function fill(of: Bodies, teamName: string, keyName: string, bytes: number): [number, string] {
  for (let taken = 0; ; taken++) {
    const shortage = of.take(team(teamName), key(keyName), bytes);
    if (shortage !== null) return [taken, shortage];
  }
}

describe('the memory of bodies', () => {
  it('gives one key a third of all, its team half, and leaves as much free as the team has', () => {
    const shared = bodies();
    expect(fill(shared, 'a', 'a1', 10)).toEqual([40, 'key']);
    fill(shared, 'a', 'a2', 10);
    fill(shared, 'a', 'a3', 10);
    expect(fill(shared, 'a', 'a4', 10)[1]).toBe('team');
    expect(shared.heldBytes).toBeGreaterThan(550);
    expect(shared.heldBytes).toBeLessThanOrEqual(600);
  });

  it('always has room for one more team, whatever the others do', () => {
    const shared = bodies();
    for (const name of ['a', 'b', 'c', 'd', 'e']) {
      const [taken] = fill(shared, name, `${name}1`, 1);
      expect(taken).toBeGreaterThan(70);
    }
  });

  it('has all of it again when it was given back', () => {
    const shared = bodies();
    expect(shared.take(team('a'), key('a1'), 400)).toBeNull();
    expect(shared.take(team('a'), key('a1'), 400)).toBe('key');
    shared.giveBack(team('a'), key('a1'), 400);
    expect(shared.heldBytes).toBe(0);
    expect(shared.take(team('a'), key('a1'), 400)).toBeNull();
  });

  it('says that the gateway has none when the team has no body under way', () => {
    const shared = bodies();
    fill(shared, 'a', 'a1', 10);
    expect(shared.take(team('b'), key('b1'), 900)).toBe('gateway');
    expect(shared.take(team('b'), key('b1'), shared.largestBytes)).toBeNull();
  });
});

describe('free calls', () => {
  it('are so many a minute for each team, and more as time passes', () => {
    const calls = new FreeCalls(60, 'A team');
    for (let call = 0; call < 60; call++) expect(calls.take(team('a'), 0)).toBeNull();
    expect(calls.take(team('a'), 0)).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 1000 });
    expect(calls.take(team('b'), 0)).toBeNull();
    expect(calls.take(team('a'), 999)).not.toBeNull();
    expect(calls.take(team('a'), 1000)).toBeNull();
    expect(calls.take(team('a'), 1000)).not.toBeNull();
  });

  it('do not add up to more than a minute of them', () => {
    const calls = new FreeCalls(2, 'A team');
    calls.take(team('a'), 0);
    for (const allowed of [true, true, false])
      expect(calls.take(team('a'), 3_600_000) === null).toBe(allowed);
  });
});
