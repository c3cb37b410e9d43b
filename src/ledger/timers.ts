/** Delays, so that a simulation can run the ledger on a clock of its own. */
export interface Timers {
  /** Calls back once after the delay; answers how to call it off. */
  after(delayMs: number, callback: () => void): () => void;
}

export const realTimers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Does the work again and again, the next time counted from the start of the last; answers how to end it. */
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

/** Rejects with the signal's reason once it is aborted. */
export function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error);
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}
