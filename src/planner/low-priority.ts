/** What runs in threads of their own leaves the processors to the event loop, which serves all other calls. */
import { readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

/** Added to its nice value: a third of the processor's time of a thread of ordinary priority, where both want it (sched(7): 1.25 times less for each step). */
export const LOW_PRIORITY = 5;

/**
 * Gives the calling thread the low priority, for good. On Linux alone: there a nice value is of one thread (setpriority(2), "C
 * library/kernel differences"). Elsewhere it is of the process, so there nothing happens. Not for what must be done by a deadline.
 */
export function lowerPriority(): void {
  if (process.platform !== 'linux') return;
  try {
    const thread = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    setPriority(thread, Math.min(getPriority(thread) + LOW_PRIORITY, constants.priority.PRIORITY_LOW));
  } catch {
    // It works without, only at the cost of others.
  }
}
