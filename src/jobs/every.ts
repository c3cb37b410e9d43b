/** Work that repeats, and the one way to repeat it. Every job of this process is started by `startJob`. */
import { setMaxListeners } from 'node:events';
import type { Timers } from '../admission/waiting.ts';

/** Work that runs again and again, never twice at once. */
export interface Job {
  /** Aborts the present run and waits for its end. */
  stop(): Promise<void>;
}

export interface StartedJob extends Job {
  /** The next run comes after the interval from now. While one is under way, nothing changes. */
  restart(): void;
}

export interface JobOptions {
  /** Default: the interval. */
  firstAfterMs?: number;
  /** From the end of a run to the begin of the next. Work that returns at once is repeated however long it then takes. */
  intervalMs: number | (() => number);
  run: (signal: AbortSignal) => Promise<void> | void;
  /** A run that fails is tried again at the next interval. Missing: `run` never fails, and where it does the process ends. */
  onError?: (error: unknown) => void;
  /** Default: those of the system, which keep no process alive. */
  timers?: Timers;
}

export const realTimers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

export function startJob({
  firstAfterMs,
  intervalMs,
  run,
  onError,
  timers = realTimers,
}: JobOptions): StartedJob {
  const stopping = new AbortController();
  // The upstream's SDK adds a listener for every request of a run, and leaves it there.
  setMaxListeners(0, stopping.signal);
  let running: Promise<void> | null = null;
  let cancel = () => {};

  function schedule(delayMs = typeof intervalMs === 'number' ? intervalMs : intervalMs()): void {
    cancel();
    if (!stopping.signal.aborted) cancel = timers.after(delayMs, begin);
  }

  function failed(error: unknown): void {
    if (onError === undefined) throw error;
    if (!stopping.signal.aborted) onError(error);
  }

  function begin(): void {
    let result: Promise<void> | void;
    try {
      result = run(stopping.signal);
    } catch (error) {
      schedule();
      failed(error);
      return;
    }
    if (result === undefined) {
      schedule();
      return;
    }
    running = result.catch(failed).finally(() => {
      running = null;
      schedule();
    });
  }

  schedule(firstAfterMs);
  return {
    restart() {
      if (running === null) schedule();
    },
    async stop() {
      stopping.abort();
      cancel();
      await running;
    },
  };
}

/**
 * Returns a function that has work done once for all who ask before it begins. It begins after each of these calls, and no
 * sooner than `apartMs()` after it last began.
 */
export function batched(run: () => Promise<void>, apartMs: () => number): () => Promise<void> {
  let next: Promise<void> | null = null;
  let begunMs = Number.NEGATIVE_INFINITY;
  const begin = async () => {
    await new Promise<void>((resolve) => {
      const waitMs = begunMs + apartMs() - performance.now();
      if (waitMs > 0) realTimers.after(waitMs, resolve);
      else setImmediate(resolve);
    });
    next = null;
    begunMs = performance.now();
    await run();
  };
  return () => {
    next ??= begin();
    return next;
  };
}
