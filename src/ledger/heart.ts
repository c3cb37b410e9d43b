/** The instance's pulse: says that it lives, keeps its clock on Postgres's, and knows how long Postgres has been silent. */
import type { Clock } from './clock.ts';
import { isFenced, type LedgerStore } from './store.ts';

export interface HeartOptions {
  store: LedgerStore;
  instanceId: string;
  clock: Clock;
  /** How many instances share the counters, told at each beat. */
  onInstances(count: number): void;
  onFenced(): void;
  onError(error: unknown): void;
}

export class Heart {
  readonly #options: HeartOptions;
  /** Before the first contact nothing may be admitted: the windows follow Postgres's time, which is not known yet. */
  #contactMs = Number.NEGATIVE_INFINITY;
  #beating: Promise<void> | null = null;

  constructor(options: HeartOptions) {
    this.#options = options;
  }

  /** Milliseconds since something was sent that Postgres answered: measured from before the question. */
  get silentMs(): number {
    return this.#options.clock.monotonicMs() - this.#contactMs;
  }

  /** Runs a question to Postgres; its answer proves contact as of the moment it was sent. */
  async listen<T>(question: () => Promise<T>): Promise<T> {
    const sentMs = this.#options.clock.monotonicMs();
    const answer = await question();
    if (sentMs > this.#contactMs) this.#contactMs = sentMs;
    return answer;
  }

  /** Asks for a sign of life; while one is under way it waits for that one, so that a slow Postgres is not asked more. */
  beat(): Promise<void> {
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = null;
    });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    const { store, instanceId, clock, onInstances, onFenced, onError } = this.#options;
    const sentMs = clock.monotonicMs();
    try {
      const pulse = await this.listen(() => store.heartbeat(instanceId));
      clock.synchronise(pulse.nowMs, sentMs, clock.monotonicMs());
      onInstances(pulse.instances);
    } catch (error) {
      if (isFenced(error)) onFenced();
      else onError(error);
    }
  }
}
