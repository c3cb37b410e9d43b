/** The instance's pulse: says that it lives, keeps its clock on Postgres's, and knows how long Postgres has been silent. */
import type { Clock } from './clock.ts';
import { isFenced, type LedgerStore } from './store.ts';

export interface HeartOptions {
  store: LedgerStore;
  instanceId: string;
  clock: Clock;
  /** How many instances share the counters, told at each beat. */
  onInstances(count: number): void;
  /** Counters of which others want more than there is, of those that lend to this instance. */
  onScarce(counterIds: string[]): void;
  /** Postgres heard nothing of this instance for so long that it may have given its slots away. */
  onSilence(): void;
  onFenced(): void;
  onError(error: unknown): void;
}

/** Postgres takes slots back after ten seconds without a beat; the rest is margin. */
const SLOTS_SURE_MS = 8000;

export class Heart {
  readonly #options: HeartOptions;
  /** Before the first contact nothing may be admitted: the windows follow Postgres's time, which is not known yet. */
  #contactMs = Number.NEGATIVE_INFINITY;
  /** When the last beat that was answered was sent. */
  #beatMs = Number.NEGATIVE_INFINITY;
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

  /** To be called often: slots must not be given out once Postgres may take this instance for dead. */
  checkSilence(): void {
    const { clock, onSilence } = this.#options;
    if (clock.monotonicMs() - this.#beatMs > SLOTS_SURE_MS) onSilence();
  }

  async #beat(): Promise<void> {
    const { store, instanceId, clock, onInstances, onScarce, onFenced, onError } = this.#options;
    const sentMs = clock.monotonicMs();
    this.checkSilence();
    try {
      const pulse = await this.listen(() => store.heartbeat(instanceId));
      clock.synchronise(pulse.nowMs, sentMs, clock.monotonicMs());
      this.checkSilence();
      this.#beatMs = sentMs;
      onInstances(pulse.instances);
      onScarce(pulse.scarce);
    } catch (error) {
      if (isFenced(error)) onFenced();
      else onError(error);
    }
  }
}
