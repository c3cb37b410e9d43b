import { expect, test } from 'vitest';
import { momentOfUuidV7 } from '../../src/domain/ids.ts';
import { createClock, uuidV7 } from '../../src/ledger/events.ts';

const NOON = Date.UTC(2026, 10, 20, 12);

function clockAt() {
  let monotonicMs = 5000;
  const clock = createClock(() => monotonicMs);
  return {
    clock,
    pass(ms: number) {
      monotonicMs += ms;
    },
    hear: (serverMs: number, roundTripMs = 0) =>
      clock.synchronise(serverMs, monotonicMs - roundTripMs, monotonicMs),
  };
}

test('the time is what the server said, carried on by the monotonic clock', () => {
  const { clock, pass, hear } = clockAt();
  hear(NOON);
  pass(1234);
  expect(clock.nowMs()).toBe(NOON + 1234);
});

test('a reply moves the clock only when the clock cannot be right, and then to the middle of what can be', () => {
  const { clock, hear } = clockAt();
  hear(NOON);
  hear(NOON - 90, 100);
  expect(clock.nowMs()).toBe(NOON);
  hear(NOON + 100, 100);
  expect(clock.nowMs()).toBe(NOON + 150);
});

test('the time never goes back, whatever the server says, and goes on once it has caught up', () => {
  const { clock, pass, hear } = clockAt();
  hear(NOON);
  expect(clock.nowMs()).toBe(NOON);
  hear(NOON - 500);
  expect(clock.nowMs()).toBe(NOON);
  pass(400);
  expect(clock.nowMs()).toBe(NOON);
  pass(200);
  expect(clock.nowMs()).toBe(NOON + 100);
});

test('a machine whose own clock is far ahead follows the server from its first reply', () => {
  const { clock, pass, hear } = clockAt();
  const ownMs = clock.nowMs();
  hear(ownMs - 3_600_000);
  pass(10);
  expect(clock.nowMs()).toBe(ownMs - 3_600_000 + 10);
});

test('an id bears its moment, is a UUID of version 7, and no two are the same', () => {
  const ids = Array.from({ length: 1000 }, (_, index) => uuidV7(NOON + index));
  expect(new Set(ids).size).toBe(1000);
  expect(ids).toEqual(ids.toSorted());
  ids.forEach((id, index) => {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(momentOfUuidV7(id)).toBe(NOON + index);
  });
});
