/** How long each stage of one call took. */
import { STAGES, type Stage, type StageDurationsUs } from './measurement.ts';

const INDEX = new Map<Stage, number>(STAGES.map((stage, index) => [stage, index]));

/** Starts when it is made. Times are in microseconds, on the monotonic clock. */
export class StageClock {
  /** In the order of STAGES; -1: the call did not reach it. Fixed in length, so that a call makes no other object for it. */
  readonly #durationsUs = [-1, -1, -1, -1, -1, -1, -1, -1, -1];
  #startedMs = performance.now();

  /** Ends a stage now; time until the next end belongs to the next stage. */
  ended(stage: Stage): void {
    const nowMs = performance.now();
    const index = INDEX.get(stage) ?? 0;
    const before = this.#durationsUs[index] ?? -1;
    const spentUs = Math.round((nowMs - this.#startedMs) * 1000);
    this.#durationsUs[index] = before < 0 ? spentUs : before + spentUs;
    this.#startedMs = nowMs;
  }

  /** Returns the durations so far by stage; a stage that was not reached is missing. */
  durations(): StageDurationsUs {
    const durations: StageDurationsUs = {};
    for (let index = 0; index < STAGES.length; index++) {
      const stage = STAGES[index];
      const spentUs = this.#durationsUs[index] ?? -1;
      if (stage !== undefined && spentUs >= 0) durations[stage] = spentUs;
    }
    return durations;
  }
}
