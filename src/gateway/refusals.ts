/**
 * Refusals: counts who was refused and why, for people to see. Best effort: a call that is refused costs an addition,
 * what was not written yet is lost with its instance, and while Postgres is away only so much is kept.
 */
import type { ErrorCode } from '../domain/errors.ts';
import type { RefusalCount } from '../store/refusals.ts';

const WRITE_EVERY_MS = 2_000;
const QUARTER_HOUR_MS = 900_000;
/** Teams × reasons × quarters that wait for Postgres at most; beyond it no new ones are counted. */
const WAITING_MAX = 10_000;

export interface RefusalsOptions {
  write(counts: RefusalCount[]): Promise<void>;
  nowMs(): number;
  onError(error: unknown): void;
}

export class Refusals {
  readonly #options: RefusalsOptions;
  readonly #timer: NodeJS.Timeout;
  #counts = new Map<string, RefusalCount>();
  #writing = Promise.resolve();

  constructor(options: RefusalsOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.flush(), WRITE_EVERY_MS);
    this.#timer.unref();
  }

  add(teamId: string, reason: ErrorCode): void {
    const atMs = this.#options.nowMs();
    this.#add({ teamId, reason, atMs: atMs - (atMs % QUARTER_HOUR_MS), calls: 1 });
  }

  /** Writes what was counted by now; what could not be written is kept for the next time. */
  flush(): Promise<void> {
    // One after the other: who reads after it must find also what the one under way took along.
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

  /** Writes the last of it. */
  stop(): Promise<void> {
    clearInterval(this.#timer);
    return this.flush();
  }

  #add(count: RefusalCount): void {
    const key = `${count.teamId} ${count.atMs} ${count.reason}`;
    const known = this.#counts.get(key);
    if (known) known.calls += count.calls;
    else if (this.#counts.size < WAITING_MAX) this.#counts.set(key, { ...count });
  }
}
