import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Following, followCatalog } from '../../src/jobs/follow-catalog.ts';

let polls: number;
let isQuiet: boolean;
let following: Following;
beforeEach(() => {
  vi.useFakeTimers();
  polls = 0;
  isQuiet = false;
  following = followCatalog({
    version: () => 7,
    poll: async () => {
      polls++;
    },
    isQuiet: () => isQuiet,
  });
});
afterEach(() => {
  following.stop();
  vi.useRealTimers();
});

it('a version that is new makes it look at once', () => {
  following.heard(8);
  expect(polls).toBe(1);
});

it('a busy instance looks twice between two heartbeats', () => {
  following.heard(7);
  vi.advanceTimersByTime(799);
  expect(polls).toBe(2);
});

it('a quiet instance does not look, and has no timer that fires, while heartbeats come', () => {
  isQuiet = true;
  for (let beat = 0; beat < 10; beat++) {
    following.heard(7);
    vi.advanceTimersByTime(800);
  }
  expect(polls).toBe(0);
});

it('looks by itself, again and again, when heartbeats hang', () => {
  isQuiet = true;
  following.heard(7);
  vi.advanceTimersByTime(3600);
  expect(polls).toBe(3);
});

it('looks no more once it was stopped, also when a heartbeat comes late', () => {
  following.heard(7);
  following.stop();
  following.heard(8);
  vi.advanceTimersByTime(5000);
  expect(polls).toBe(0);
});
