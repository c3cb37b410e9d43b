import { setMaxListeners } from 'node:events';
import type { Timers } from '../admission/waiting.ts';

/** The timer of a job: it runs soon after the start, then at its interval, never twice at once. */
export interface Job {
  /** Aborts the present run and waits for its end. */
  stop(): Promise<void>;
}

export interface JobOptions {
  firstAfterMs: number;
  intervalMs: number;
  run: (signal: AbortSignal) => Promise<void>;
  /** A run that rejects is tried again at the next interval. */
  onError: (error: unknown) => void;
}

export function startJob({ firstAfterMs, intervalMs, run, onError }: JobOptions): Job {
  const stopping = new AbortController();
  // The upstream's SDK adds a listener for every request of a run, and leaves it there.
  setMaxListeners(0, stopping.signal);
  let running: Promise<void> = Promise.resolve();
  let timer = setTimeout(begin, firstAfterMs);
  timer.unref();

  function begin(): void {
    running = run(stopping.signal)
      .catch((error) => {
        if (!stopping.signal.aborted) onError(error);
      })
      .then(() => {
        if (stopping.signal.aborted) return;
        timer = setTimeout(begin, intervalMs);
        timer.unref();
      });
  }

  return {
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await running;
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

/** Does the work again and again, however long one takes: the next time is counted from the start of the last. Returns how to end it. */
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
