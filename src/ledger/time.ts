/** Time in the ledger: the instance's clock, and delays that a simulation can run on a clock of its own. */
import type { Timers } from '../admission/waiting.ts';

export type { Timers } from '../admission/waiting.ts';

/**
 * Postgres's time, carried on by the monotonic clock between two heartbeats, so that a jump of the machine's wall clock
 * moves no window and no event id.
 */
export interface Clock {
  /** Milliseconds since the epoch, on Postgres's clock. */
  nowMs(): number;
  /** Milliseconds on a clock that never jumps; only differences mean something. */
  monotonicMs(): number;
  /** Takes over what Postgres's clock said in reply to a request that was sent and replied to at these monotonic moments. */
  synchronise(serverMs: number, sentAtMs: number, receivedAtMs: number): void;
}

export function createClock(monotonicMs: () => number = () => performance.now()): Clock {
  let offsetMs = Date.now() - monotonicMs();
  let last = 0;
  let synchronised = false;
  return {
    monotonicMs,
    nowMs() {
      // Never backwards: a corrected offset must not admit a call into a window that is over.
      const now = Math.floor(monotonicMs() + offsetMs);
      if (now > last) last = now;
      return last;
    },
    synchronise(serverMs, sentAtMs, receivedAtMs) {
      // What the machine's own clock said before the first reply does not count: it may be an hour ahead.
      if (!synchronised) last = 0;
      synchronised = true;
      const earliest = serverMs - receivedAtMs;
      const latest = serverMs - sentAtMs;
      // The server's reply was true at some moment in between; move only when our offset cannot be right.
      if (offsetMs < earliest || offsetMs > latest) offsetMs = (earliest + latest) / 2;
    },
  };
}

export const realTimers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Does the work again and again, the next time counted from the start of the last. Returns how to end it. */
export function every(timers: Timers, periodMs: number, work: () => void): () => void {
  let cancel = () => {};
  const again = () => {
    cancel = timers.after(periodMs, () => {
      again();
      work();
    });
  };
  again();
  return () => cancel();
}

/** Returns a promise that rejects with the signal's reason once it is aborted. */
export function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}
