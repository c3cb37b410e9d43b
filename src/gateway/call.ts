/**
 * One call's lifetime, beside what its stages find: the exchange with its client, how long each stage took, and what may
 * end the call before its time.
 */
import type { Account } from '../domain/budget.ts';
import type { ApiError } from '../domain/errors.ts';
import type { KeyId, TeamId } from '../domain/ids.ts';
import type { Principal } from '../domain/limit.ts';
import { STAGES, type Stage, type StageDurationsUs } from '../telemetry/measurement.ts';
import type { Exchange } from '../wire/exchange.ts';
import { type Bodies, noMemory } from './bodies.ts';
import type { Pass } from './breaker.ts';

const INDEX = new Map<Stage, number>(STAGES.map((stage, index) => [stage, index]));

/** Starts when it is made. Times are in microseconds, on the monotonic clock. */
class StageClock {
  /** In the order of STAGES; -1: the call did not reach it. Fixed in length, so that a call makes no other object for it. */
  readonly #durationsUs = [-1, -1, -1, -1, -1, -1, -1, -1, -1, -1];
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

/** `client_gone`: the client's connection broke. `cut`: the gateway stops and will not wait for this call any longer. */
export type Interruption = 'client_gone' | 'cut';

interface Memory {
  bodies: Bodies;
  teamId: TeamId;
  keyId: KeyId;
  bytes: number;
}

export class Call {
  readonly exchange: Exchange;
  readonly clock = new StageClock();
  clientGone = false;
  isCut = false;
  /** Headers of every response to a page that may read it; null: the caller is no page. */
  cors: readonly string[] | null = null;
  /** Of a circuit of the breaker that is watched; null, as a rule: none is. */
  pass: Pass | null = null;
  #watcher: ((interruption: Interruption) => void) | null = null;
  readonly #onOver: (call: Call) => void;
  /** Memory of its body that was taken. */
  #memory: Memory | null = null;
  #isClosed = false;
  #isServed = false;

  /**
   * @param onOver called once when the call was served and its response has left, or its connection is gone: closing the
   * connection earlier would cut the response, and a client that left does not end what its call costs
   */
  constructor(exchange: Exchange, onOver: (call: Call) => void) {
    this.exchange = exchange;
    this.#onOver = onOver;
    exchange.onClose = (finished) => {
      this.#isClosed = true;
      if (!finished) this.#interrupt('client_gone');
      if (this.#isServed) onOver(this);
    };
  }

  /** Takes memory for the call's body, or for more of it; returns why there is none. */
  takeMemory(bodies: Bodies, { teamId, keyId }: Principal, bytes: number): ApiError | null {
    const shortage = bodies.take(teamId, keyId, bytes);
    if (shortage !== null) return noMemory(shortage, bodies);
    this.#memory ??= { bodies, teamId, keyId, bytes: 0 };
    this.#memory.bytes += bytes;
    return null;
  }

  /** The call's body has left, or is not needed any more. */
  giveMemoryBack(): void {
    const memory = this.#memory;
    if (memory === null) return;
    this.#memory = null;
    memory.bodies.giveBack(memory.teamId, memory.keyId, memory.bytes);
  }

  /** The gateway's part has ended: the call is in the ledger, or was refused. */
  served(): void {
    this.#isServed = true;
    this.giveMemoryBack();
    if (this.#isClosed) this.#onOver(this);
  }

  /** The stage at work ends the call in its own way when it is interrupted; one stage at a time. */
  watch(watcher: (interruption: Interruption) => void): void {
    this.#watcher = watcher;
  }

  unwatch(): void {
    this.#watcher = null;
  }

  /** Ends the call now, wherever it is. A stage that does not watch has nothing to say: the connection breaks. */
  cut(): void {
    if (this.#watcher === null) this.exchange.destroy();
    this.#interrupt('cut');
  }

  #interrupt(interruption: Interruption): void {
    if (interruption === 'cut') this.isCut = true;
    else this.clientGone = true;
    this.#watcher?.(interruption);
  }

  /** The stage ends here; the next one begins. */
  ended(stage: Stage): void {
    this.clock.ended(stage);
  }
}

/** The end of a call that is not forwarded, instead of the next stage's type. What the stages had found by then decides how the error is counted. */
export interface Stopped {
  readonly kind: 'stopped';
  readonly call: Call;
  /** Null: the client left, so there is nothing to say. */
  readonly error: ApiError | null;
  /** Name of the operation; null: the request line names none that is known. */
  readonly operation: string | null;
  /** Whose call it was; null: not known. */
  readonly account: Account | null;
  readonly endUser: string | null;
}

/** Stops a call whose account is known. */
export function stopped(
  call: Call,
  error: ApiError | null,
  operation: string,
  account: Account,
  endUser: string | null,
): Stopped {
  return { kind: 'stopped', call, error, operation, account, endUser };
}
