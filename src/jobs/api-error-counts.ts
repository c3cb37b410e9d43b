/**
 * Counts the denials and errors of each team for reports, and writes the counts to Postgres every two seconds.
 * Best effort: counting costs a call one addition; counts not yet written are lost with their instance, and while
 * Postgres is away at most WAITING_MAX counts are kept.
 */

import type { ErrorCode } from '../domain/errors.ts';
import type { TeamId } from '../domain/ids.ts';
import { QUARTER_HOUR_MS } from '../domain/window.ts';
import type { ApiErrorCount } from '../store/api-errors.ts';
import { type Job, startJob } from './every.ts';

const WRITE_EVERY_MS = 2_000;
/** Teams × codes × quarters that wait for Postgres at most; beyond it no new ones are counted. */
const WAITING_MAX = 10_000;

export interface ApiErrorCountsOptions {
  write(counts: ApiErrorCount[]): Promise<void>;
  nowMs(): number;
  /** Called when a write failed; its counts are kept for the next one. */
  onError(error: unknown): void;
}

export class ApiErrorCounts {
  readonly #options: ApiErrorCountsOptions;
  readonly #job: Job;
  #counts = new Map<string, ApiErrorCount>();
  #writing = Promise.resolve();

  /** Starts the timer that writes; {@link stop} ends it. */
  constructor(options: ApiErrorCountsOptions) {
    this.#options = options;
    const { onError } = options;
    this.#job = startJob({
      firstAfterMs: WRITE_EVERY_MS,
      intervalMs: WRITE_EVERY_MS,
      run: () => this.flush(),
      onError,
    });
  }

  add(teamId: TeamId, code: ErrorCode): void {
    const atMs = this.#options.nowMs();
    this.#add({ teamId, code, atMs: atMs - (atMs % QUARTER_HOUR_MS), calls: 1 });
  }

  /** Writes what was counted before this call. Resolves also when the write fails: its counts stay for the next one. */
  flush(): Promise<void> {
    // One write after the other: what a write under way took along is in Postgres too once this one ends.
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    if (this.#counts.size === 0) return;
    const counts = this.#counts;
    this.#counts = new Map();
    try {
      await this.#options.write([...counts.values()]);
    } catch (error) {
      for (const count of counts.values()) this.#add(count);
      this.#options.onError(error);
    }
  }

  /** Ends the timer and writes the last counts. */
  async stop(): Promise<void> {
    await this.#job.stop();
    await this.flush();
  }

  #add(count: ApiErrorCount): void {
    const key = `${count.teamId} ${count.atMs} ${count.code}`;
    const known = this.#counts.get(key);
    if (known) known.calls += count.calls;
    else if (this.#counts.size < WAITING_MAX) this.#counts.set(key, { ...count });
  }
}
