/**
 * The instance's clock: Postgres's time, carried on by the monotonic clock between two heartbeats, so that a jump of
 * the machine's wall clock moves no window and no event id.
 */
export interface Clock {
  /** Milliseconds since the epoch, on Postgres's clock. */
  nowMs(): number;
  /** Milliseconds on a clock that never jumps; only differences mean something. */
  monotonicMs(): number;
  /** Tells what Postgres's clock said to a question that was sent and answered at these monotonic moments. */
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
      // What the machine's own clock said before the first answer binds nobody: it may be an hour ahead.
      if (!synchronised) last = 0;
      synchronised = true;
      const earliest = serverMs - receivedAtMs;
      const latest = serverMs - sentAtMs;
      // The server's answer was true at some moment in between; move only when our offset cannot be right.
      if (offsetMs < earliest || offsetMs > latest) offsetMs = (earliest + latest) / 2;
    },
  };
}
