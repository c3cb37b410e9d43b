/** A stream of a job: nothing of it leaves before the job is its team's, and any instance can end it. */
import type { JsonObject } from '../openai/body.ts';
import type { Ending } from './ending-error.ts';

/** `job`: it goes on without its call. `call`: it is no job, and ends with its stream. `failed`: nothing may leave. */
export type Named = 'job' | 'call' | 'failed';

/** Takes a job over, by its response as the first event shows it. Never rejects. */
export type Naming = (begun: JsonObject) => Promise<Named>;

export class HeldBack {
  readonly #naming: Naming;
  /** Null: nothing waits, not yet or not any more. */
  #bytes: Buffer[] | null = null;
  #ending: Ending | null = null;
  #isAsked = false;

  constructor(naming: Naming) {
    this.#naming = naming;
  }

  get waits(): boolean {
    return this.#bytes !== null;
  }

  /**
   * Holds back what comes until the job has been taken over; once, later calls do nothing. Returns whether it began to.
   * @param passOn gets what came meanwhile, and how the response ended; null: it has not
   */
  begin(
    stream: { readonly begun: JsonObject | null },
    passOn: (as: Named, held: Buffer[], ending: Ending | null) => void,
  ): boolean {
    const begun = this.#isAsked ? null : stream.begun;
    if (begun === null) return false;
    this.#isAsked = true;
    const held: Buffer[] = [];
    this.#bytes = held;
    void this.#naming(begun).then((as) => {
      this.#bytes = null;
      passOn(as, held, this.#ending);
    });
    return true;
  }

  /** Returns whether the bytes are held back. */
  holds(bytes: Buffer): boolean {
    this.#bytes?.push(bytes);
    return this.waits;
  }

  /** Returns whether the end of the response waits too. */
  holdsEnd(ending: Ending): boolean {
    if (this.waits) this.#ending ??= ending;
    return this.waits;
  }
}
