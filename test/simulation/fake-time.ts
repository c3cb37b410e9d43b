/** Time that stands still until it is advanced: timers and a monotonic clock in one. */
import type { Timers } from '../../src/admission/waiting.ts';

interface Timer {
  dueMs: number;
  /** The older of two that are due together goes off first. */
  order: number;
  callback: (() => void) | null;
}

export class FakeTime implements Timers {
  #nowMs = 0;
  #made = 0;
  /** A binary heap: the next to go off is first. */
  readonly #timers: Timer[] = [];

  /** Whether something waits for the next turn of the event loop; a simulation that knows saves most of the turns. */
  waitsForTurn: () => boolean = () => true;

  readonly monotonicMs = (): number => this.#nowMs;

  after(delayMs: number, callback: () => void): () => void {
    // Node takes it for 1 ms, with a TimeoutNegativeWarning.
    if (!(delayMs >= 0)) throw new RangeError(`a timer of ${delayMs} ms`);
    const timer: Timer = { dueMs: this.#nowMs + delayMs, order: this.#made++, callback };
    this.#push(timer);
    return () => {
      timer.callback = null;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Lets time pass; everything that a timer set off is done before the next one goes off. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    for (let next = this.#timers[0]; next && next.dueMs <= untilMs; next = this.#timers[0]) {
      this.#pop();
      if (next.callback === null) continue;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await turn();
      if (this.waitsForTurn()) await turn();
    }
    this.#nowMs = untilMs;
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

/** Until promises and the journal's turn of the event loop are through. */
export async function settle(): Promise<void> {
  await turn();
  await turn();
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
