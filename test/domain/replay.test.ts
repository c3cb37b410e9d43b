import { describe, expect, test } from 'vitest';
import type { Limit } from '../../src/domain/limit.ts';
import { usd } from '../../src/domain/money.ts';
import { UNIT } from '../../src/domain/quantities.ts';
import { type ReplayedCall, replay } from '../../src/domain/replay.ts';
import { limitOf } from '../support/accounts.ts';

const at = (atMs: number, cost: string, changes: Partial<ReplayedCall> = {}): ReplayedCall => ({
  atMs,
  durationMs: 1000,
  user: 'u',
  claim: { cost: usd(cost), input_tokens: 10, output_tokens: 5 },
  ...changes,
});
const limit = (amount: string, changes: Partial<Limit> = {}) => limitOf('limit', amount, changes);

describe('the replay of a limit', () => {
  test('denies what does not fit, and admits smaller calls after it', () => {
    const calls = [at(1, '4'), at(2, '5'), at(3, '3'), at(4, '1')];
    expect(replay(limit('10'), calls, usd('2'), 9)).toEqual({
      calls: 4,
      denied: 1,
      firstDeniedAtMs: 2,
      used: usd('15'),
    });
  });

  test('admits a call that uses all of it, and not one unit more', () => {
    expect(replay(limit('10'), [at(1, '10')], 0n, 9).denied).toBe(0);
    expect(replay(limit('10'), [at(1, '10.000000000001')], 0n, 9).denied).toBe(1);
  });

  test('denies nothing when the limit is soft', () => {
    expect(replay(limit('1', { enforcement: 'soft' }), [at(1, '5')], 0n, 9)).toMatchObject({
      denied: 0,
      used: usd('5'),
    });
  });

  test('counts its own meter', () => {
    const tokens = limit('40', { meter: 'tokens' });
    expect(replay(tokens, [at(1, '0'), at(2, '0'), at(3, '0')], 0n, 9)).toMatchObject({
      denied: 1,
      firstDeniedAtMs: 3,
      used: 45n * UNIT,
    });
  });

  test('of a rolling window forgets what has left it', () => {
    const rolling = limit('2', { meter: 'requests', window: { type: 'rolling', seconds: 60 } });
    const calls = [0, 1_000, 59_999, 60_000, 61_000, 61_500].map((atMs) => at(atMs, '0'));
    expect(replay(rolling, calls, 0n, 70_000)).toMatchObject({ denied: 2, firstDeniedAtMs: 59_999 });
    expect(replay(rolling, calls, 0n, 121_200).used).toBe(UNIT);
  });

  test('of calls at once counts those that still run, whichever ends first', () => {
    const slots = limit('2', { meter: 'concurrency' });
    const calls = [
      at(0, '0', { durationMs: 10_000 }),
      at(100, '0', { durationMs: 100 }),
      at(150, '0'),
      at(200, '0', { durationMs: 5_000 }),
    ];
    expect(replay(slots, calls, 0n, 20_000)).toMatchObject({ denied: 1, firstDeniedAtMs: 150, used: 0n });
  });

  test('of each end user counts each apart, and returns the one with the largest use', () => {
    const each = limit('1', { subject: { type: 'user', id: null } });
    const calls = [at(1, '0.9', { user: 'a' }), at(2, '0.9', { user: 'b' }), at(3, '0.2', { user: 'b' })];
    expect(replay(each, calls, 0n, 9)).toMatchObject({ denied: 1, firstDeniedAtMs: 3, used: usd('1.1') });
  });

  test('counts the use before, also without calls', () => {
    expect(replay(limit('10'), [], usd('4'), 9)).toEqual({
      calls: 0,
      denied: 0,
      firstDeniedAtMs: null,
      used: usd('4'),
    });
  });
});
