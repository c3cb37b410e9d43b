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
