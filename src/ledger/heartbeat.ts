/**
 * The heartbeat: says that the instance lives, keeps its clock on Postgres's, and measures how long Postgres has been
 * silent. Does not own: when it is sent (jobs/keep-ledger.ts).
 */
import { isFenced } from '../admission/waiting.ts';
import type { CounterSpec } from '../domain/counter.ts';
import type { Fenced, Seen } from '../domain/history.ts';
import type { EventGap, FlushBatch, FlushEvent, PutBackBatch } from '../store/hot/flush.ts';
import type { RejoinRequest } from '../store/hot/history.ts';
import type { HeartbeatReply } from '../store/hot/instances.ts';
import type { LeaseReply, LeaseRequest } from '../store/hot/leases.ts';
import type { Clock } from './events.ts';

/** Returns a promise that rejects with the signal's reason once it is aborted. */
export function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}

/** What the ledger needs of a store. Postgres is the real one; the simulation has one in memory. */
export interface LedgerStore {
  /**
   * Rejects with an error named `InstanceFenced` once another adopted this instance, `StoreWentBack` when the store has
   * forgotten what this instance has seen of it, `NothingLent` while others put that back; so do `flush` and `heartbeat`.
   */
  requestLease(request: LeaseRequest): Promise<LeaseReply>;
  flush(batch: FlushBatch): Promise<Set<string>>;
  /**
   * Ends an instance.
   * @param flushed the number of its last event, where that is known
   * @param seen what an instance that stops has seen of the store: it rejects with `StoreWentBack` as `flush` does
   * @param fenced what a dead instance was fenced at: it rejects so too when the store has forgotten some of that
   */
  adopt(
    instanceId: string,
    events: FlushEvent[],
    status: 'stopped' | 'adopted',
    flushed?: number,
    seen?: Seen | null,
    fenced?: Fenced,
  ): Promise<number>;
  heartbeat(instanceId: string, seen: Seen | null): Promise<HeartbeatReply>;
  /** @param counters that the instance knows: those that the store has forgotten are made */
  rejoin(request: RejoinRequest, counters: readonly CounterSpec[]): Promise<Seen>;
  putBack(batch: PutBackBatch): Promise<number>;
  /** Notes events that are in no journal. */
  noteGap(gap: EventGap): Promise<void>;
  /** Lets lending resume when nothing is waited for any more. Returns whether money is lent. */
  resumeLending(): Promise<boolean>;
}

export interface HeartbeatOptions {
  store: LedgerStore;
  instanceId: string;
  clock: Clock;
  /** What the instance has seen of the store. */
  seen(): Seen | null;
  onReply(reply: HeartbeatReply): void;
  /** How many instances share the counters, as of each reply. */
  onInstances(count: number): void;
  /** Counters of which others want more than there is, of those that lend to this instance. */
  onContended(counterIds: string[]): void;
  /** Postgres had no heartbeat of this instance for so long that it may have given its slots away. */
  onSilence(): void;
  onFenced(): void;
  onError(error: unknown): void;
}

/** Postgres takes slots back after ten seconds without a heartbeat; the rest is margin. */
const SLOTS_SURE_MS = 8000;

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  /**
   * When something was sent that Postgres replied to, on the monotonic clock: before the request, not after the reply.
   * Before the first contact nothing may be admitted: the windows follow Postgres's time, which is not known yet.
   */
  contactMs = Number.NEGATIVE_INFINITY;
  /** When the last heartbeat that got a reply was sent. */
  #repliedMs = Number.NEGATIVE_INFINITY;
  #sending: Promise<void> | null = null;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  /** Runs a request to Postgres; its reply proves contact as of the moment it was sent. */
  async listen<T>(request: () => Promise<T>): Promise<T> {
    const sentMs = this.#options.clock.monotonicMs();
    const reply = await request();
    if (sentMs > this.contactMs) this.contactMs = sentMs;
    return reply;
  }

  /** Sends a heartbeat; while one is under way it waits for that one, so that a slow Postgres gets no more of them. */
  send(): Promise<void> {
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  /** To be called often: slots must not be given out once Postgres may take this instance for dead. */
  checkSilence(): void {
    const { clock, onSilence } = this.#options;
    if (clock.monotonicMs() - this.#repliedMs > SLOTS_SURE_MS) onSilence();
  }

  async #send(): Promise<void> {
    const { store, instanceId, clock, seen, onReply, onInstances, onContended, onFenced, onError } =
      this.#options;
    const sentMs = clock.monotonicMs();
    this.checkSilence();
    try {
      const reply = await this.listen(() => store.heartbeat(instanceId, seen()));
      clock.synchronise(reply.nowMs, sentMs, clock.monotonicMs());
      this.checkSilence();
      this.#repliedMs = sentMs;
      onReply(reply);
      onInstances(reply.instances);
      onContended(reply.contended);
    } catch (error) {
      if (isFenced(error)) onFenced();
      else onError(error);
    }
  }
}
